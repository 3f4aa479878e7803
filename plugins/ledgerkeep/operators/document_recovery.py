"""Operators of a recovery of documents: from a filled-in form to a report of every key.

What passes from task to task is the plan in short; the plan itself, the journal and the report are
objects in the backup bucket. Each task can be tried again: planning makes a new plan, carrying out
goes on where it was, the report is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from ledgerkeep.operators.approval import PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.documents.recovery.plan import DocumentPlan
    from ledgerkeep.documents.recovery.report import RecoveryReport
    from ledgerkeep.documents.recovery.request import DocumentRequest, Source
    from ledgerkeep.documents.recovery.route import Route
    from ledgerkeep.policy.documents import DocumentRecovery

READABLE = "readable"
"""XCom key of the plan in Markdown, for whoever approves it."""


class DocumentsOperator(LedgerkeepOperator):
    """What the steps share: the policy's section, and the way from bucket to bucket."""

    @cached_property
    def section(self) -> DocumentRecovery:
        """How recoveries of documents are decided and carried out; the defaults where unsaid."""
        from ledgerkeep.hooks.connections import documents_of
        from ledgerkeep.policy.documents import DocumentRecovery

        return documents_of(self.policy).recovery or DocumentRecovery()

    def route(self, taken_from: Source) -> Route:
        """From the bucket or its replica into the bucket."""
        from ledgerkeep.documents.recovery.route import Route
        from ledgerkeep.hooks.connections import (
            documents_of,
            open_policy_documents,
            open_policy_replica,
        )

        primary, replica = open_policy_documents(self.policy), documents_of(self.policy).replica
        if taken_from == "primary":
            return Route(primary, primary)
        shares = replica is not None and replica.account_id is None
        return Route(open_policy_replica(self.policy), primary, shares_identity=shares)


class PlannedDocumentsOperator(DocumentsOperator):
    """A step that follows a plan.

    :param plan: what the plan's task returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "plan")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def document_plan(self) -> DocumentPlan:
        """The plan."""
        from ledgerkeep.documents.recovery.plan import DocumentPlan

        return DocumentPlan.model_validate(self.plan)


class PlanDocumentsOperator(DocumentsOperator):
    """Read the run's form, list, decide, show; nothing is touched. Returns the plan in short."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, plan, show."""
        from ledgerkeep.documents.recovery.form import read_form, reason_of
        from ledgerkeep.documents.recovery.plan import make_plan
        from ledgerkeep.documents.recovery.summary import describe, doubts_about, summarise

        form = dict(context["params"])
        with self.ending_well(context):
            request, reason = read_form(form), reason_of(form)
            plan = make_plan(self.catalog, request, self.route(request.source), tell=self.log.info)
        for line in describe(plan):
            self.log.info("%s", line)
        asked_by = context["dag_run"].triggering_user_name or "unknown"
        task = context["ti"]
        task.xcom_push(key=READABLE, value=summarise(plan, reason=reason, asked_by=asked_by))
        task.xcom_push(key=PLAN_DIGEST, value=plan.digest())
        scenario = str(form["scenario"])
        self.contribute(
            context,
            scenario=f"{reason} ({scenario.replace('_', ' ')})",
            objective=scenario,
            measurements={
                "planned_documents": plan.steps,
                "planned_bytes": plan.bytes_to_copy,
                "conflicts": plan.keys["conflict"],
            },
            facts={
                "requested_by": asked_by,
                "reason": reason,
                "selection": plan.selection,
                "target": plan.goal,
                "source": plan.source,
                "plan": plan.lines.key,
                "plan_sha256": plan.lines.sha256,
            },
            findings=[{"what": doubt, "severity": "warning"} for doubt in doubts_about(plan)],
        )
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned


class ThawDocumentsOperator(PlannedDocumentsOperator):
    """Ask the store for everything of the plan that lies in cold storage. Returns how many."""

    def execute(self, context: Context) -> int:
        """Ask."""
        from ledgerkeep.documents.recovery.cold import ask_for_cold

        plan = self.document_plan()
        with self.ending_well(context):
            asked = ask_for_cold(
                self.catalog,
                plan,
                self.route(plan.taken_from).source,
                tier=self.section.thaw_tier,
                days=self.section.thawed_for,
                concurrency=self.section.concurrency,
            )
        self.log.info("%d documents asked for from cold storage", asked)
        self.contribute(context, measurements={"thawed_documents": asked})
        return asked


class WaitForThawSensor(BaseSensorOperator, PlannedDocumentsOperator):
    """Wait until everything of the plan can be read; no worker is held between two looks.

    :param poll: between two looks
    :param patience: what is not readable then makes the run fail
    """

    def __init__(self, *, poll: timedelta, patience: timedelta, **kwargs: Any) -> None:
        super().__init__(
            poke_interval=poll.total_seconds(),
            timeout=patience.total_seconds(),
            mode="reschedule",
            **kwargs,
        )

    def poke(self, context: Context) -> bool:
        """Look once."""
        from ledgerkeep.documents.recovery.cold import still_cold

        plan = self.document_plan()
        with self.ending_well(context):
            waiting = still_cold(
                self.catalog,
                plan,
                self.route(plan.taken_from).source,
                concurrency=self.section.concurrency,
            )
        if waiting is not None:
            self.log.info("%s (%s) is still cold", waiting.key, waiting.storage_class)
        return waiting is None


class RecoverDocumentsOperator(ApprovedOperator, PlannedDocumentsOperator):
    """Carry out the plan that was approved, and no other. Returns what was done, in figures."""

    template_fields: Sequence[str] = (*PlannedDocumentsOperator.template_fields, "approval")

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the approval once more, then copy."""
        from ledgerkeep.documents.recovery.carry_out import carry_out

        plan = self.document_plan()
        with self.ending_well(context):
            self.refuse_unapproved(plan.digest())
            done = carry_out(
                self.catalog,
                plan,
                self.route(plan.taken_from),
                concurrency=self.section.concurrency,
                tell=self.log.info,
            )
        for outcome, count in sorted(done.outcomes.items()):
            self.log.info("%9d %s", count, outcome)
        for failure in done.failures:
            self.log.error("%s", failure)
        copied = done.outcomes.get("copied", 0)
        self.contribute(
            context,
            measurements={
                "copied_bytes": done.bytes_copied,
                "copy_seconds": done.seconds,
                "documents_per_second": copied / done.seconds if done.seconds else 0.0,
            },
        )
        said: dict[str, Any] = done.model_dump(mode="json")
        return said


class ReportDocumentsOperator(PlannedDocumentsOperator):
    """Prove every copy, write the report of every key, and say whether all is as planned.

    Returns the key of the report.
    """

    def execute(self, context: Context) -> str:
        """Prove, write, judge."""
        from ledgerkeep.documents.recovery.plan import read_plan
        from ledgerkeep.documents.recovery.report import refuse_unfinished, write_report
        from ledgerkeep.model import utc_now

        plan = self.document_plan()
        with self.ending_well(context):
            request, _ = read_plan(self.catalog.store, plan)
            report = write_report(
                self.catalog,
                plan,
                self.route(plan.taken_from),
                concurrency=self.section.concurrency,
                tell=self.log.info,
            )
            began: datetime = context["dag_run"].start_date
            self._contribute(context, request, report, began, utc_now())
            refuse_unfinished(report)
        return report.lines.key

    def _contribute(
        self,
        context: Context,
        request: DocumentRequest,
        report: RecoveryReport,
        began: datetime,
        ended: datetime,
    ) -> None:
        from ledgerkeep.documents.recovery.findings import criteria_of, findings_of, given_up

        for finding in findings_of(report):
            self.log.warning("%s", finding["what"])
        self.contribute(
            context,
            measurements={
                "rto_seconds": max(0.0, (ended - began).total_seconds()),
                "rpo_seconds": given_up(request, began),
                **{f"documents_{name}": count for name, count in report.outcomes.items()},
            },
            facts={
                "report": report.lines.key,
                "report_sha256": report.lines.sha256,
                "proofs": ", ".join(f"{count} by {how}" for how, count in report.proofs.items())
                or "nothing was copied",
            },
            findings=findings_of(report),
            criteria=criteria_of(report),
        )
