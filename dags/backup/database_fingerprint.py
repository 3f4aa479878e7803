"""# Fingerprint

Records what the database holds at exactly one point of its WAL: rows and a content hash per table.
A later restore to that point can be proven identical against it, even when the source is gone.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.fingerprint import FingerprintOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    if policy.database.wal_shipping is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_fingerprint",
            component="database",
            kind="check",
            schedule=policy.database.fingerprint.schedule,
            doc=__doc__,
        )
    ):
        take = FingerprintOperator(task_id="take", environment=policy.environment)
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="check")
        take >> verdict
