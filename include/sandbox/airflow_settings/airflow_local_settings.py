"""Read by every Airflow process of the sandbox as it starts; its place is on their PYTHONPATH.

Tasks and DAG files run in forks of the scheduler and of the DAG processor. What these two have
imported, no fork imports again. Only other people's libraries are imported here, and none that
starts a thread: a module of ours would stay as it was until the sandbox is restarted, also while
somebody is changing it.
"""

import sys
from importlib import import_module

_NEEDED = (
    "airflow.providers.amazon.aws.hooks.base_aws",
    "airflow.providers.standard.operators.hitl",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.sdk.definitions.dag",
    "airflow.timetables.trigger",
    "boto3",
    "croniter",
    "httpx",
    "psycopg",
    "pydantic_settings",
    "yaml",
)

if {"scheduler", "dag-processor"} & set(sys.argv):
    for name in _NEEDED:
        import_module(name)
