"""Whether the stored WAL follows itself over the whole window that is kept, and what that gives.

Two questions. Does each stretch begin where the one before ended, and is every segment of it still
listed? That is asked of all WAL of the window along the newest timeline's lineage, whether a backup
needs it or not. And: from when until when can the database be recovered? That is the union of what
can be reached from each backup of the window, and from the last one before it.

A hole that shipping itself recorded is told as what it is: known since it was made, and nothing
can close it. A hole that no record knows, or a segment that has gone, is critical.

Pure: no I/O.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.chain import by_id, is_whole
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup, WalStretch
from ledgerkeep.evidence.report.words import moment
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.recovery.reach import (
    Reach,
    named_segments,
    reaches,
    stretches_along,
    usable_end,
)
from ledgerkeep.recovery.wal_index import Branch, WalIndex, segment_on


@dataclass(frozen=True)
class Hole:
    """Segments of the window that are not there."""

    what: str
    """In words that stand by themselves."""
    on_record: bool
    """Shipping recorded it when it was made."""


@dataclass(frozen=True)
class Reachable:
    """A time without a hole: every moment in it can be recovered to."""

    since: datetime
    until: datetime


def check_continuity(
    snapshot: CatalogSnapshot, wal: WalIndex, *, now: datetime, window: timedelta | None
) -> Part:
    """Judge the WAL of one cluster.

    :param window: how long WAL is kept; None: all that is there.
    """
    part = Part()
    since = None if window is None else now - window
    stretches = [one for one in snapshot.stretches if since is None or one.covered_until >= since]
    if not stretches:
        part.find("info", f"there is no WAL of cluster {snapshot.system_identifier} in the window")
        return part
    timeline = max(one.timeline for one in stretches)
    lineage = wal.lineage(timeline)
    along = stretches_along(lineage, stretches)
    holes = list(find_holes(along, lineage, wal))
    part.find_all("critical", [one.what for one in holes if not one.on_record], "holes in the WAL")
    part.find_all("warning", [one.what for one in holes if one.on_record], "holes in the WAL")
    reachable = recoverable(reaches(_restorable(snapshot), wal, timeline), since)
    part.measurements = {
        "wal_stretches": len(along),
        "wal_segments": sum(one.segment_count for one in along),
        "wal_holes": len(holes),
        "recoverable_seconds": sum((one.until - one.since).total_seconds() for one in reachable),
    }
    _state(part, reachable)
    if since is not None:
        _judge_begin(part, reachable, snapshot, since)
    return part


def find_holes(
    stretches: Sequence[WalStretch], lineage: list[Branch], wal: WalIndex
) -> Iterator[Hole]:
    """What is missing between and within stretches that are in the order of their WAL."""
    position = stretches[0].start_lsn if stretches else 0
    for stretch in stretches:
        size = stretch.segment_size
        if stretch.start_lsn > position:
            yield _between(position, stretch, lineage)
        start = max(position, stretch.start_lsn)
        end, _ = usable_end(lineage, stretch, size)
        names = [segment_on(lineage, n, size) for n in range(start // size, end // size)]
        for run in _runs([name not in wal.segments for name in names]):
            gone = named_segments(names[run.start], names[run.stop - 1], len(run))
            yield Hole(
                f"WAL {gone} gone from the object store; it belongs to the stretch {stretch.id}",
                on_record=False,
            )
        position = max(position, end)


def recoverable(found: Sequence[Reach], since: datetime | None) -> list[Reachable]:
    """The times that can be recovered to, in order, from backups of the window on.

    The last backup before the window counts where its WAL leads into it.
    """
    times: list[Reachable] = []
    for reach in sorted(found, key=lambda reach: reach.start.at):
        begin, end = reach.start.at, reach.end.at
        if since is not None:
            if end < since:
                continue
            begin = max(begin, since)
        if times and begin <= times[-1].until:
            times[-1] = Reachable(times[-1].since, max(end, times[-1].until))
        else:
            times.append(Reachable(begin, end))
    return times


def _restorable(snapshot: CatalogSnapshot) -> CatalogSnapshot:
    """Without backups whose chain is broken."""
    known = by_id(snapshot.backups)
    whole: list[BaseBackup] = [one for one in snapshot.backups if is_whole(one, known)]
    return CatalogSnapshot(
        snapshot.environment, snapshot.system_identifier, whole, snapshot.stretches
    )


def _between(position: int, stretch: WalStretch, lineage: list[Branch]) -> Hole:
    size = stretch.segment_size
    first, last = position // size, stretch.start_lsn // size - 1
    names = (segment_on(lineage, first, size), segment_on(lineage, last, size))
    words = f"WAL {named_segments(*names, last - first + 1)}"
    hole = stretch.hole_before
    if hole is None:
        return Hole(f"{words} in no stretch, before {stretch.id}", on_record=False)
    lost = f"{format_lsn(hole.start_lsn)} to {format_lsn(hole.end_lsn)}"
    return Hole(
        f"{words} lost since {moment(stretch.created_at)}, when shipping recorded the hole "
        f"from {lost}",
        on_record=True,
    )


def _runs(flags: Sequence[bool]) -> Iterator[range]:
    """Consecutive places whose flag is set."""
    start: int | None = None
    for place, flag in enumerate([*flags, False]):
        if flag and start is None:
            start = place
        if not flag and start is not None:
            yield range(start, place)
            start = None


def _state(part: Part, reachable: list[Reachable]) -> None:
    """Say from when until when, and what is not in it."""
    if not reachable:
        part.find("critical", "there is WAL, but no backup from which a recovery into it can start")
        return
    first, last = reachable[0].since, reachable[-1].until
    words = f"the database can be recovered to any moment from {moment(first)} to {moment(last)}"
    gaps = [
        f"{moment(before.until)} to {moment(after.since)}" for before, after in pairwise(reachable)
    ]
    if gaps:
        words += f", except from {', from '.join(gaps[:10])}"
        words += f" and {len(gaps) - 10} more" if len(gaps) > 10 else ""
    part.find("info", words)


def _judge_begin(
    part: Part, reachable: list[Reachable], snapshot: CatalogSnapshot, since: datetime
) -> None:
    """The window is promised from its begin on, once there are backups as old as that."""
    grown_up = any(backup.stopped_at < since for backup in snapshot.backups)
    if reachable and grown_up and reachable[0].since > since:
        part.find(
            "warning",
            f"WAL is kept since {moment(since)}, but recovery begins only at "
            f"{moment(reachable[0].since)}: no backup before leads into the window",
        )
