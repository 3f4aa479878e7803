"""# Incremental backup

Streams what has changed since the newest backup, as the server's WAL summaries know it, into the
object store, reads every file of it back, and only then records the recovery point.

A full backup is taken instead when there is a doubt that all changes would be in it (a failover or
a restore, a gap in the summaries, switched page checksums), when the chain has its full length, or
when the server is older than PostgreSQL 17; the recovery point and the run's evidence say why.

While a full backup is being taken, no incremental is: the run ends green, its tasks skipped, and
its evidence says which full backup it made way for. The next run takes its turn.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, recovery_points
from ledgerkeep.operators.full_backup import RecordBackupOperator
from ledgerkeep.operators.incremental_backup import IncrementalBackupOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    backup = policy.database.incremental_backup
    if backup is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_incremental_backup",
            component="database",
            kind="backup",
            schedule=backup.schedule,
            doc=__doc__,
        ),
    ):
        stream = IncrementalBackupOperator(task_id="stream", environment=policy.environment)
        record = RecordBackupOperator(
            task_id="read_back_and_record",
            environment=policy.environment,
            backup_id=stream.output,
            outlets=[recovery_points(policy)],
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="backup")
        stream >> record >> verdict
