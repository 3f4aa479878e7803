"""Small catalogs for the planning tests: made-up but coherent records."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.lsn import segment_name
from ledgerkeep.catalog.models import Archive, BaseBackup, NamedRestorePoint, WalHole, WalStretch
from ledgerkeep.database.postgres.timeline_history import TimelineHistory
from ledgerkeep.recovery.wal_index import WalIndex
from ledgerkeep.storage.port import StoredObject

MIB = 1 << 20
SEGMENT = 16 * MIB
SYSTEM = "7300000000000000001"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=1)
_HASH = "0" * 64
_COMMON = {
    "environment": "production",
    "cluster": "loans",
    "system_identifier": SYSTEM,
    "made_by": "ledgerkeep test",
    "segment_size": SEGMENT,
}


def minute(number: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=number)


def backup(
    name: str,
    *,
    stop: int,
    at: float,
    next_xid: int = 1000,
    timeline: int = 1,
    parent: str | None = None,
) -> BaseBackup:
    """A backup that ends in the middle of segment `stop`, `at` minutes after noon.

    :param parent: the backup that it builds on; None: it is a full one.
    """
    size = 40 * MIB if parent is None else 4 * MIB
    return BaseBackup(
        id=name,
        method="full" if parent is None else "incremental",
        parent_id=parent,
        created_at=minute(at),
        server_version=180006,
        timeline=timeline,
        start_lsn=stop * SEGMENT + 40,
        stop_lsn=stop * SEGMENT + 400,
        started_at=minute(at - 1),
        stopped_at=minute(at),
        next_xid=next_xid,
        wal_level="replica",
        data_checksums=True,
        archives=[Archive(tablespace_oid=None, location=None, raw_bytes=size, volumes=[])],
        manifest=StoredObject(key="m", size=1, sha256=_HASH),
        file_count=1,
        raw_bytes=size,
        stored_bytes=size // 4,
        **_COMMON,
    )


def stretch(
    first: int,
    last: int,
    *,
    until: float,
    next_xid: int = 1000,
    timeline: int = 1,
    points: Iterable[tuple[str, int]] = (),
    hole: tuple[int, int] | None = None,
) -> WalStretch:
    """A stretch of the segments `first` to `last`, covering until `until` minutes after noon."""
    return WalStretch(
        id=f"s{timeline}-{first}",
        created_at=minute(until),
        timeline=timeline,
        start_lsn=first * SEGMENT,
        end_lsn=(last + 1) * SEGMENT,
        first_segment=name(first, timeline),
        last_segment=name(last, timeline),
        segment_count=last - first + 1,
        raw_bytes=(last - first + 1) * SEGMENT,
        stored_bytes=(last - first + 1) * MIB,
        covered_until=minute(until),
        next_xid=next_xid,
        restore_points=[
            NamedRestorePoint(name=point, lsn=lsn, at=minute(until)) for point, lsn in points
        ],
        hole_before=WalHole(start_lsn=hole[0] * SEGMENT, end_lsn=hole[1] * SEGMENT)
        if hole
        else None,
        **_COMMON,
    )


def name(number: int, timeline: int = 1) -> str:
    """The name of a segment."""
    return segment_name(timeline, number, SEGMENT)


def snapshot(*points: BaseBackup | WalStretch) -> CatalogSnapshot:
    """A catalog of these recovery points."""
    return CatalogSnapshot(
        "production",
        SYSTEM,
        backups=[point for point in points if isinstance(point, BaseBackup)],
        stretches=[point for point in points if isinstance(point, WalStretch)],
    )


def listed(
    catalog: CatalogSnapshot,
    *,
    without: Iterable[str] = (),
    switches: dict[int, tuple[tuple[int, int], ...]] | None = None,
) -> WalIndex:
    """The listing that goes with it: every segment of every stretch, 1 MiB each, but `without`."""
    segments = {
        name(number, one.timeline): MIB
        for one in catalog.stretches
        for number in range(one.start_lsn // SEGMENT, one.end_lsn // SEGMENT)
    }
    for lost in without:
        del segments[lost]
    histories = {
        timeline: TimelineHistory(timeline, left) for timeline, left in (switches or {}).items()
    }
    return WalIndex(segments, histories)
