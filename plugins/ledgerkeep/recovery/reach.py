"""How far the stored WAL leads from a base backup, and why no further.

A backup is consistent by itself: it brings the WAL up to the end of the segment that it stopped
in. From there on each shipped stretch that follows without a gap, and whose every segment is
listed, moves the end of what can be reached: a `Milestone`. A stretch that begins after a hole, or
of which a segment has gone, ends the walk, and the reason is kept in exact words.

An incremental backup leads nowhere without all that it builds on. One whose chain is broken is
walked from all the same, and marked, so that a plan can say what it would have led to.

Pure: no I/O. Public: `reaches(snapshot, wal, timeline) -> list[Reach]`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.chain import by_id, chain_of
from ledgerkeep.catalog.lsn import format_lsn, segment_name
from ledgerkeep.catalog.models import BaseBackup, NamedRestorePoint, WalStretch
from ledgerkeep.recovery.wal_index import Branch, WalIndex, segment_on


@dataclass(frozen=True)
class Milestone:
    """A position up to which everything is there, and what is known about it."""

    lsn: int
    at: datetime
    """Every transaction committed before is in."""
    next_xid: int


@dataclass
class Reach:
    """What can be reached from one backup along one lineage."""

    backup: BaseBackup
    chain: list[BaseBackup]
    """What is restored, from the full backup to `backup`; empty when the chain is broken."""
    lacks: str
    """Id of the backup that the chain is broken without; empty when it is whole."""
    lineage: list[Branch]
    milestones: list[Milestone]
    """The backup's own stop, then the end of each stretch that follows without a gap."""
    restore_points: list[NamedRestorePoint] = field(default_factory=list)
    blocked_by: str = ""
    """Why it ends there although more was shipped; empty when nothing more was."""

    @property
    def start(self) -> Milestone:
        """The earliest that can be reached."""
        return self.milestones[0]

    @property
    def end(self) -> Milestone:
        """The latest that can be reached."""
        return self.milestones[-1]

    @property
    def first_number(self) -> int:
        """Number of the first segment that the backup does not bring with it."""
        return self.backup.wal_whole_until // self.backup.segment_size

    @property
    def end_number(self) -> int:
        """Number of the segment after the last one that can be reached."""
        return max(self.first_number, self.end.lsn // self.backup.segment_size)

    def segments(self, start: int, end: int) -> Iterator[str]:
        """Names of the segments from number `start` up to, not including, `end`."""
        size = self.backup.segment_size
        return (segment_on(self.lineage, number, size) for number in range(start, end))


def reaches(snapshot: CatalogSnapshot, wal: WalIndex, timeline: int) -> list[Reach]:
    """What can be reached along the lineage of `timeline`, per backup on it, oldest first."""
    lineage = wal.lineage(timeline)
    stretches = stretches_along(lineage, snapshot.stretches)
    backups = sorted(snapshot.backups, key=lambda backup: backup.stop_lsn)
    known = by_id(snapshot.backups)
    return [
        _walk(_begin(backup, known, lineage), stretches, wal)
        for backup in backups
        if _backup_on(lineage, backup)
    ]


def stretches_along(lineage: list[Branch], stretches: Iterable[WalStretch]) -> list[WalStretch]:
    """Those of a lineage, in the order of their WAL."""
    return sorted(
        (stretch for stretch in stretches if _on(lineage, stretch)),
        key=lambda stretch: (stretch.start_lsn, stretch.timeline),
    )


def _on(lineage: list[Branch], stretch: WalStretch) -> bool:
    return any(
        branch.timeline == stretch.timeline
        and (branch.end is None or stretch.start_lsn < branch.end)
        for branch in lineage
    )


def _backup_on(lineage: list[Branch], backup: BaseBackup) -> bool:
    return any(
        branch.timeline == backup.timeline and (branch.end is None or backup.stop_lsn <= branch.end)
        for branch in lineage
    )


def _begin(backup: BaseBackup, known: Mapping[str, BaseBackup], lineage: list[Branch]) -> Reach:
    """As far as the backup leads by itself."""
    start = Milestone(backup.stop_lsn, backup.stopped_at, backup.next_xid)
    lacks = _lacks(backup, known)
    chain = [] if lacks else chain_of(backup, known)
    return Reach(backup, chain, lacks, lineage, [start])


def _lacks(backup: BaseBackup, known: Mapping[str, BaseBackup]) -> str:
    while backup.parent_id is not None:
        if backup.parent_id not in known:
            return backup.parent_id
        backup = known[backup.parent_id]
    return ""


def _walk(reach: Reach, stretches: list[WalStretch], wal: WalIndex) -> Reach:
    lineage, size = reach.lineage, reach.backup.segment_size
    position = reach.first_number * size
    for stretch in stretches:
        if stretch.start_lsn > position:
            reach.blocked_by = _hole(reach, position, stretch)
            break
        end, whole = usable_end(lineage, stretch, size)
        names = list(reach.segments(position // size, end // size))
        missing = [name for name in names if name not in wal.segments]
        if missing:
            reach.blocked_by = _lost(missing)
            end, whole = position + names.index(missing[0]) * size, False
        position = max(position, end)
        _advance(reach, stretch, end, whole)
        if missing:
            break
    return reach


def _advance(reach: Reach, stretch: WalStretch, end: int, whole: bool) -> None:
    """Move the end to `end`; only a whole stretch tells until when and which transactions."""
    start, last = reach.start.lsn, reach.end
    reach.restore_points += [point for point in stretch.restore_points if start < point.lsn <= end]
    if end > last.lsn and whole:
        reach.milestones.append(Milestone(end, stretch.covered_until, stretch.next_xid))
    elif end > last.lsn:
        reach.milestones.append(Milestone(end, last.at, last.next_xid))


def usable_end(lineage: list[Branch], stretch: WalStretch, size: int) -> tuple[int, bool]:
    """Where the stretch leaves the lineage, and whether that is its own end.

    What was written on a timeline after it was left happened in another history: neither its
    bytes nor its time count.
    """
    left = next(branch.end for branch in lineage if branch.timeline == stretch.timeline)
    if left is None or stretch.end_lsn <= left:
        return stretch.end_lsn, True
    return left // size * size, False


def _hole(reach: Reach, position: int, stretch: WalStretch) -> str:
    size = reach.backup.segment_size
    count = (stretch.start_lsn - position) // size
    names = list(reach.segments(position // size, position // size + 1))
    last = segment_name(stretch.timeline, stretch.start_lsn // size - 1, size)
    words = named_segments(names[0], last, count)
    if stretch.hole_before is None:
        return f"{words} in no recovery point"
    hole = stretch.hole_before
    lost = f"the WAL from {format_lsn(hole.start_lsn)} to {format_lsn(hole.end_lsn)} is lost"
    return f"{words} not there: {lost}"


def _lost(missing: list[str]) -> str:
    return f"{named_segments(missing[0], missing[-1], len(missing))} gone from the object store"


def named_segments(first: str, last: str, count: int) -> str:
    """`segment X is`, or how many segments from which to which `are`."""
    return f"segment {first} is" if count == 1 else f"{count} segments from {first} to {last} are"
