"""Operators that show how good a restored copy is: identical to the source, then usable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import run_name
from ledgerkeep.operators.restore import RoomOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.catalog.models import Proof
    from ledgerkeep.recovery.validation_report import ValidationReport


class ProveCopyOperator(RoomOperator):
    """Hold the copy against the fingerprint, at the same LSN, table by table.

    Returns the proof, not yet recorded; None where there is no fingerprint to hold it against.

    :param fingerprint_id: the fingerprint (templated)
    """

    template_fields: Sequence[str] = (*RoomOperator.template_fields, "fingerprint_id")

    def __init__(self, *, fingerprint_id: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fingerprint_id = fingerprint_id

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Compare."""
        from ledgerkeep.recovery.proof import prove_copy

        if not self.fingerprint_id:
            self.log.warning("there is no fingerprint of the source: nothing to compare with")
            return None
        with self.ending_well(context, self.recovery_plan().backup_id):
            proof = prove_copy(
                self.catalog,
                self.room(context),
                self.catalog.find_fingerprint(self.fingerprint_id),
                settings=self.settings,
                run=run_name(context),
                progress=self.progress(),
            )
        self.log.info("identical: %d tables, %d rows", proof.tables_compared, proof.rows_compared)
        self.contribute(
            context,
            measurements={
                "tables_compared": proof.tables_compared,
                "rows_compared": proof.rows_compared,
            },
            findings=[
                {"what": f"only sampled: {table}", "severity": "info"}
                for table in proof.sampled_tables
            ],
        )
        proven: dict[str, Any] = proof.model_dump(mode="json")
        return proven


class ValidateCopyOperator(RoomOperator):
    """Promote the copy, check its pages and the policy's expectations, and record the proof.

    Returns the level that was shown.

    :param restored: what `RestoreClusterOperator` returned (templated)
    :param proven: what `ProveCopyOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*RoomOperator.template_fields, "restored", "proven")

    def __init__(self, *, restored: Any, proven: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.restored = restored
        self.proven = proven

    def execute(self, context: Context) -> str:
        """Validate, and record how far the backup has been shown to be good."""
        from ledgerkeep.errors import LedgerkeepError
        from ledgerkeep.recovery.validation import validate_room

        with self.ending_well(context, self.recovery_plan().backup_id):
            try:
                reports = validate_room(
                    self.catalog,
                    self.room(context),
                    settings=self.settings,
                    target=self._where_the_copy_stands(),
                    progress=self.progress(),
                )
            except LedgerkeepError as problem:
                self._record(context, None, because=problem.message)
                raise
            proof = self._record(context, reports)
        for report in reports:
            self.log.info("%s: %d expectations hold", report.suite, len(report.outcomes))
        self.log.info("recorded: %s is %s", proof.recovery_point_id, proof.level)
        self.contribute(
            context,
            recovery_point_ids=[proof.recovery_point_id],
            measurements={"expectations": sum(len(report.outcomes) for report in reports)},
            criteria=[self._integrity(proof, reports)],
        )
        return proof.level

    def _integrity(self, proof: Proof, reports: Sequence[ValidationReport]) -> dict[str, Any]:
        from ledgerkeep.evidence.criteria import INTEGRITY, Criterion

        held = ", ".join(f"{report.suite}: {len(report.outcomes)} hold" for report in reports)
        compared = (
            f"identical to the source in {proof.tables_compared} tables, {proof.rows_compared} rows"
            if proof.level == "proven"
            else f"not compared with the source: {proof.stops_because}"
        )
        words = f"{proof.level}; {held}; {compared}"
        return Criterion(name=INTEGRITY, met=True, words=words).model_dump()

    def _where_the_copy_stands(self) -> Any:
        from ledgerkeep.recovery.proof import last_target

        proof = self._proof()
        if proof is None or proof.fingerprint_id is None:
            return None
        return last_target(self.catalog.find_fingerprint(proof.fingerprint_id))

    def _proof(self) -> Proof | None:
        from ledgerkeep.catalog.models import Proof

        return Proof.model_validate(self.proven) if self.proven else None

    def _record(self, context: Context, reports: Any, *, because: str = "") -> Proof:
        from ledgerkeep.recovery.proof import record_proof

        return record_proof(
            self.catalog,
            self.recovery_plan(),
            run=run_name(context),
            identical=self._proof(),
            validated=reports,
            because=because or self._why_not_identical(),
            restore_seconds=self.restored["recovery_seconds"],
        )

    def _why_not_identical(self) -> str:
        """Why the source gave no fingerprint, in the words of its own description."""
        from ledgerkeep.database.postgres.address import connect
        from ledgerkeep.database.postgres.description import describe
        from ledgerkeep.database.postgres.fingerprint import why_no_exact_fingerprint
        from ledgerkeep.errors import DatabaseUnavailable

        if self.proven:
            return ""
        try:
            with connect(self.address) as connection:
                return why_no_exact_fingerprint(describe(connection))
        except DatabaseUnavailable:
            # What was shown counts all the same; the record says that nothing was compared.
            return ""
