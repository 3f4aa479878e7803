"""Operators of the transaction log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.catalog.models import Fingerprint, WalStretch


_LINE_SECONDS = 30.0
"""A run that streams goes on for minutes: its log tells that it lives, and stays readable."""


class _WalOperator(LedgerkeepOperator):
    """What became durable, told in one way."""

    def tell(
        self, context: Context, stretches: list[WalStretch], **measurements: float
    ) -> list[str]:
        """Log the stretches and leave them for the evidence; their ids."""
        from ledgerkeep.catalog.lsn import format_lsn

        for stretch in stretches:
            self.log.info(
                "%d %s durable, up to %s: every transaction before %s UTC can be recovered",
                stretch.segment_count,
                "segment" if stretch.segment_count == 1 else "segments",
                format_lsn(stretch.end_lsn),
                f"{stretch.covered_until:%Y-%m-%d %H:%M:%S}",
            )
        ids = [stretch.id for stretch in stretches]
        self.contribute(
            context,
            recovery_point_ids=ids,
            measurements={
                "segments": sum(stretch.segment_count for stretch in stretches),
                "raw_bytes": sum(stretch.raw_bytes for stretch in stretches),
                "stored_bytes": sum(stretch.stored_bytes for stretch in stretches),
                **measurements,
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
        return ids


class ShipWalOperator(_WalOperator):
    """Switch the WAL segment and ship everything up to that point over the policy's slot.

    Returns the ids of the stretches that were recorded, one per timeline.
    """

    def execute(self, context: Context) -> list[str]:
        """Ship."""
        from ledgerkeep.database.postgres.ship_wal import ship_wal

        with self.ending_well(context):
            stretches = ship_wal(
                self.address, self.catalog, run=run_name(context), progress=self.progress()
            )
        return self.tell(context, stretches)


class StreamWalOperator(_WalOperator):
    """Ship WAL over the policy's slot while it is written, for the policy's interval.

    Returns the ids of the stretches that were recorded. A server that nobody uses makes none.
    """

    def execute(self, context: Context) -> list[str]:
        """Stream."""
        from ledgerkeep.database.postgres.stream_wal import stream_wal

        with self.ending_well(context):
            streamed = stream_wal(
                self.address,
                self.catalog,
                run=run_name(context),
                progress=self.progress(interval=_LINE_SECONDS),
            )
        lag = streamed.durable_after
        if lag is None:
            if not streamed.stretches:
                self.log.info("nothing was written: all there is was durable before")
            return self.tell(context, streamed.stretches)
        self.log.info(
            "from commit to durable: half within %.1f s, 95 %% within %.1f s, all within %.1f s, "
            "the time without a run before this one included",
            lag.p50_seconds,
            lag.p95_seconds,
            lag.max_seconds,
        )
        return self.tell(
            context,
            streamed.stretches,
            commit_to_durable_p50_seconds=lag.p50_seconds,
            commit_to_durable_p95_seconds=lag.p95_seconds,
            commit_to_durable_max_seconds=lag.max_seconds,
        )

    def on_kill(self) -> None:
        """End where it stands: the next run finds what is stored."""
        from airflow.sdk.exceptions import AirflowTaskTerminated

        # Airflow calls this inside its signal handler and then lets the task go on.
        raise AirflowTaskTerminated("WAL shipping was ended; nothing that was stored is lost")


class ShipWalPastOperator(_WalOperator):
    """Have WAL stored until it covers a fingerprint; where it already does, do nothing.

    Where the policy streams WAL, the run that does is waited for.

    :param fingerprint_id: the fingerprint; None: everything up to now (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "fingerprint_id")

    def __init__(self, *, fingerprint_id: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fingerprint_id = fingerprint_id

    def execute(self, context: Context) -> list[str]:
        """Look, then ship or wait if need be."""
        from ledgerkeep.database.postgres.wal_awaited import ship_past

        with self.ending_well(context):
            lsn = None
            if self.fingerprint_id is not None:
                fingerprint = self.catalog.find_fingerprint(self.fingerprint_id)
                lsn = max(one.lsn for one in fingerprint.databases)
                if self._covers(fingerprint, lsn):
                    self.log.info("the stored WAL covers %s already", self.fingerprint_id)
                    return []
            stretches = ship_past(
                self.address,
                self.catalog,
                run=run_name(context),
                lsn=lsn,
                progress=self.progress(),
            )
        return self.tell(context, stretches)

    def _covers(self, fingerprint: Fingerprint, lsn: int) -> bool:
        from ledgerkeep.database.postgres.wal_awaited import is_covered

        return is_covered(
            self.catalog,
            fingerprint.system_identifier,
            timeline=fingerprint.timeline,
            lsn=lsn,
        )
