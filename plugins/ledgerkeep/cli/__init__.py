"""The `ledgerkeep` command: the same catalog as Airflow's runs, from any shell, without Airflow."""
