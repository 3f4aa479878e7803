"""Operators of the transaction log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context


class ShipWalOperator(LedgerkeepOperator):
    """Switch the WAL segment and ship everything up to that point over the policy's slot.

    Returns the ids of the stretches that were recorded, one per timeline.
    """

    def execute(self, context: Context) -> list[str]:
        """Ship."""
        from ledgerkeep.catalog.lsn import format_lsn
        from ledgerkeep.database.postgres.ship_wal import ship_wal

        with self.ending_well(context):
            stretches = ship_wal(
                self.address, self.catalog, run=run_name(context), progress=self.progress()
            )
        for stretch in stretches:
            self.log.info(
                "%d segments durable, up to %s: every transaction before %s can be recovered",
                stretch.segment_count,
                format_lsn(stretch.end_lsn),
                stretch.covered_until.isoformat(),
            )
        self.contribute(
            context,
            recovery_point_ids=[stretch.id for stretch in stretches],
            measurements={
                "segments": sum(stretch.segment_count for stretch in stretches),
                "raw_bytes": sum(stretch.raw_bytes for stretch in stretches),
                "stored_bytes": sum(stretch.stored_bytes for stretch in stretches),
            },
            findings=[
                {
                    "what": f"WAL from {format_lsn(stretch.hole_before.start_lsn)} to "
                    f"{format_lsn(stretch.hole_before.end_lsn)} is lost: no recovery into it",
                    "severity": "warning",
                }
                for stretch in stretches
                if stretch.hole_before
            ],
        )
        return [stretch.id for stretch in stretches]


class ShipWalPastOperator(ShipWalOperator):
    """Ship WAL until it covers a fingerprint; where what is stored already does, do nothing.

    :param fingerprint_id: the fingerprint; None: ship (templated)
    """

    template_fields: Sequence[str] = (*ShipWalOperator.template_fields, "fingerprint_id")

    def __init__(self, *, fingerprint_id: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fingerprint_id = fingerprint_id

    def execute(self, context: Context) -> list[str]:
        """Look, then ship if need be."""
        with self.ending_well(context):
            covered = self.fingerprint_id is not None and self._covers(self.fingerprint_id)
        if covered:
            self.log.info("the stored WAL covers %s already", self.fingerprint_id)
            return []
        return super().execute(context)

    def _covers(self, fingerprint_id: str) -> bool:
        fingerprint = self.catalog.find_fingerprint(fingerprint_id)
        needed = max(one.lsn for one in fingerprint.databases)
        stretches = self.catalog.stretches(fingerprint.system_identifier)
        return any(
            stretch.timeline == fingerprint.timeline and stretch.end_lsn >= needed
            for stretch in stretches
        )
