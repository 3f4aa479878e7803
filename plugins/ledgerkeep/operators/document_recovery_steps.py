"""The steps of a recovery of documents.

    plan >> [approve] >> thaw >> wait_for_thaw >> recover >> report >> verdict

The approval stands before anything is asked of cold storage, since that costs money.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.approval import ApproveOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_recovery import (
    READABLE,
    PlanDocumentsOperator,
    RecoverDocumentsOperator,
    ReportDocumentsOperator,
    ThawDocumentsOperator,
    WaitForThawSensor,
)
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from ledgerkeep.policy.documents import DocumentRecovery
    from ledgerkeep.policy.model import Policy

_AT_ONCE = 8
_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def document_recovery_arguments(policy: Policy, doc: str | None) -> dict[str, Any]:
    """Arguments of the DAG: on demand, and never waiting for another recovery."""
    arguments = dag_arguments(
        policy,
        "document_recovery",
        component="documents",
        kind="recovery",
        schedule=None,
        doc=doc,
    )
    return {**arguments, "max_active_runs": _AT_ONCE, "allowed_run_types": ["manual"]}


def carry_out(policy: Policy, recovery: DocumentRecovery) -> None:
    """Add the tasks, up to the verdict."""
    environment = {"environment": policy.environment}
    plan = PlanDocumentsOperator(task_id="plan", **environment)
    planned = {**environment, "plan": plan.output}
    approve = _approval(policy, recovery) if recovery.approval else None
    thaw = ThawDocumentsOperator(task_id="thaw", **planned)
    wait = WaitForThawSensor(
        task_id="wait_for_thaw",
        poll=recovery.thaw_poll,
        patience=recovery.thaw_timeout,
        **planned,
    )
    recover = RecoverDocumentsOperator(
        task_id="recover",
        approval=approve.output if approve else None,
        approval_required=recovery.approval,
        **planned,
    )
    report = ReportDocumentsOperator(task_id="report", **planned)
    verdict = VerdictOperator(task_id="verdict", kind="recovery", **environment)
    plan >> thaw >> wait >> recover >> report >> verdict
    if approve is not None:
        plan >> approve >> thaw


def _approval(policy: Policy, recovery: DocumentRecovery) -> ApproveOperator:
    bucket = policy.documents.bucket if policy.documents else ""
    return ApproveOperator(
        task_id="approve",
        environment=policy.environment,
        approvers=recovery.approvers,
        response_timeout=recovery.response_timeout,
        subject=f"Recover documents in {bucket}? {{{{ dag_run.run_id }}}}",
        body=_BODY,
    )
