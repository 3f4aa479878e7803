"""Which WAL is really there: the listed segments of each timeline, and how timelines follow.

A stretch's record says which WAL a shipping run made durable; only the listing says that every
segment of it still is. A plan is made from both, so a segment that was lost in the middle is named
before anything is touched, and not hours later by a server in the middle of its replay.

Public: `load_wal_index(catalog, system_identifier, timeline=None, first="", last="") -> WalIndex`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import Lsn, is_segment_name, segment_name
from ledgerkeep.database.postgres.timeline_history import TimelineHistory, parse_history
from ledgerkeep.model import Record


class Branch(Record):
    """The part of a lineage that lies on one timeline: from `begin` up to `end` (None: open)."""

    timeline: int
    begin: Lsn
    end: Lsn | None


def segment_on(lineage: Sequence[Branch], number: int, segment_size: int) -> str:
    """The name of segment `number` along a lineage.

    A segment in which a timeline was left is read from the newer one, which begins with a copy of
    it (PostgreSQL: src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI).
    """
    branch = [one for one in lineage if one.begin // segment_size <= number][-1]
    return segment_name(branch.timeline, number, segment_size)


@dataclass(frozen=True)
class WalIndex:
    """The segments that are stored, with their stored size in bytes, and the timeline histories."""

    segments: Mapping[str, int] = field(default_factory=dict)
    histories: Mapping[int, TimelineHistory] = field(default_factory=dict)

    def lineage(self, timeline: int) -> list[Branch]:
        """The branches that lead to `timeline`, oldest first, itself last."""
        branches, begin = [], 0
        for ancestor, end in self.histories.get(timeline, TimelineHistory(timeline)).switches:
            branches.append(Branch(timeline=ancestor, begin=begin, end=end))
            begin = end
        return [*branches, Branch(timeline=timeline, begin=begin, end=None)]


def load_wal_index(
    catalog: Catalog,
    system_identifier: str,
    timeline: int | None = None,
    first: str = "",
    last: str = "",
) -> WalIndex:
    """List the stored WAL of a cluster.

    :param timeline: None: every timeline.
    :param first: name of the first segment wanted; the listing starts there.
    :param last: name of the last segment wanted; with `first` it goes with a single timeline.
    :raises StorageError: the store does not answer.
    :raises DatabaseError: a history file cannot be read.
    """
    environment = catalog.environment
    if timeline is None:
        root = keys.wal_timelines(environment, system_identifier)
        timelines = [int(name, 16) for name in catalog.store.list_directories(root)]
    else:
        timelines = [timeline]
    segments: dict[str, int] = {}
    for number in timelines:
        prefix = keys.wal(environment, system_identifier, number)
        segments.update(_segments(catalog, prefix, first, last))
    histories = {
        number: _history(catalog, system_identifier, number) for number in timelines if number > 1
    }
    return WalIndex(segments, histories)


def _segments(catalog: Catalog, prefix: str, first: str, last: str) -> Iterator[tuple[str, int]]:
    start_after = f"{prefix}{first}" if first else ""
    for listed in catalog.store.list(prefix, start_after=start_after):
        name = listed.key.removeprefix(prefix).removesuffix(".zst")
        if last and name > last:
            return
        if is_segment_name(name):
            yield name, listed.size


def _history(catalog: Catalog, system_identifier: str, timeline: int) -> TimelineHistory:
    key = keys.wal_history(catalog.environment, system_identifier, timeline)
    if catalog.store.head(key) is None:
        return TimelineHistory(timeline)
    return parse_history(timeline, catalog.store.get(key))
