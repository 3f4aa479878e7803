"""Triggers: what Airflow's triggerer waits for, and starts runs by."""
