"""Airflow operators: thin adapters around the core, without business rules."""
