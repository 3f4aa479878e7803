"""What follows the plan of a recovery on demand, the same for every kind of form.

    plan >> prepare_room >> [approve] >> restore >> validate >> check_application
         >> [check_documents] >> hand_over >> runbook >> settle >> verdict

Everything that works on the copy runs on the policy's queue, since the copy lies on one worker's
disk. The approval stands after the preflight: nobody is woken for what could not be done anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.application import CheckApplicationOperator
from ledgerkeep.operators.approval import ApproveOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_moment import CheckMomentOperator
from ledgerkeep.operators.proof import ValidateCopyOperator
from ledgerkeep.operators.recovery import (
    READABLE,
    REQUEST,
    HandOverOperator,
    PrepareRecoveryRoomOperator,
    RestoreApprovedOperator,
    SettleRoomOperator,
    WriteRunbookOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from ledgerkeep.operators.recovery import PlanOnDemandOperator
    from ledgerkeep.policy.model import Policy, Recovery

_AT_ONCE = 8
_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

The preflight found nothing against it. The copy will be made in
`{{{{ ti.xcom_pull(task_ids='prepare_room') }}}}` on the worker of the recovery.

**Approve** only if you did not ask for it yourself: that would be refused.
"""


def recovery_dag_arguments(
    policy: Policy, name: str, doc: str | None, *, component: str = "database"
) -> dict[str, Any]:
    """Arguments of a recovery's DAG: on demand, and never waiting for another recovery.

    One that waits for its approval must not hold up the next.
    """
    arguments = dag_arguments(
        policy, name, component=component, kind="recovery", schedule=None, doc=doc
    )
    return {**arguments, "max_active_runs": _AT_ONCE, "allowed_run_types": ["manual"]}


def carry_out(
    plan: PlanOnDemandOperator, policy: Policy, recovery: Recovery, *, documents: bool = False
) -> None:
    """Add the tasks that carry the plan out, up to the verdict.

    :param documents: whether the form asks for the documents of the moment
    """
    environment = {"environment": policy.environment}
    room = {
        **environment,
        **({"queue": recovery.queue} if recovery.queue else {}),
        "destination": _asked("destination"),
    }
    planned = {**room, "plan": plan.output}
    prepare = PrepareRecoveryRoomOperator(task_id="prepare_room", **planned)
    approve = _approval(policy, recovery) if recovery.approval else None
    restore = RestoreApprovedOperator(
        task_id="restore",
        approval=approve.output if approve else None,
        approval_required=recovery.approval,
        **planned,
    )
    validate = ValidateCopyOperator(
        task_id="validate", restored=restore.output, proven=None, **planned
    )
    check = CheckApplicationOperator(task_id="check_application", slow_fails=False, **planned)
    hand_over = HandOverOperator(
        task_id="hand_over",
        restored=restore.output,
        afterwards=_asked("afterwards"),
        **planned,
    )
    runbook = WriteRunbookOperator(
        task_id="runbook",
        request=plan.output[REQUEST],
        handover=hand_over.output,
        approval=approve.output if approve else None,
        **planned,
    )
    settle = SettleRoomOperator(task_id="settle", **room)
    verdict = VerdictOperator(task_id="verdict", kind="recovery", **environment)
    plan >> prepare >> restore >> validate >> check >> hand_over >> runbook >> settle >> verdict
    if documents:
        of_moment = CheckMomentOperator(
            task_id="check_documents",
            restored=restore.output,
            documents=_asked("documents"),
            lost_fails=False,
            **planned,
        )
        check >> of_moment >> hand_over
    if approve is not None:
        prepare >> approve >> restore


def _asked(field: str) -> str:
    """A field of the form as it was understood; empty where it was not."""
    request = f"ti.xcom_pull(task_ids='plan', key='{REQUEST}')"
    return f"{{{{ ({request} or {{}}).get('{field}', '') }}}}"


def _approval(policy: Policy, recovery: Recovery) -> ApproveOperator:
    return ApproveOperator(
        task_id="approve",
        environment=policy.environment,
        approvers=recovery.approvers,
        response_timeout=recovery.response_timeout,
        subject=f"Recover {policy.database.cluster}? {{{{ dag_run.run_id }}}}",
        body=_BODY,
    )
