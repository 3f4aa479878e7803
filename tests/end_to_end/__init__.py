"""The main job through a real Airflow scheduler."""
