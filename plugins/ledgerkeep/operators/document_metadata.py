"""Operators of the metadata check: rows and objects compared, and what can be put right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.documents.metadata.check import CheckResult
    from ledgerkeep.documents.metadata.repair import Repaired, RepairPlan
    from ledgerkeep.documents.metadata.snapshot import MetadataCheck

READABLE = "readable"
"""XCom key of the repair in Markdown, for whoever approves it."""
REPAIR_BODY = f"""\
{{{{ ti.xcom_pull(task_ids='plan', key='{READABLE}') }}}}

**Approve** only if you did not ask for it yourself: that would be refused.
"""


class CheckMetadataOperator(LedgerkeepOperator):
    """Hold the document rows and the objects against each other, and log what changed in the rows.

    Documents that are lost or are not what their row says fail the task, unless a repair was asked
    for. Returns the key of the check's record.

    :param repair: `True`: leave the verdict to the repair (templated)
    :param fresh: `True`: count what happened within the policy's grace, too (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "repair", "fresh")

    def __init__(self, *, repair: Any = "False", fresh: Any = "False", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repair = repair
        self.fresh = fresh

    def execute(self, context: Context) -> str:
        """Compare."""
        from ledgerkeep.documents.metadata.check import check_metadata
        from ledgerkeep.hooks.connections import open_policy_documents

        with self.ending_well(context):
            result = check_metadata(
                self.address,
                open_policy_documents(self.policy),
                self.catalog,
                run=run_name(context),
                fresh=asked(self.fresh),
                progress=self._rows_so_far,
            )
        self._say(context, result)
        grave = _grave(result.check)
        if grave and not asked(self.repair):
            raise AirflowFailException(
                f"documents and their rows disagree: {grave}\n"
                f"Hint: all findings are in {result.check.findings.key}; start the check with "
                "repair to put back the versions that the rows tell of"
            )
        return result.key

    def _rows_so_far(self, done: int, total: int | None, what: str) -> None:
        if done % 100_000 == 0:
            self.log.info("%d %s compared", done, what)

    def _say(self, context: Context, result: CheckResult) -> None:
        from ledgerkeep.documents.metadata.merge import REPAIRABLE, WORDS

        check = result.check
        for finding in result.first:
            self.log.warning("%s", finding.describe())
        for warning in result.warnings:
            self.log.warning("%s", warning)
        findings = [{"what": words, "severity": "warning"} for words in result.warnings]
        for kind, words in WORDS.items():
            if count := check.found.get(kind):
                severity = "critical" if kind in REPAIRABLE else "warning"
                findings.append({"what": f"{count} {words}", "severity": severity})
        self.contribute(
            context,
            measurements={
                "document_rows": check.row_count,
                "documents": check.object_count,
                "rows_added": check.added,
                "rows_removed": check.removed,
                "rows_changed": check.changed,
                "on_their_way": check.on_its_way,
                "contents_read_bytes": check.read_bytes,
                **{f"contents_{how}": count for how, count in check.compared.items()},
            },
            findings=findings,
            facts={
                "metadata_check": result.key,
                "metadata_changes": f"{check.changes.key} sha256 {check.changes.sha256}",
                "metadata_changes_since": check.since.isoformat() if check.since else "first run",
                "metadata_findings": f"{check.findings.key} sha256 {check.findings.sha256}",
            },
        )


class PlanMetadataRepairOperator(LedgerkeepOperator):
    """Look for the versions that the rows of the findings tell of; nothing is touched.

    Returns the plan in short; nothing where no repair was asked for.

    :param check: what `CheckMetadataOperator` returned (templated)
    :param repair: `True`: a repair was asked for; otherwise nothing is looked for (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "check", "repair")

    def __init__(self, *, check: Any, repair: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = check
        self.repair = repair

    def execute(self, context: Context) -> dict[str, Any]:
        """Look."""
        task = context["ti"]
        task.xcom_push(key=CHANGES, value=0)
        if not asked(self.repair):
            self.log.info("no repair was asked for")
            return {}
        with self.ending_well(context):
            plan = self._plan()
        for line in plan.describe().splitlines():
            self.log.info("%s", line)
        for line in plan.first_persons:
            self.log.warning("for a person: %s", line)
        task.xcom_push(key=CHANGES, value=plan.repair_count)
        task.xcom_push(key=READABLE, value=plan.describe())
        task.xcom_push(key=PLAN_DIGEST, value=plan.digest())
        self.contribute(
            context,
            measurements={"to_put_back": plan.repair_count, "to_put_back_bytes": plan.repair_bytes},
            facts={"for_a_person": f"{plan.persons.key} sha256 {plan.persons.sha256}"},
        )
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def _plan(self) -> RepairPlan:
        from ledgerkeep.documents.metadata.repair import plan_repair
        from ledgerkeep.documents.metadata.snapshot import MetadataCheck
        from ledgerkeep.hooks.connections import open_policy_documents

        check = self.catalog.read(self.check, MetadataCheck)
        return plan_repair(open_policy_documents(self.policy), self.catalog, check)


class RepairMetadataOperator(ApprovedOperator):
    """Put back what was approved; what is left for a person fails the task.

    Returns what was done, and to how many.

    :param planned: what `PlanMetadataRepairOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*ApprovedOperator.template_fields, "planned")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, int]:
        """Repair."""
        from ledgerkeep.documents.metadata.repair import RepairPlan

        if not self.planned:
            return {}
        plan = RepairPlan.model_validate(self.planned)
        done: dict[str, int] = {}
        if plan.repair_count:
            with self.ending_well(context):
                repaired = self._repaired(plan)
            self._say(context, repaired)
            done = repaired.counts
        self._refuse_rest(context, plan, done)
        return done

    def _repaired(self, plan: RepairPlan) -> Repaired:
        from ledgerkeep.documents.metadata.repair import repair
        from ledgerkeep.hooks.connections import open_policy_documents

        self.refuse_unapproved(plan.digest(), "repair")
        return repair(self.address, open_policy_documents(self.policy), self.catalog, plan)

    def _say(self, context: Context, repaired: Repaired) -> None:
        told = ", ".join(f"{count} {what}" for what, count in sorted(repaired.counts.items()))
        self.log.info("documents put back: %s", told)
        self.contribute(
            context,
            measurements={"put_back_bytes": repaired.restored_bytes},
            findings=[{"what": f"documents put back: {told}", "severity": "info"}],
        )

    def _refuse_rest(self, context: Context, plan: RepairPlan, done: dict[str, int]) -> None:
        left = sum(count for what, count in done.items() if what.endswith("changed"))
        words = []
        if plan.person_count:
            words.append(f"{plan.person_count} findings need a person ({plan.persons.key})")
        if left:
            words.append(f"{left} documents changed since the plan and were left alone")
        if not words:
            return
        self.contribute(context, findings=[{"what": said, "severity": "warning"} for said in words])
        raise AirflowFailException(
            "; ".join(words) + "\nHint: look at each: the row may be wrong, or the replica or a "
            "restored copy of the database may have what is missing here"
        )


def asked(repair: Any) -> bool:
    """Whether a repair was asked for, as a template gives it."""
    return str(repair) == "True"


def _grave(check: MetadataCheck) -> str:
    from ledgerkeep.documents.metadata.merge import REPAIRABLE, WORDS

    return ", ".join(
        f"{check.found[kind]} {WORDS[kind]}" for kind in REPAIRABLE if check.found.get(kind)
    )
