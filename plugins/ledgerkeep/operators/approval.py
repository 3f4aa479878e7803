"""The approval of a recovery, a repair or a failover by a second person, as a task that waits.

The task waits in Airflow's `awaiting_input` state: no worker is held meanwhile. What is approved is
the plan as it stands; nothing is planned anew afterwards. A rejection, or no answer, fails the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.base import LedgerkeepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.recovery.approval import Answer

PLAN_DIGEST = "plan_digest"
"""XCom key under which a plan's task leaves the digest of what is to be approved."""
DIGEST_OF_PLAN = f"{{{{ ti.xcom_pull(task_ids='plan', key='{PLAN_DIGEST}') }}}}"
CHANGES = "changes"
"""XCom key under which a task leaves how many changes it would make.

A key of its own: an element of what a task returned cannot be picked by `XComArg`.
"""
_ASKED_AT = "asked_at"


class ApproveOperator(ApprovalOperator, LedgerkeepOperator):
    """Ask a second person; succeed only if one approves who did not ask for it.

    Returns who answered what and when, and the digest of the plan that was approved.

    :param change: what is approved, in one word: recovery, repair, failover
    :param plan_digest: the digest of the plan, which its task left in XCom (templated)
    :param approvers: Airflow users who may approve; empty: everybody but who asked
    :param response_timeout: without an answer within it, it is rejected
    :param subject: what is asked (templated)
    :param body: the facts that are needed to decide, in Markdown (templated)
    """

    template_fields: Sequence[str] = (
        *LedgerkeepOperator.template_fields,
        *HITLOperator.template_fields,
        "plan_digest",
    )

    def __init__(
        self,
        *,
        change: str = "recovery",
        plan_digest: str = DIGEST_OF_PLAN,
        approvers: Sequence[str] = (),
        response_timeout: timedelta,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            response_timeout=response_timeout,
            defaults=self.REJECT,
            fail_on_reject=True,
            **kwargs,
        )
        self.change = change
        self.plan_digest = plan_digest
        self.approvers = list(approvers)

    def execute(self, context: Context) -> Any:
        """Ask."""
        from ledgerkeep.model import utc_now
        from ledgerkeep.recovery.approval import others

        with self.ending_well(context):
            requester = self._requester(context)
            may_answer = others(self.approvers, requester, self.change)
        self.assigned_users = [{"id": name, "name": name} for name in may_answer] or None
        context["ti"].xcom_push(key=_ASKED_AT, value=utc_now().isoformat())
        self.log.info(
            "asked for by %s; waiting for %s", requester, " or ".join(may_answer) or "anybody else"
        )
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Judge the answer."""
        from ledgerkeep.errors import RecoveryRejected
        from ledgerkeep.recovery.approval import APPROVED_PLAN, judge

        answer = _answer(event)
        facts = {**answer.facts(), APPROVED_PLAN: self.plan_digest}
        try:
            judge(
                answer,
                requester=self._requester(context),
                approvers=self.approvers,
                timeout=self.response_timeout,
                change=self.change,
            )
        except RecoveryRejected as problem:
            finding = {"what": problem.message, "severity": "warning"}
            self.contribute(context, facts=facts, findings=[finding])
            raise AirflowFailException(str(problem)) from problem
        super().execute_complete(context, event)
        self.log.info("approved by %s at %s", answer.who, answer.at.isoformat())
        self.contribute(context, facts=facts, measurements=self._waited(context, answer))
        return facts

    def _requester(self, context: Context) -> str:
        from ledgerkeep.recovery.approval import refuse_unknown_requester

        return refuse_unknown_requester(context["dag_run"].triggering_user_name, self.change)

    def _waited(self, context: Context, answer: Answer) -> dict[str, float]:
        from datetime import datetime

        asked_at = context["ti"].xcom_pull(task_ids=self.task_id, key=_ASKED_AT)
        if not asked_at:
            return {}
        waited = answer.at - datetime.fromisoformat(asked_at)
        return {"approval_wait_seconds": max(0.0, waited.total_seconds())}


class ApproveChangesOperator(ApproveOperator):
    """Ask a second person if there is something to change; else it passes, and approves nothing.

    Returns what `ApproveOperator` does, or nothing where nobody had to be asked.

    :param changes: how many changes there would be; 0: nobody is asked (templated)
    """

    template_fields: Sequence[str] = (*ApproveOperator.template_fields, "changes")

    def __init__(self, *, changes: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.changes = changes

    def execute(self, context: Context) -> Any:
        """Ask, or pass."""
        if not int(self.changes):
            self.log.info("nothing is to be changed, so nobody is asked")
            return {}
        return super().execute(context)


def _answer(event: dict[str, Any]) -> Answer:
    """Airflow's event as a record."""
    from ledgerkeep.recovery.approval import Answer

    user = event.get("responded_by_user") or {}
    return Answer(
        chosen=event["chosen_options"],
        at=event["responded_at"],
        user_id=user.get("id"),
        user_name=user.get("name"),
        options={name: str(value) for name, value in (event.get("params_input") or {}).items()},
    )
