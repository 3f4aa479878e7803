"""# Replication of the documents

Copies what changed to the replica where the store does not do it by itself: every version that the
replica lacks, in the order in which the versions of a key were written, delete markers too, with
metadata, tags, content type and locks. What that is, a comparison of both buckets tells each time;
so a run that was killed is simply finished by the next one.

Nothing is removed from the replica, and a key that somebody else writes to there is left alone.
"""

from airflow.sdk import DAG

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_replica import CutReplicaShardsOperator
from ledgerkeep.operators.document_replication import (
    ReplicateShardOperator,
    SumUpReplicationOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

for policy in load_policies():
    documents = policy.documents
    if documents is None or documents.replica is None or documents.replication is None:
        continue
    environment = policy.environment
    with DAG(
        **dag_arguments(
            policy,
            "documents_replication",
            component="documents",
            kind="backup",
            schedule=documents.replication.schedule,
            doc=__doc__,
        )
    ):
        shards = CutReplicaShardsOperator(task_id="shards", environment=environment, scheduled=True)
        replicate = ReplicateShardOperator.partial(
            task_id="replicate", environment=environment
        ).expand(shard=shards.output)
        sum_up = SumUpReplicationOperator(
            task_id="sum_up", environment=environment, replicated=replicate.output
        )
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="backup")
        sum_up >> verdict
