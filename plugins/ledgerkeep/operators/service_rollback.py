"""Operators of a rollback of services: plan, roll back, watch, and go back if it does not hold.

Nothing waits on a worker: two sensors look at the deployments and let go of theirs in between. The
first ends well whatever it sees, and says what; whether the services go back is the next task's
affair, which comes even if something before it failed. The second makes the run fail when they had
to. Every task can be killed and tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator
from ledgerkeep.operators.configuration_backup import ConfigurationOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.configuration.rollback.carry_out import Judgement
    from ledgerkeep.configuration.rollback.plan import RollbackInShort, RollbackPlan
    from ledgerkeep.configuration.sources.services import Services

READABLE = "readable"
"""XCom key of the plan in Markdown, for whoever approves it."""


class RollbackOperator(ConfigurationOperator):
    """Base: the services of the policy."""

    @cached_property
    def services(self) -> Services:
        """The policy's services, behind its connection."""
        from typing import cast

        from ledgerkeep.configuration.registry import open_source
        from ledgerkeep.configuration.sources.services import Services

        return cast(Services, open_source("services", self.access, self.policy))

    def judged(self, deployed: dict[str, Any]) -> tuple[Judgement, bool]:
        """How deployments go, and whether their time is over.

        :param deployed: `revisions` by service, and `at` when they were asked for
        """
        from ledgerkeep.configuration.rollback.carry_out import judge
        from ledgerkeep.model import utc_now

        shall = deployed["revisions"]
        found = judge(self.services.states(shall), shall)
        for key, words in {**found.waiting, **found.failed}.items():
            self.log.info("%s: %s", key, words)
        patience = timedelta(seconds=self.services.patience)
        return found, utc_now() >= datetime.fromisoformat(deployed["at"]) + patience


class PlannedRollbackOperator(RollbackOperator):
    """A step that follows a plan.

    :param plan: what the plan's task returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "plan")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def rollback_plan(self) -> RollbackPlan:
        """The whole plan, from the bucket."""
        from ledgerkeep.configuration.rollback.plan import RollbackInShort, read_plan

        return read_plan(self.versions, RollbackInShort.model_validate(self.plan))


class PlanRollbackOperator(RollbackOperator):
    """Read the run's form, look, compare, show; nothing is touched. Returns the plan in short."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, plan, show."""
        from ledgerkeep.configuration.rollback.plan import readable, write_plan
        from ledgerkeep.configuration.rollback.request import read_form, reason_of
        from ledgerkeep.configuration.rollback.target import make_plan

        form = dict(context["params"])
        with self.ending_well(context):
            request, reason = read_form(form), reason_of(form)
            plan = make_plan(self.services, self.versions, self.marker, request)
            short = write_plan(self.versions, plan)
        for line in plan.describe():
            self.log.info("%s", line)
        asked_by = context["dag_run"].triggering_user_name or "unknown"
        shown = readable(plan, reason=reason, asked_by=asked_by)
        context["ti"].xcom_push(key=READABLE, value=shown)
        context["ti"].xcom_push(key=PLAN_DIGEST, value=plan.digest())
        context["ti"].xcom_push(key=CHANGES, value=short.changes)
        self._contribute(context, plan, short, reason, asked_by)
        planned: dict[str, Any] = short.model_dump(mode="json")
        return planned

    def _contribute(
        self,
        context: Context,
        plan: RollbackPlan,
        short: RollbackInShort,
        reason: str,
        asked_by: str,
    ) -> None:
        scenario = str(context["params"]["scenario"])
        version = [f"services/{plan.version_id}"] if plan.version_id else []
        self.contribute(
            context,
            recovery_point_ids=version,
            scenario=f"{reason} ({scenario.replace('_', ' ')})",
            objective=scenario,
            measurements={"planned_services": float(len(plan.steps))},
            facts={
                "requested_by": asked_by,
                "reason": reason,
                "target": plan.request.words,
                "services": "; ".join(step.words for step in plan.steps) or "none",
                "plan": short.stored.key,
                "plan_sha256": short.stored.sha256,
            },
            findings=[{"what": doubt, "severity": "warning"} for doubt in plan.doubts()],
        )


class RollBackServicesOperator(ApprovedOperator, PlannedRollbackOperator):
    """Let the services run what they shall, only as it was approved; returns before it is stable.

    Returns which revision each shall run, and since when.
    """

    template_fields: Sequence[str] = (*PlannedRollbackOperator.template_fields, "approval")

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the approval once more, then deploy."""
        from ledgerkeep.configuration.rollback.carry_out import roll_back
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            plan = self.rollback_plan()
            if plan.steps:
                self.refuse_unapproved(plan.digest(), "rollback")
            deployed = roll_back(
                self.services, self.versions, self.marker, plan, tell=self.log.info
            )
        self.contribute(context, facts={"deployed": ", ".join(sorted(deployed.values())) or "none"})
        return {"revisions": deployed, "at": utc_now().isoformat()}


class WaitForRollbackSensor(RollbackOperator, BaseSensorOperator):
    """Look until every service is stable, one has failed, or the policy's time is over.

    Returns what did not become stable, and why; that makes no task fail yet.

    :param deployed: what the rollback's task returned (templated)
    :param poll: between two looks
    :param patience: within which every service has to be stable
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "deployed")

    def __init__(
        self, *, deployed: Any, poll: timedelta, patience: timedelta, **kwargs: Any
    ) -> None:
        # The deadline counts from the deployment; what is above it is for a scheduler that is late.
        super().__init__(
            mode="reschedule",
            poke_interval=poll.total_seconds(),
            timeout=2 * patience.total_seconds(),
            **kwargs,
        )
        self.deployed = deployed

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            found, is_late = self.judged(self.deployed)
        unstable = {**found.failed, **(found.waiting if found.failed or is_late else {})}
        if unstable or not found.waiting:
            took = utc_now() - context["dag_run"].start_date
            self._contribute(context, unstable, max(0.0, took.total_seconds()))
            return PokeReturnValue(is_done=True, xcom_value={"unstable": unstable})
        return PokeReturnValue(is_done=False)

    def _contribute(self, context: Context, unstable: dict[str, str], took: float) -> None:
        words = "; ".join(f"{key}: {why}" for key, why in unstable.items())
        criteria = [
            {
                "name": "data integrity",
                "met": not unstable,
                "words": words or "every service runs what was planned, by the digest of it",
            },
            {
                "name": "application works",
                "met": not unstable,
                "words": words or "every service is stable: all of its tasks run, and no others",
            },
            {
                "name": "performance within range",
                "met": None,
                "words": "a rollback changes no number of tasks",
            },
        ]
        # What services run holds no data, so none is given up.
        measured = {} if unstable else {"rto_seconds": took, "rpo_seconds": 0.0}
        self.contribute(context, measurements=measured, criteria=criteria)


class GoBackOperator(PlannedRollbackOperator):
    """Let the services run again what they ran before, unless all of them are stable.

    It comes even if something before it failed, and touches only what this run has changed.
    Returns which revision each runs again, since when, and why.

    :param outcome: what the waiting task returned; None: it did not get that far (templated)
    """

    template_fields: Sequence[str] = (*PlannedRollbackOperator.template_fields, "outcome")

    def __init__(self, *, outcome: Any, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.outcome = outcome

    def execute(self, context: Context) -> dict[str, Any]:
        """Go back, if need be."""
        from ledgerkeep.configuration.rollback.carry_out import go_back
        from ledgerkeep.model import utc_now

        if not self.plan or (self.outcome and not self.outcome["unstable"]):
            return {"revisions": {}, "because": []}
        with self.ending_well(context):
            back, left = go_back(
                self.services, self.versions, self.rollback_plan(), tell=self.log.info
            )
        if not back and not left:
            self.log.info("no service was touched, so none goes back")
            return {"revisions": {}, "because": []}
        unstable = (self.outcome or {}).get("unstable", {})
        because = [f"{key} did not become stable: {why}" for key, why in unstable.items()]
        because = because or ["the rollback was not carried through"]
        for what in [*because, *left]:
            self.log.warning("%s", what)
        self.contribute(
            context,
            facts={"went_back": ", ".join(sorted(back)) or "none"},
            findings=[{"what": what, "severity": "critical"} for what in [*because, *left]],
        )
        return {"revisions": back, "because": [*because, *left], "at": utc_now().isoformat()}


class WaitForReturnSensor(RollbackOperator, BaseSensorOperator):
    """Look until the services that went back are stable again; then fail, saying why they did.

    Where none went back, it is done at once.

    :param gone_back: what the task that went back returned (templated)
    :param poll: between two looks
    :param patience: within which every service has to be stable
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "gone_back")

    def __init__(
        self, *, gone_back: Any, poll: timedelta, patience: timedelta, **kwargs: Any
    ) -> None:
        super().__init__(
            mode="reschedule",
            poke_interval=poll.total_seconds(),
            timeout=2 * patience.total_seconds(),
            **kwargs,
        )
        self.gone_back = gone_back

    def poke(self, context: Context) -> bool:
        """Look once."""
        because = "; ".join(self.gone_back["because"])
        if not because:
            return True
        with self.ending_well(context):
            found, is_late = self.judged(self.gone_back)
        if found.waiting and not found.failed and not is_late:
            return False
        unstable = {**found.failed, **found.waiting}
        if unstable:
            words = "; ".join(f"{key}: {why}" for key, why in unstable.items())
            what = f"{because}; and what ran before is not stable either: {words}"
            hint = "look at the stopped tasks of the services at once: they may serve nobody"
        else:
            back = ", ".join(self.gone_back["revisions"]) or "no service"
            what = f"{because}; running again what ran before: {back}"
            hint = "find the cause among the stopped tasks of the services, then roll back anew"
        self.contribute(context, findings=[{"what": what, "severity": "critical"}])
        raise AirflowFailException(f"{what}\nHint: {hint}")
