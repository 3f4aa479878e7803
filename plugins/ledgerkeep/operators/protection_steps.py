"""The steps of the documents' protection check, with the repair where the policy allows one.

    [versions, settings >> [approve] >> repair] >> verdict

The versions are counted beside the settings: neither must hide what the other finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from ledgerkeep.operators.approval import CHANGES, ApproveChangesOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_protection import (
    OUTLINE_DIGEST,
    REPAIR_BODY,
    CheckDocumentSettingsOperator,
    CheckDocumentVersionsOperator,
    RepairDocumentSettingsOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from ledgerkeep.policy.document_protection import DocumentProtection, ProtectionRepair
    from ledgerkeep.policy.documents import Documents
    from ledgerkeep.policy.model import Policy

_AT_ONCE = 8


def protection_dag_arguments(
    policy: Policy, protection: DocumentProtection, doc: str | None
) -> dict[str, Any]:
    """Arguments of the check's DAG; one that waits for an approval does not hold up the next."""
    arguments = dag_arguments(
        policy,
        "documents_protection_check",
        component="documents",
        kind="check",
        schedule=protection.schedule,
        doc=doc,
    )
    if protection.repair is None:
        return arguments
    repair = Param(
        False,
        type="boolean",
        title="Repair",
        description="Say what would put drift right, and set it once it is approved.",
    )
    return {**arguments, "max_active_runs": _AT_ONCE, "params": {"repair": repair}}


def check_protection(policy: Policy, documents: Documents, protection: DocumentProtection) -> None:
    """Add the tasks of the check, up to the verdict."""
    environment: dict[str, str] = {"environment": policy.environment}
    versions = CheckDocumentVersionsOperator(task_id="versions", **environment)
    verdict = VerdictOperator(task_id="verdict", kind="check", **environment)
    if protection.repair is None:
        settings = CheckDocumentSettingsOperator(task_id="settings", **environment)
        [versions, settings] >> verdict
        return
    settings = CheckDocumentSettingsOperator(
        task_id="settings", repair="{{ params.repair }}", **environment
    )
    repair = _repair(settings, documents, protection.repair, environment)
    versions >> verdict
    settings >> repair >> verdict


def _repair(
    settings: CheckDocumentSettingsOperator,
    documents: Documents,
    section: ProtectionRepair,
    environment: dict[str, str],
) -> RepairDocumentSettingsOperator:
    approve = None
    if section.approval:
        approve = ApproveChangesOperator(
            task_id="approve",
            change="repair",
            changes=settings.output[CHANGES],
            plan_digest=OUTLINE_DIGEST,
            approvers=section.approvers,
            response_timeout=section.response_timeout,
            subject=f"Repair s3://{documents.bucket}? {{{{ dag_run.run_id }}}}",
            body=REPAIR_BODY,
            **environment,
        )
    repair = RepairDocumentSettingsOperator(
        task_id="repair",
        checked=settings.output,
        approval=approve.output if approve else None,
        approval_required=section.approval,
        **environment,
    )
    if approve is not None:
        settings >> approve >> repair
    return repair
