"""# Full backup

Streams a full physical backup of the cluster over the replication protocol into the object store
(nothing is installed on the database host, no scratch disk), reads every file of it back, and only
then records the recovery point.

If it fails, nothing counts and nothing good is lost: the next run sweeps what was left.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, given, optional_text, recovery_points
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    backup = policy.database.full_backup
    if backup is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_full_backup",
            component="database",
            kind="backup",
            schedule=backup.schedule,
            doc=__doc__,
        ),
        params={
            "adopt_timeline": optional_text(
                pattern=r"^\d*$",
                title="Adopt timeline",
                description="Only after a failover that lost WAL: the number of the timeline that "
                "is the database from now on. Empty: none.",
            )
        },
    ):
        stream = BaseBackupOperator(
            task_id="stream",
            environment=policy.environment,
            adopt_timeline=given("adopt_timeline"),
        )
        record = RecordBackupOperator(
            task_id="read_back_and_record",
            environment=policy.environment,
            backup_id=stream.output,
            outlets=[recovery_points(policy)],
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="backup")
        stream >> record >> verdict
