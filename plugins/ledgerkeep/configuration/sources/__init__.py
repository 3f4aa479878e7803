"""The sources, one module each: `open_source(access, settings, policy)` opens it.

The name of a module is the name of its section below `configuration.sources` in the policy.
"""
