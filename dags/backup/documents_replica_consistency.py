"""# Replica consistency of the documents

Compares every version in the documents' bucket with the replica: what is missing, what has another
content, what exists in the replica only, delete markers out of step, the order of a key's versions.
The keys are cut into ranges that are compared side by side, in constant memory. What was written a
moment ago and is still on its way is counted apart; what differs is looked at a second time before
it is called a difference. All differences lie, line by line, beside the evidence.

Red means that the replica is not what the policy promises. What it holds besides is only reported.

With **repair** what is missing is appended, delete markers too, and those keys are compared once
more. A second person approves it under *Required Actions* where the policy asks for one. Nothing is
ever removed from the replica.
"""

from airflow.sdk import DAG, Param

from ledgerkeep.operators.approval import CHANGES, ApproveChangesOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_replica import (
    REPAIR_BODY,
    REPAIR_DIGEST,
    CompareReplicaShardOperator,
    CutReplicaShardsOperator,
    JudgeReplicaOperator,
    RepairReplicaOperator,
    SumUpReplicaOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

_AT_ONCE = 8
"""A check that waits for the approval of its repair must not hold up the next one."""

for policy in load_policies():
    documents = policy.documents
    if documents is None or documents.replica is None or documents.replica_consistency is None:
        continue
    environment, section = policy.environment, documents.replica_consistency
    arguments = dag_arguments(
        policy,
        "documents_replica_consistency",
        component="documents",
        kind="check",
        schedule=section.schedule,
        doc=__doc__,
    )
    with DAG(
        **{**arguments, "max_active_runs": _AT_ONCE},
        params={
            "repair": Param(
                False,
                type="boolean",
                title="Repair",
                description="Append what is missing in the replica once it is approved.",
            )
        },
    ):
        shards = CutReplicaShardsOperator(task_id="shards", environment=environment)
        compare = CompareReplicaShardOperator.partial(
            task_id="compare", environment=environment
        ).expand(shard=shards.output)
        sum_up = SumUpReplicaOperator(
            task_id="sum_up",
            environment=environment,
            compared=compare.output,
            repair="{{ params.repair }}",
        )
        approve = None
        if section.repair.approval:
            approve = ApproveChangesOperator(
                task_id="approve",
                environment=environment,
                change="repair",
                changes=sum_up.output[CHANGES],
                plan_digest=REPAIR_DIGEST,
                approvers=section.repair.approvers,
                response_timeout=section.repair.response_timeout,
                subject=f"Repair s3://{documents.replica.bucket}? {{{{ dag_run.run_id }}}}",
                body=REPAIR_BODY,
            )
        repair = RepairReplicaOperator(
            task_id="repair",
            environment=environment,
            found=sum_up.output,
            approval=approve.output if approve else None,
            approval_required=section.repair.approval,
        )
        judge = JudgeReplicaOperator(
            task_id="judge",
            environment=environment,
            found=sum_up.output,
            repaired=repair.output,
        )
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="check")
        sum_up >> repair >> judge >> verdict
        if approve is not None:
            sum_up >> approve >> repair
