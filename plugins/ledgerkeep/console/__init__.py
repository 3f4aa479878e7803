"""The web pages inside the Airflow UI; they only read."""
