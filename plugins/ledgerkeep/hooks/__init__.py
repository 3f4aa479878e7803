"""Airflow connections turned into the core's addresses and stores."""
