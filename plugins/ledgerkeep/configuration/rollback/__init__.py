"""Services back to a version: what they run is set back, watched, and undone if it does not hold.

A rollback changes which task definition a service runs, and nothing else of it: its settings are
configuration, and `configuration_recovery` restores them. All services of a rollback belong
together: if one of them does not become stable, all of them go back to what they ran before.
"""
