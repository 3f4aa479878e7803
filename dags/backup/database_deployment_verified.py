"""# Deployment verified

Run it when a deployment has been found to work, with the id that its backup was taken with. Who
ran it is recorded. The backups before that deployment are kept some time longer, as the policy
says, and may then be removed.

Running it again for the same deployment changes nothing.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments, deployment_param
from ledgerkeep.operators.deployment import VerifyDeploymentOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    if policy.database.pre_deployment is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "database_deployment_verified",
            component="database",
            kind="check",
            schedule=None,
            doc=__doc__,
        ),
        params={"deployment_id": deployment_param()},
    ):
        mark = VerifyDeploymentOperator(
            task_id="mark",
            environment=policy.environment,
            deployment_id="{{ params.deployment_id }}",
        )
        verdict = VerdictOperator(task_id="verdict", environment=policy.environment, kind="check")
        mark >> verdict
