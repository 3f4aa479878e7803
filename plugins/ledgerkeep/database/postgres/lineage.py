"""Is this server the continuation of what is stored? Asked before anything is added to it.

Another cluster has another system identifier and so another place in the bucket. A copy of the
cluster (a clone, a restored backup that somebody promoted) has the same one; its WAL under the
original's names would make both unrecoverable. Three things tell such a copy apart:

- it is behind: what is stored ends after the server's own WAL, on the same timeline;
- its timeline left the stored one before the stored WAL ends;
- the last stored segment, where the server still has it, reads differently there.

A failover to a standby that had not received everything also leaves the stored timeline early.
Only a person can know that this is the server to protect from now on, so a full backup takes
`adopt_timeline` as that person's word; once such a backup exists, shipping follows it.
"""

import hashlib
from dataclasses import dataclass

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, parse_segment_name
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.address import ServerAddress, connect_replication
from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.database.postgres.timeline_history import (
    TimelineHistory,
    fetch_history,
    parse_history,
)
from ledgerkeep.database.postgres.wal_segment import stored_content_hash
from ledgerkeep.database.postgres.wal_stream import read_wal
from ledgerkeep.errors import ForeignCluster, TimelineDiverged, WalGap

_WHICH_SERVER = (
    "is this a clone or a restored copy? point the connection at the original, "
    "or protect this server under an environment of its own"
)


@dataclass(frozen=True)
class StoredPosition:
    """How far the catalog's knowledge of a cluster reaches."""

    timeline: int
    lsn: int
    what: str
    """For messages: `WAL is stored up to`, `base backup … ends at`."""


@dataclass(frozen=True)
class Lineage:
    """What `check_lineage` found out on its way."""

    history: TimelineHistory
    """Of the server's timeline."""
    last: WalStretch | None
    """The newest stretch in the catalog."""
    adopted: bool = False
    """The server's timeline leaves the stored one early, and is the one to protect: WAL starts
    anew on it."""


def check_lineage(
    address: ServerAddress,
    server: ServerDescription,
    catalog: Catalog,
    *,
    adopt_timeline: int | None = None,
) -> Lineage:
    """Refuse a server that is not the continuation of what the catalog holds of its cluster.

    :param adopt_timeline: a person's word that this timeline of the server is the one to protect
        although it leaves the stored timeline before the stored WAL ends (full backups only).
    :raises ForeignCluster, TimelineDiverged:
    """
    history = _history(address, server.timeline)
    last = catalog.last_stretch(server.system_identifier)
    _compare_history(catalog, server, history)
    stored = _stored_position(catalog, server, last)
    if stored is None:
        return Lineage(history, last)
    adopted = _leaves_early(history, stored) and (
        adopt_timeline == server.timeline or _has_backup_after(catalog, server, stored, history)
    )
    judge(server, history, stored, adopted=adopted)
    if last is not None and not adopted:
        _compare_last_segment(address, catalog, server, last)
    return Lineage(history, last, adopted)


def judge(
    server: ServerDescription,
    history: TimelineHistory,
    stored: StoredPosition,
    *,
    adopted: bool = False,
) -> None:
    """Decide by positions alone; no I/O.

    :raises ForeignCluster: the server is behind what is stored, on the same timeline.
    :raises TimelineDiverged: its timeline does not continue the stored one.
    """
    who = f"the server (cluster {server.system_identifier}, timeline {server.timeline})"
    known = f"{stored.what} {format_lsn(stored.lsn)} of timeline {stored.timeline}"
    if stored.timeline == server.timeline:
        if server.lsn < stored.lsn:
            raise ForeignCluster(
                f"{who} stands at {format_lsn(server.lsn)}, but {known}", hint=_WHICH_SERVER
            )
        return
    left_at = history.end_of(stored.timeline)
    if left_at is None:
        raise TimelineDiverged(
            f"{who} does not descend from timeline {stored.timeline}, but {known}",
            hint="is this a former primary that came back after a failover, or a clone? "
            "point the connection at the present primary",
        )
    if left_at < stored.lsn and not adopted:
        raise TimelineDiverged(
            f"{who} left timeline {stored.timeline} at {format_lsn(left_at)}, but {known}",
            hint="if it became the primary in a failover that lost the WAL in between, say so "
            f"with a full backup that has adopt_timeline={server.timeline}; "
            "if it is a clone or a restored copy, point the connection at the original",
        )


def _history(address: ServerAddress, timeline: int) -> TimelineHistory:
    connection = connect_replication(address)
    try:
        return fetch_history(connection, timeline)
    finally:
        connection.finish()


def _compare_history(catalog: Catalog, server: ServerDescription, history: TimelineHistory) -> None:
    """Two promotions of copies of one cluster make two different timelines of one number."""
    if server.timeline == 1:
        return
    key = keys.wal_history(catalog.environment, server.system_identifier, server.timeline)
    if catalog.store.head(key) is None:
        return
    stored = parse_history(server.timeline, catalog.store.get(key))
    if stored.switches != history.switches:
        raise TimelineDiverged(
            f"the server's timeline {server.timeline} begins at {format_lsn(history.begin)}, "
            f"the stored timeline {server.timeline} at {format_lsn(stored.begin)}: "
            "two copies of one cluster were promoted",
            hint=_WHICH_SERVER,
        )


def _stored_position(
    catalog: Catalog, server: ServerDescription, last: WalStretch | None
) -> StoredPosition | None:
    if last is not None:
        return StoredPosition(last.timeline, last.end_lsn, "WAL is stored up to")
    backups = catalog.backups(server.system_identifier)
    if not backups:
        return None
    newest = max(backups, key=lambda backup: (backup.timeline, backup.stop_lsn))
    return StoredPosition(newest.timeline, newest.stop_lsn, f"base backup {newest.id} ends at")


def _leaves_early(history: TimelineHistory, stored: StoredPosition) -> bool:
    left_at = history.end_of(stored.timeline)
    return left_at is not None and left_at < stored.lsn


def _has_backup_after(
    catalog: Catalog,
    server: ServerDescription,
    stored: StoredPosition,
    history: TimelineHistory,
) -> bool:
    """Whether a base backup already follows the server's line past the stored timeline."""
    line = set(history.lineage(stored.timeline)) - {stored.timeline}
    return any(backup.timeline in line for backup in catalog.backups(server.system_identifier))


def _compare_last_segment(
    address: ServerAddress, catalog: Catalog, server: ServerDescription, last: WalStretch
) -> None:
    """The last stored segment must read the same on the server, where it still has it."""
    size = last.segment_size
    number = parse_segment_name(last.last_segment, size)[1]
    start = number * size
    key = keys.wal_segment(catalog.environment, last.system_identifier, last.last_segment)
    if catalog.store.head(key) is None:
        return
    content = hashlib.sha256()
    try:
        for piece in read_wal(address, timeline=last.timeline, start=start, end=start + size):
            content.update(piece)
    except WalGap:
        return
    stored = stored_content_hash(catalog.store, key)
    theirs = content.hexdigest()
    if stored != theirs:
        raise ForeignCluster(
            f"segment {last.last_segment} differs: SHA-256 of its content is {theirs} on the "
            f"server, {stored} where it is stored",
            hint=_WHICH_SERVER,
        )
