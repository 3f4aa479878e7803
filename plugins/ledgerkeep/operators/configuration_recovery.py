"""Operators of a recovery of configuration: from a filled-in form to everything read back.

What passes from task to task is the plan in short; the plan itself and the journal are objects in
the backup bucket. Each task can be tried again: planning makes a new plan, applying goes on where
it was, verifying reads anew. Values of secrets exist in the memory of one task, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.operators.configuration_backup import ConfigurationOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.configuration.recovery.carry_out import CarriedOut
    from ledgerkeep.configuration.recovery.plan import (
        ConfigurationPlan,
        PlanInShort,
        Planning,
    )
    from ledgerkeep.configuration.recovery.verify import Verified
    from ledgerkeep.configuration.source import Source

READABLE = "readable"
"""XCom key of the plan in Markdown, for whoever approves it."""


class PlannedConfigurationOperator(ConfigurationOperator):
    """A step that follows a plan.

    :param plan: what the plan's task returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "plan")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def in_short(self) -> PlanInShort:
        """The plan in short."""
        from ledgerkeep.configuration.recovery.plan import PlanInShort

        return PlanInShort.model_validate(self.plan)

    def read(self) -> tuple[Source, ConfigurationPlan]:
        """The source, and the whole plan from the bucket.

        :raises ObjectMissing, ObjectCorrupt, PolicyError, StorageError:
        """
        from ledgerkeep.configuration.recovery.plan import read_plan
        from ledgerkeep.configuration.registry import open_source

        short = self.in_short()
        return open_source(short.source, self.access, self.policy), read_plan(self.versions, short)


class PlanConfigurationOperator(ConfigurationOperator):
    """Read the run's form, compare, show; nothing is touched. Returns the plan in short."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, plan, show."""
        from ledgerkeep.configuration.recovery.form import read_form, reason_of
        from ledgerkeep.configuration.recovery.plan import make_plan
        from ledgerkeep.configuration.recovery.summary import summarise
        from ledgerkeep.configuration.registry import open_source, source_names

        form = dict(context["params"])
        with self.ending_well(context):
            request, reason = read_form(form, source_names(self.policy)), reason_of(form)
            source = open_source(request.source, self.access, self.policy)
            made = make_plan(source, self.versions, self.marker, request)
        asked_by = context["dag_run"].triggering_user_name or "unknown"
        shown = summarise(made.plan, made.short, reason=reason, asked_by=asked_by)
        for line in shown.splitlines():
            self.log.info("%s", line)
        context["ti"].xcom_push(key=READABLE, value=shown)
        context["ti"].xcom_push(key=PLAN_DIGEST, value=made.plan.digest())
        context["ti"].xcom_push(key=CHANGES, value=made.short.changes)
        self._contribute(context, made, str(form["scenario"]), reason, asked_by)
        short: dict[str, Any] = made.short.model_dump(mode="json")
        return short

    def _contribute(
        self, context: Context, made: Planning, scenario: str, reason: str, asked_by: str
    ) -> None:
        from ledgerkeep.configuration.recovery.evidence import doubts_about

        short = made.short
        self.contribute(
            context,
            recovery_point_ids=[f"{short.source}/{short.version_id}"],
            scenario=f"{reason} ({scenario.replace('_', ' ')})",
            objective=scenario,
            measurements={
                "planned_changes": short.changes,
                "left_to_a_person": short.by_hand,
                "left_alone": short.unknown,
                "the_same": short.same,
            },
            facts={
                "requested_by": asked_by,
                "reason": reason,
                "selection": made.plan.request.words,
                "version": short.version_id,
                "version_sha256": made.plan.content_sha256,
                "plan": short.stored.key,
                "plan_sha256": short.stored.sha256,
            },
            findings=[{"what": doubt, "severity": "warning"} for doubt in doubts_about(made.plan)],
        )


class ApplyConfigurationOperator(ApprovedOperator, PlannedConfigurationOperator):
    """Carry out the plan, only the one that was approved. Returns what was done, in figures."""

    template_fields: Sequence[str] = (*PlannedConfigurationOperator.template_fields, "approval")

    def execute(self, context: Context) -> dict[str, int]:
        """Ask for the approval once more, then apply."""
        from ledgerkeep.configuration.recovery.carry_out import carry_out, refuse_incomplete

        with self.ending_well(context):
            source, plan = self.read()
            if plan.changes:
                self.refuse_unapproved(plan.digest())
            done = carry_out(
                source,
                self.versions,
                self.marker,
                plan,
                run=run_name(context),
                tell=self.log.info,
            )
            counts = self._tell(context, done)
            refuse_incomplete(done)
        return counts

    def _tell(self, context: Context, done: CarriedOut) -> dict[str, int]:
        counts = {
            "applied": len(done.applied),
            "found_done": len(done.already),
            "failed": len(done.failed),
        }
        self.contribute(
            context,
            measurements={f"changes_{name}": float(count) for name, count in counts.items()},
            findings=[
                {"what": f"{key} could not be changed: {because}", "severity": "critical"}
                for key, because in done.failed.items()
            ],
        )
        return counts


class VerifyConfigurationOperator(PlannedConfigurationOperator):
    """Read everything back, compare it again, and ask the service. Returns how many are right."""

    def execute(self, context: Context) -> int:
        """Verify."""
        from ledgerkeep.configuration.recovery.verify import refuse_unverified, verify

        with self.ending_well(context):
            source, plan = self.read()
            found = verify(source, self.versions, self.marker, plan)
            self._tell(context, plan, found)
            refuse_unverified(found)
        return len(found.right)

    def _tell(self, context: Context, plan: ConfigurationPlan, found: Verified) -> None:
        from ledgerkeep.configuration.recovery.evidence import (
            criteria_of,
            findings_of,
            given_up,
        )
        from ledgerkeep.model import utc_now

        began = context["dag_run"].start_date
        for finding in findings_of(found):
            self.log.warning("%s", finding["what"])
        for criterion in criteria_of(found):
            self.log.info("%s: %s", criterion["name"], criterion["words"])
        self.contribute(
            context,
            measurements={
                "rto_seconds": max(0.0, (utc_now() - began).total_seconds()),
                "rpo_seconds": given_up(plan, began),
                "changes_verified": float(len(found.right)),
            },
            findings=findings_of(found),
            criteria=criteria_of(found),
        )
