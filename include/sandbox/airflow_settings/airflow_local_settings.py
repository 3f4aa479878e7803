"""Read by every Airflow process of the sandbox as it starts; its place is on their PYTHONPATH.

Tasks and DAG files run in forks of the scheduler and of the DAG processor. What these two have
imported, no fork imports again, and that is nearly all of a short task's work. Whoever changes a
module of Ledgerkeep sees it in the sandbox after `make down` and `make up`.
"""

import sys
from importlib import import_module

_OF_AIRFLOW = (
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.standard.sensors.external_task",
    "airflow.timetables.trigger",
)
"""What DAG files import beside Ledgerkeep, which brings the rest."""

if {"scheduler", "dag-processor"} & set(sys.argv):
    from ledgerkeep.preload import preload

    preload()
    for name in _OF_AIRFLOW:
        import_module(name)
