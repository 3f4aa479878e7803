"""# Transaction log backup

Ships the WAL over a replication slot, checks that there is no gap, and records up to when the
database can now be recovered. The slot moves only when the object store has acknowledged: a worker
that dies loses nothing.

On a schedule, a run switches the WAL segment and ships everything up to that point. Where the
policy asks for it, runs follow each other without end, and each streams the WAL while it is
written: what a disaster costs is then seconds.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import BACK_TO_BACK, dag_arguments, recovery_points
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.wal import ShipWalOperator, StreamWalOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    shipping = policy.database.wal_shipping
    if shipping is None:
        continue
    continuous = shipping.continuous is not None
    with DAG(
        **dag_arguments(
            policy,
            "database_wal_shipping",
            component="database",
            kind="backup",
            schedule=BACK_TO_BACK if continuous else shipping.schedule,
            doc=__doc__,
        )
    ):
        ship = (StreamWalOperator if continuous else ShipWalOperator)(
            task_id="ship",
            environment=policy.environment,
            outlets=[recovery_points(policy)],
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="backup")
        ship >> verdict
