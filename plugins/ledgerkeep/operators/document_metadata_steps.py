"""The form and the steps of a recovery of document rows.

    plan_copy >> prepare_room >> restore >> plan >> [approve] >> apply >> try_documents
              >> remove_room >> verdict

Everything that works on the copy runs on the recovery worker's queue, since the copy lies on its
disk. The approval stands where there is something to see: the difference, row by row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from ledgerkeep.operators.approval import ApproveOperator
from ledgerkeep.operators.dags import optional_text
from ledgerkeep.operators.document_metadata_recovery import (
    READABLE,
    REQUEST,
    ApplyRowsOperator,
    PlanRowsOperator,
    PlanSideCopyOperator,
    PrepareSideCopyOperator,
    RestoreSideCopyOperator,
    TryDocumentsOperator,
)
from ledgerkeep.operators.recovery_form import point_in_time_form
from ledgerkeep.operators.restore import RemoveRoomOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.recovery.form import DESTINATION

if TYPE_CHECKING:
    from ledgerkeep.policy.documents import DocumentRecovery
    from ledgerkeep.policy.model import Policy

_OF_THE_TARGET = ("target_kind", "target_value", "stop_at")
_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

The rows are written into **production**, all of them or none.

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def row_recovery_form() -> dict[str, Param]:
    """The form."""
    to_a_moment = point_in_time_form()
    return {
        **{name: to_a_moment[name] for name in _OF_THE_TARGET},
        "copy": optional_text(
            pattern=DESTINATION,
            maxLength=200,
            title="Or: copy",
            description="Directory of a copy that a recovery handed over and that runs. Then "
            "leave the target empty. Empty field: a copy is restored to the target, and removed.",
        ),
        "keys": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Documents",
            description="The object keys of their rows, one to a line; or give a prefix.",
        ),
        "prefix": optional_text(
            maxLength=1024,
            title="Prefix",
            description="All documents whose key begins with it; * means all there are.",
            examples=["loan-agreements/2026/05/"],
        ),
        "apply": Param(
            "missing",
            type="string",
            enum=["missing", "changed", "removed"],
            values_display={
                "missing": "add rows that production lacks",
                "changed": "and put rows back that were changed since",
                "removed": "and remove rows that the copy does not have",
            },
            title="Apply",
            description="The plan shows all of the difference, whatever is chosen.",
        ),
        "scenario": to_a_moment["scenario"],
        "reason": to_a_moment["reason"],
    }


def carry_out(policy: Policy, recovery: DocumentRecovery) -> None:
    """Add the tasks."""
    environment = {"environment": policy.environment}
    queue = policy.database.recovery.queue if policy.database.recovery else None
    room = {**environment, **({"queue": queue} if queue else {})}
    plan_copy = PlanSideCopyOperator(task_id="plan_copy", **environment)
    of_copy = {**room, "plan": plan_copy.output}
    prepare = PrepareSideCopyOperator(task_id="prepare_room", **of_copy)
    restore = RestoreSideCopyOperator(task_id="restore", **of_copy)
    rows: dict[str, Any] = {
        **of_copy,
        "restored": restore.output,
        "request": plan_copy.output[REQUEST],
    }
    plan = PlanRowsOperator(task_id="plan", **rows)
    approve = _approval(policy, recovery) if recovery.approval else None
    apply = ApplyRowsOperator(
        task_id="apply",
        planned=plan.output,
        approval=approve.output if approve else None,
        approval_required=recovery.approval,
        **rows,
    )
    attempt = TryDocumentsOperator(task_id="try_documents", planned=plan.output, **rows)
    remove = RemoveRoomOperator(task_id="remove_room", **of_copy).as_teardown(setups=prepare)
    verdict = VerdictOperator(task_id="verdict", kind="recovery", **environment)
    plan_copy >> prepare >> restore >> plan >> apply >> attempt >> remove >> verdict
    if approve is not None:
        plan >> approve >> apply


def _approval(policy: Policy, recovery: DocumentRecovery) -> ApproveOperator:
    return ApproveOperator(
        task_id="approve",
        environment=policy.environment,
        approvers=recovery.approvers,
        response_timeout=recovery.response_timeout,
        subject=f"Recover document rows of {policy.database.cluster}? {{{{ dag_run.run_id }}}}",
        body=_BODY,
    )
