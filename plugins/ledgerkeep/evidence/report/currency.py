"""How much a failure would have lost, at each moment of the period and now.

Where WAL is shipped now and then, that is the time between two moments at which the recoverable
past was brought up to date. Where it is streamed, a run records one stretch at its end, and the
time from commit to durable, which it has measured, says what a failure in it would have lost.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import DurableAfter, WalStretch
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.report.gather import Material
from ledgerkeep.evidence.report.model import Coverage, Currency, DurableRow
from ledgerkeep.policy.model import Policy


def currency_of(material: Material, records: Sequence[EvidenceRecord]) -> Currency:
    """What can be recovered now, and how it came to be in the period."""
    moments = sorted({*_covered(material.snapshots), *_idle(material.policy, records)})
    stretches = sorted(
        (stretch for snapshot in material.snapshots for stretch in snapshot.stretches),
        key=_until,
    )
    coverage = [
        _coverage(before, after, stretches)
        for before, after in pairwise(moments)
        if material.period.since <= after < material.period.until
    ]
    newest = moments[-1] if moments else None
    return Currency(
        newest=newest,
        # The database server's clock may be a little ahead of the worker's.
        age_seconds=max(0.0, (material.now - newest).total_seconds()) if newest else None,
        target_seconds=_promised(material.policy),
        worst_gap_seconds=max((one.gap_seconds for one in coverage), default=None),
        coverage=coverage,
    )


def durable_rows(material: Material) -> list[DurableRow]:
    """For each cluster whose WAL was streamed in the period, how soon commits were durable."""
    rows = []
    for snapshot in material.snapshots:
        measured = [
            (stretch, stretch.durable_after)
            for stretch in snapshot.stretches
            if stretch.durable_after is not None
            and material.period.since <= stretch.covered_until < material.period.until
        ]
        if measured:
            rows.append(_durable_row(snapshot, measured, _promised(material.policy)))
    return rows


def _durable_row(
    snapshot: CatalogSnapshot,
    measured: list[tuple[WalStretch, DurableAfter]],
    promised: float | None,
) -> DurableRow:
    worst, figures = max(measured, key=lambda one: one[1].max_seconds)
    over = [one for _, one in measured if promised is not None and one.max_seconds > promised]
    return DurableRow(
        system_identifier=snapshot.system_identifier,
        stretches=len(measured),
        samples=sum(one.samples for _, one in measured),
        typical_seconds=_middle([(one.p50_seconds, one.samples) for _, one in measured]),
        worst_seconds=figures.max_seconds,
        worst_at=worst.covered_until,
        target_seconds=promised,
        over_target=len(over),
    )


def _middle(figures: list[tuple[float, int]]) -> float:
    """The median of figures, each of which stands for so many."""
    ordered = sorted(figures)
    half = sum(count for _, count in ordered) / 2
    seen = 0
    for value, count in ordered:
        seen += count
        if seen >= half:
            return value
    raise ValueError("there is no figure")


def _coverage(before: datetime, after: datetime, stretches: list[WalStretch]) -> Coverage:
    """What a failure right before `after` would have lost.

    :param stretches: in the order in which they were covered.
    """
    at = bisect_left(stretches, after, key=_until)
    measured = stretches[at].durable_after if at < len(stretches) else None
    if measured is None:
        return Coverage(at=after, gap_seconds=(after - before).total_seconds())
    return Coverage(at=after, gap_seconds=measured.max_seconds, streamed=True)


def _until(stretch: WalStretch) -> datetime:
    return stretch.covered_until


def _promised(policy: Policy) -> float | None:
    rpo = policy.objectives.database_failure.rpo
    return None if rpo is None else rpo.total_seconds()


def _covered(snapshots: Sequence[CatalogSnapshot]) -> Iterator[datetime]:
    for snapshot in snapshots:
        yield from (stretch.covered_until for stretch in snapshot.stretches)
        yield from (backup.stopped_at for backup in snapshot.backups)


def _idle(policy: Policy, records: Sequence[EvidenceRecord]) -> Iterator[datetime]:
    """Shipping runs that found nothing: the server had written nothing that could be lost."""
    shipping = policy.database.wal_shipping
    streamed = shipping.continuous if shipping else None
    for record in records:
        is_shipping = record.dag_id == f"{record.environment}_database_wal_shipping"
        if is_shipping and record.outcome == "success" and not record.recovery_point_ids:
            yield record.started_at
            if streamed is not None:
                # It went on looking; the run lasts a little longer than it streams.
                yield min(record.started_at + streamed.interval, record.ended_at)
