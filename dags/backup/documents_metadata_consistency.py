"""# Metadata consistency of the documents

Holds the rows that name the documents against the objects, in both directions: rows without their
object, objects without a row, sizes and SHA-256 that differ. What seems wrong is looked at again
afterwards, since documents are uploaded and deleted meanwhile. What changed in the rows since the
last run is kept as a log under lock, and named in the evidence with its SHA-256.

Red means that documents are lost, or are not what their rows say. What happened within the policy's
grace may still be on its way and is only counted; after an accident it is the damage: **fresh**.

With **repair** the versions that the rows tell of are looked for and put back, as new versions,
once a second person has approved where the policy asks for one (*Required Actions*). Rows are never
changed. What no version has is left to a person, and listed.
"""

from airflow.sdk import DAG, Param

from ledgerkeep.operators.approval import CHANGES, ApproveChangesOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_metadata import (
    REPAIR_BODY,
    CheckMetadataOperator,
    PlanMetadataRepairOperator,
    RepairMetadataOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.load import load_policies

FRESH = Param(
    False,
    type="boolean",
    title="Fresh changes are findings",
    description="After an accident: do not wait for what may still be on its way.",
)
REPAIR = Param(
    False,
    type="boolean",
    title="Repair",
    description="Put back the versions that the rows tell of, once it is approved.",
)

for policy in load_policies():
    documents = policy.documents
    consistency = documents.metadata_consistency if documents else None
    if documents is None or consistency is None:
        continue
    environment, recovery = policy.environment, documents.recovery
    repair = "{{ params.repair }}" if recovery else "False"
    with DAG(
        **dag_arguments(
            policy,
            "documents_metadata_consistency",
            component="documents",
            kind="check",
            schedule=consistency.schedule,
            doc=__doc__,
        ),
        params={"fresh": FRESH, **({"repair": REPAIR} if recovery else {})},
    ):
        check = CheckMetadataOperator(
            task_id="check",
            environment=environment,
            repair=repair,
            fresh="{{ params.fresh }}",
        )
        verdict = VerdictOperator(task_id="verdict", environment=environment, kind="check")
        check >> verdict
        if recovery is None:
            continue
        plan = PlanMetadataRepairOperator(
            task_id="plan", environment=environment, check=check.output, repair=repair
        )
        approve = None
        if recovery.approval:
            approve = ApproveChangesOperator(
                task_id="approve",
                environment=environment,
                change="repair",
                changes=plan.output[CHANGES],
                approvers=recovery.approvers,
                response_timeout=recovery.response_timeout,
                subject=f"Repair s3://{documents.bucket}? {{{{ dag_run.run_id }}}}",
                body=REPAIR_BODY,
            )
        put_back = RepairMetadataOperator(
            task_id="repair",
            environment=environment,
            planned=plan.output,
            approval=approve.output if approve else None,
            approval_required=recovery.approval,
        )
        check >> plan >> put_back >> verdict
        if approve is not None:
            plan >> approve >> put_back
