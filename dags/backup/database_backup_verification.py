"""# Backup verification

Looks at what is stored, from four sides at once: was everything made that the policy schedules (a
DAG that was never switched on is found too); is what is stored still what was written (each object
is read back at least once a month, the oldest reading first); does the WAL follow itself over the
whole window; are sizes what they were.

Red means that a promised recovery is doubtful, and the findings say which. Green may carry
warnings: look at them, every recovery still works.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.verification import (
    CheckCompletenessOperator,
    CheckSizeTrendOperator,
    CheckWalContinuityOperator,
    RereadBackupsOperator,
)
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    verification = policy.database.verification
    if verification is None:
        continue
    environment = policy.environment
    with DAG(
        **dag_arguments(
            policy,
            "database_backup_verification",
            component="database",
            kind="check",
            schedule=verification.schedule,
            doc=__doc__,
        )
    ):
        parts = [
            CheckCompletenessOperator(task_id="completeness", environment=environment),
            RereadBackupsOperator(task_id="reread", environment=environment),
            CheckWalContinuityOperator(task_id="wal_continuity", environment=environment),
            CheckSizeTrendOperator(task_id="size_trend", environment=environment),
        ]
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="check")
        parts >> verdict
