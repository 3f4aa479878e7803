"""Operators of the fingerprint: what the source held at exactly one point of its WAL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context


class FingerprintOperator(LedgerkeepOperator):
    """Record the content of the policy's databases at an exact LSN each.

    Returns the fingerprint's id. Where the source cannot give one (`wal_level` is not logical)
    it returns None and says why, and what builds on it proves no more than `validated`.
    """

    def execute(self, context: Context) -> str | None:
        """Take it."""
        from ledgerkeep.database.postgres.address import connect
        from ledgerkeep.database.postgres.description import describe
        from ledgerkeep.database.postgres.fingerprint import (
            take_fingerprint,
            why_no_exact_fingerprint,
        )

        with self.ending_well(context):
            with connect(self.address) as connection:
                reason = why_no_exact_fingerprint(describe(connection))
            if reason:
                self.log.warning("no fingerprint: %s", reason)
                self.contribute(context, findings=[{"what": reason, "severity": "info"}])
                return None
            fingerprint = take_fingerprint(
                self.address, self.catalog, run=run_name(context), progress=self.progress()
            )
        tables = [table for one in fingerprint.databases for table in one.tables]
        self.contribute(
            context,
            recovery_point_ids=[fingerprint.id],
            measurements={"tables": len(tables), "rows": sum(table.rows for table in tables)},
        )
        return fingerprint.id


class ProvableFingerprintOperator(FingerprintOperator):
    """The fingerprint that a test proves against: a stored one by its id, or a new one.

    :param stored: id of a stored fingerprint, for when the source is gone; empty: take a new one
        (templated)
    """

    template_fields: Sequence[str] = (*FingerprintOperator.template_fields, "stored")

    def __init__(self, *, stored: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stored = stored

    def execute(self, context: Context) -> str | None:
        """Find it, or take it."""
        if not self.stored:
            return super().execute(context)
        with self.ending_well(context):
            found = self.catalog.find_fingerprint(self.stored)
        self.log.info("proving against %s of %s", found.id, found.created_at.isoformat())
        self.contribute(context, recovery_point_ids=[found.id])
        return found.id
