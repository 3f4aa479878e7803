"""Operators that hold the documents against a restored copy: both at the same moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.operators.restore import RoomOperator

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Context

    from ledgerkeep.documents.moment import MomentCheck, MomentResult


class ChooseMomentOperator(LedgerkeepOperator):
    """Choose the moment that a restore test goes back to: now, by the database's own clock."""

    def execute(self, context: Context) -> str:
        """Ask the server."""
        from ledgerkeep.database.postgres.address import connect

        with self.ending_well(context), connect(self.address) as connection:
            (at,) = connection.execute("SELECT clock_timestamp()").fetchall()[0]
        at = at.isoformat()
        self.log.info("database and documents go back to %s", at)
        self.contribute(context, facts={"moment": at})
        return str(at)


class CheckMomentOperator(RoomOperator):
    """Find the version of the object that each document row of the copy needs.

    Returns the key of the record; nothing where nobody asked for it.

    :param restored: what `RestoreClusterOperator` returned (templated)
    :param documents: ``none``, ``check``, or ``plan``: say also how the documents are recovered to
        the same moment (templated)
    :param lost_fails: whether a row without its object fails the task (a restore test), or is told
        (a recovery: a database without some documents is better than none)
    """

    template_fields: Sequence[str] = (*RoomOperator.template_fields, "restored", "documents")

    def __init__(
        self, *, restored: Any, documents: str = "check", lost_fails: bool, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.restored = restored
        self.documents = documents
        self.lost_fails = lost_fails

    def execute(self, context: Context) -> str:
        """Compare."""
        from ledgerkeep.documents.moment import refuse_lost

        if self.documents in ("", "none"):
            self.log.info("nobody asked for the documents of the moment")
            return ""
        with self.ending_well(context):
            result = self._compared(context)
            self._say(context, result)
            if self.lost_fails:
                refuse_lost(result)
        if self.documents == "plan":
            self._say_how(context, result)
        return result.key

    def _compared(self, context: Context) -> MomentResult:
        from ledgerkeep.documents.moment import check_moment
        from ledgerkeep.hooks.connections import open_policy_documents
        from ledgerkeep.recovery.replay import open_copy

        bucket = open_policy_documents(self.policy)
        with open_copy(self.catalog, self.room(context), settings=self.settings) as copy:
            return check_moment(
                copy.address, bucket, self.catalog, at=self._moment(), run=run_name(context)
            )

    def _moment(self) -> datetime:
        from ledgerkeep.recovery.handover import stands_at
        from ledgerkeep.recovery.restore import RestoreResult

        result = RestoreResult.model_validate(self.restored)
        return stands_at(self.recovery_plan(), result.recovered_to)

    def _say(self, context: Context, result: MomentResult) -> None:
        check = result.check
        self.log.info("%s", check.describe())
        for words in result.first:
            self.log.warning("%s", words)
        self.contribute(
            context,
            measurements={
                "document_rows": check.row_count,
                "documents_to_recover": check.not_current,
                "documents_without_row": check.without_row,
                **{f"documents_{state}": count for state, count in check.states.items()},
                **{f"contents_{how}": count for how, count in check.compared.items()},
            },
            facts={
                "documents_at": check.at.isoformat(),
                "documents_manifest": f"{check.manifest.key} sha256 {check.manifest.sha256}",
                "documents_findings": f"{check.findings.key} sha256 {check.findings.sha256}",
            },
            findings=list(_findings(check)),
        )

    def _say_how(self, context: Context, result: MomentResult) -> None:
        from ledgerkeep.documents.moment import how_to_recover

        words = how_to_recover(result, self.environment)
        for line in words:
            self.log.info("%s", line)
        self.contribute(context, facts={"documents_recovery": " ".join(words)})


class RestoreSampleOperator(LedgerkeepOperator):
    """Restore a few of the moment's documents into a place of their own, and compare their bytes.

    :param check: key of the record that `CheckMomentOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "check")

    def __init__(self, *, check: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = check

    def execute(self, context: Context) -> dict[str, int]:
        """Restore, compare."""
        from ledgerkeep.documents.moment import MomentCheck
        from ledgerkeep.documents.moment_sample import restore_sample
        from ledgerkeep.hooks.connections import documents_of, open_policy_documents

        with self.ending_well(context):
            result = restore_sample(
                open_policy_documents(self.policy),
                self.catalog,
                self.catalog.read(self.check, MomentCheck),
                run=run_name(context),
                count=documents_of(self.policy).one_moment.sample,
                progress=self.progress(),
            )
        self.log.info("%d documents are what their rows say", result.documents)
        self.contribute(
            context,
            measurements={
                "sampled_documents": result.documents,
                "sampled_bytes": result.stored_bytes,
                "sampled_cold": result.cold,
            },
        )
        restored: dict[str, int] = result.model_dump(mode="json")
        return restored


class RemoveSampleOperator(LedgerkeepOperator):
    """Remove the documents that the test restored, whatever became of it; a teardown."""

    def execute(self, context: Context) -> int:
        """Remove."""
        from ledgerkeep.documents.moment_sample import remove_sample

        with self.ending_well(context):
            return remove_sample(self.catalog, run_name(context))


def _findings(check: MomentCheck) -> list[dict[str, str]]:
    from ledgerkeep.documents.moment import FINDINGS, LOST

    return [
        {
            "what": f"{check.states[state]} document rows at {check.at.isoformat()}: {state}",
            "severity": "critical" if state in LOST else "warning",
        }
        for state in FINDINGS
        if check.states.get(state)
    ]
