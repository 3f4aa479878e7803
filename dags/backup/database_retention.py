"""# Retention

Decides which recovery points stay, by the policy's days, weeks, months and years, the WAL window,
legal holds, deployments, the last proven one and the minimum; shows the plan with every reason;
then removes the rest. Chains stay whole, and what is under Object Lock stays until its day.

With `dry_run` it shows the same plan and removes nothing. If the protected server does not answer,
nothing is removed: what is stored may be all there is. A run that was killed is finished by the
next one.
"""

from airflow.sdk import DAG, Param

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.retention import ApplyRetentionOperator, PlanRetentionOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    environment = policy.environment
    with DAG(
        **dag_arguments(
            policy,
            "database_retention",
            component="database",
            kind="check",
            schedule=policy.database.retention.schedule,
            doc=__doc__,
        ),
        params={
            "dry_run": Param(
                False,
                type="boolean",
                title="Dry run",
                description="Show what would be removed, and remove nothing.",
            )
        },
    ):
        plan = PlanRetentionOperator(task_id="plan", environment=environment)
        apply = ApplyRetentionOperator(
            task_id="apply",
            environment=environment,
            planned=plan.output,
            dry_run="{{ params.dry_run }}",
        )
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="check")
        plan >> apply >> verdict
