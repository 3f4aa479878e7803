"""Which WAL a run ships: from where on, over which timelines, and across which hole.

All decisions, no I/O. Positions are segment boundaries. WAL continues where the last *recorded*
stretch ended. Three things may stand in between:

- A run died after the store had acknowledged segments, perhaps after the slot had moved past them,
  and before its record was written. Those segments are found in the store by walking back from
  where the server's WAL begins, and become part of the next stretch.
- The server was promoted: the rest of the old timeline comes first, then the new one from the
  segment that contains the switch.
- WAL is gone. Recovery cannot cross that, so shipping goes on only where a base backup gives
  recovery a new start, and the hole is put on record.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from ledgerkeep.catalog.lsn import segment_of
from ledgerkeep.catalog.models import WalHole, WalStretch
from ledgerkeep.database.postgres.timeline_history import TimelineHistory
from ledgerkeep.errors import WalGap


@dataclass(frozen=True)
class Leg:
    """Consecutive segments of one timeline; becomes one stretch."""

    timeline: int
    start: int
    stream_from: int
    """What lies before it is in the store already, unrecorded."""
    end: int
    left_at: int | None = None
    """Where this timeline was left for the next one; None for the present one."""
    hole_before: WalHole | None = None

    def partial_start(self, segment_size: int) -> int | None:
        """Start of the segment inside which the timeline was left, if it was left inside one."""
        if self.left_at is None or self.left_at % segment_size == 0:
            return None
        return self.left_at // segment_size * segment_size


@dataclass(frozen=True)
class Available:
    """The oldest WAL that can be had without a gap: what the store has, then what the server has.

    `start` ≤ `stream_from`, both on `timeline`.
    """

    timeline: int
    start: int
    stream_from: int


def walk_back(
    timeline: int, reserved: int, stored: Collection[str], segment_size: int, *, stop: int = 0
) -> Available:
    """Extend what the server has from `reserved` on by the segments stored right before it.

    :param stored: segment names in the store.
    :param stop: go no further back than this position.
    """
    start = reserved
    while start > stop and segment_of(timeline, start - segment_size, segment_size) in stored:
        start -= segment_size
    return Available(timeline, start, reserved)


def legs_from(
    history: TimelineHistory, timeline: int, start: int, target: int, segment_size: int
) -> list[Leg]:
    """The way from `start` on `timeline` to `target` on the history's own timeline."""
    legs = []
    for step in history.lineage(timeline):
        left_at = history.end_of(step)
        end = target if left_at is None else _floor(left_at, segment_size)
        legs.append(Leg(step, start, start, max(start, end), left_at))
        start = max(start, end)
    return legs


def first_legs(
    history: TimelineHistory, available: Available, target: int, segment_size: int
) -> list[Leg]:
    """The way when nothing was recorded before, or when a new line was adopted."""
    legs = legs_from(history, available.timeline, available.start, target, segment_size)
    return [replace(legs[0], stream_from=available.stream_from), *legs[1:]]


def resumed_legs(
    history: TimelineHistory,
    last: WalStretch,
    available: Available,
    backup_stops: Collection[int],
    target: int,
) -> list[Leg]:
    """The way on from the last stretch when the server no longer has the WAL at its end.

    :param backup_stops: where the base backups on this lineage end; each brings the WAL before.
    :raises WalGap: WAL is gone, and no base backup starts behind the gap.
    """
    size = last.segment_size
    legs = legs_from(history, last.timeline, last.end_lsn, target, size)
    for index, leg in enumerate(legs):
        if leg.timeline == available.timeline and available.start <= leg.start:
            return [replace(leg, stream_from=available.stream_from), *legs[index + 1 :]]
        if leg.start < leg.end:
            break
    if not any(stop >= available.start for stop in backup_stops):
        raise wal_gap(last, available)
    legs = first_legs(history, available, target, size)
    hole = WalHole(start_lsn=last.end_lsn, end_lsn=available.start)
    return [replace(legs[0], hole_before=hole), *legs[1:]]


def wal_gap(last: WalStretch, available: Available) -> WalGap:
    """The error that names both sides of the gap."""
    first = segment_of(available.timeline, available.start, last.segment_size)
    return WalGap(
        f"WAL is lost: the last stored segment is {last.last_segment}, "
        f"the first one the server still has is {first}",
        hint="take a full backup: recovery starts anew from it and shipping goes on behind the "
        "gap; what happened in between cannot be recovered to",
    )


def _floor(position: int, segment_size: int) -> int:
    return position // segment_size * segment_size
