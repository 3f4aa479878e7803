"""The stored WAL that no record tells of yet, and what can be recovered with it.

Shipping records a stretch when a run ends, and a run that streams goes on for minutes. Recording
every few seconds instead would make tens of thousands of records a week, each a request to whoever
plans a recovery. So the segments themselves carry the mark that they make good, in their metadata,
and the tail, everything stored without a gap behind the last record, is read from a listing and one
head. The run records it, or the next one does; a recovery that cannot wait for that, because the
source is lost, plans with it.

What may not count does not: a segment exists only whole, its content was checked before it was
stored, and the tail ends before the first that is missing. Names of restore points are the one
thing it cannot tell.
"""

from dataclasses import replace
from itertools import count, takewhile

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.lsn import segment_of
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.wal_goal import Mark, mark_of
from ledgerkeep.model import utc_now


def stored_tail(catalog: Catalog, system_identifier: str, last: WalStretch) -> WalStretch | None:
    """What is stored behind the last record, as a stretch that nobody has recorded.

    On the timeline of the last record, or on a newer one that goes on at its very end.

    :param last: the newest record.
    """
    root = keys.wal_timelines(catalog.environment, system_identifier)
    timelines = sorted(int(name, 16) for name in catalog.store.list_directories(root))
    for timeline in reversed(timelines):
        tail = _tail_on(catalog, timeline, last) if timeline >= last.timeline else None
        if tail is not None:
            return tail
    return None


def with_tail(catalog: Catalog, snapshot: CatalogSnapshot) -> CatalogSnapshot:
    """The snapshot, and what is stored behind its last record."""
    if not snapshot.stretches:
        return snapshot
    tail = stored_tail(catalog, snapshot.system_identifier, snapshot.stretches[-1])
    if tail is None:
        return snapshot
    return replace(snapshot, stretches=[*snapshot.stretches, tail])


def _tail_on(catalog: Catalog, timeline: int, last: WalStretch) -> WalStretch | None:
    size = last.segment_size
    following = (segment_of(timeline, at, size) for at in count(last.end_lsn, size))
    stored = _stored_from(catalog, timeline, last)
    names = list(takewhile(stored.__contains__, following))
    end = last.end_lsn + len(names) * size
    mark = _mark(catalog, last, names[-1], end) if names else None
    if mark is None:
        return None
    return WalStretch(
        id=f"{names[0]}-{names[-1]}",
        environment=catalog.environment,
        cluster=last.cluster,
        system_identifier=last.system_identifier,
        created_at=utc_now(),
        made_by=last.made_by,
        timeline=timeline,
        segment_size=size,
        start_lsn=last.end_lsn,
        end_lsn=end,
        first_segment=names[0],
        last_segment=names[-1],
        segment_count=len(names),
        raw_bytes=len(names) * size,
        stored_bytes=sum(stored[name] for name in names),
        covered_until=mark.covered_until,
        next_xid=mark.next_xid,
    )


def _stored_from(catalog: Catalog, timeline: int, last: WalStretch) -> dict[str, int]:
    """File names and stored sizes behind the last record."""
    prefix = keys.wal(catalog.environment, last.system_identifier, timeline)
    first = segment_of(timeline, last.end_lsn, last.segment_size)
    return {
        listed.key.removeprefix(prefix).removesuffix(".zst"): listed.size
        for listed in catalog.store.list(prefix, start_after=f"{prefix}{first}")
    }


def _mark(catalog: Catalog, last: WalStretch, name: str, end: int) -> Mark | None:
    key = keys.wal_segment(catalog.environment, last.system_identifier, name)
    head = catalog.store.head(key)
    return mark_of(head.metadata, end) if head is not None else None
