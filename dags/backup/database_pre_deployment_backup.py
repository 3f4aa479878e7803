"""# Backup before a deployment

Run it before every deployment, with the deployment's id: a full backup is streamed, every file of
it is read back, and only then the recovery point is recorded. When the run has succeeded, there is
a way back; deploy then.

The backup is kept until `database_deployment_verified` is run with the same id, and some time
after. A deployment that is tried again may be backed up again: each of its backups is kept.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import (
    dag_arguments,
    deployment_param,
    given,
    optional_text,
    recovery_points,
)
from ledgerkeep.operators.deployment import PreDeploymentBackupOperator
from ledgerkeep.operators.full_backup import RecordBackupOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    if policy.database.pre_deployment is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_pre_deployment_backup",
            component="database",
            kind="backup",
            schedule=None,
            doc=__doc__,
        ),
        params={
            "deployment_id": deployment_param(),
            "description": optional_text(
                maxLength=500,
                title="Description",
                description="What the deployment changes, for whoever reads the record later.",
            ),
        },
    ):
        stream = PreDeploymentBackupOperator(
            task_id="stream",
            environment=policy.environment,
            deployment_id="{{ params.deployment_id }}",
            description=given("description"),
        )
        record = RecordBackupOperator(
            task_id="read_back_and_record",
            environment=policy.environment,
            backup_id=stream.output,
            outlets=[recovery_points(policy)],
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="backup")
        stream >> record >> verdict
