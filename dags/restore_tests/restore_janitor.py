"""# Restore janitor

Removes restored copies on the worker that outlived their test, with a server that may still run in
them, and isolated places in the services whose configuration was restored beside. It finds
something only when a run was killed.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.configuration_restore_test import ConfigurationJanitorOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.restore import RestoreJanitorOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    janitor = policy.restore_tests.janitor
    if janitor is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "restore_janitor",
            component="database",
            kind="check",
            schedule=janitor.schedule,
            doc=__doc__,
        )
    ):
        sweep = RestoreJanitorOperator(task_id="sweep", environment=policy.environment)
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="check")
        sweep >> verdict
        if policy.configuration is not None:
            places = ConfigurationJanitorOperator(
                task_id="sweep_configuration", environment=policy.environment
            )
            places >> verdict
