"""# Health watch of the documents

Works with the documents' bucket as the application does: reads a sample, writes a document, reads
it back, deletes it, and asks the application how it is. A failed check is tried again after the
policy's interval; the last failed one starts `document_failover`, whose approval is then the
policy's own. While the application uses the replica, nothing is started.

The run is red when a failover was started. Switch this DAG off, and only a person fails over.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_watch import (
    JudgeHealthOperator,
    WatchDocumentsOperator,
    unhealthy_alias,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    failover = policy.documents.failover if policy.documents else None
    if failover is None or failover.watch is None:
        continue
    with DAG(
        **dag_arguments(
            policy,
            "document_failover_watch",
            component="documents",
            kind="check",
            schedule=failover.watch.schedule,
            doc=__doc__,
        )
    ):
        watch = WatchDocumentsOperator(
            task_id="watch",
            environment=policy.environment,
            direction="failover",
            retries=failover.watch.failed_checks - 1,
            retry_delay=failover.watch.interval,
            outlets=[unhealthy_alias(policy)],
        )
        judge = JudgeHealthOperator(
            task_id="judge", environment=policy.environment, healthy=watch.output
        )
        (
            watch
            >> judge
            >> VerdictOperator(task_id="verdict", kind="check", environment=policy.environment)
        )
