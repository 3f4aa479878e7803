"""A full backup of the protected cluster, as a story in two steps.

`take_full_backup` streams the cluster into the store; `record_backup` reads all of it back
and only then writes `recovery-point.json`. Between them stands nothing but the backup's id, so
each step is a task of its own that may run on another worker, be killed at any byte, and be
repeated: the first starts over and sweeps what was left, the second repeats itself to the same
end. What was good before stays as it is, whatever happens here.
"""

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Proof, StreamedBackup
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.backup_turn import backup_turn
from ledgerkeep.database.postgres.base_backup import Origin, stream_base_backup
from ledgerkeep.database.postgres.read_back import ReadBack, read_back
from ledgerkeep.database.postgres.standby import await_standby
from ledgerkeep.errors import ChainBroken, PageChecksumFailure, PolicyError, RecoveryPointMissing
from ledgerkeep.model import utc_now
from ledgerkeep.progress import Progress


def take_full_backup(
    address: ServerAddress,
    catalog: Catalog,
    *,
    origin: Origin,
    progress: Progress,
    adopt_timeline: int | None = None,
    standby: ServerAddress | None = None,
) -> str:
    """Stream a full backup into the store and return its id; nothing counts yet.

    :param address: of the primary.
    :param origin: who asks for it, and what for.
    :param adopt_timeline: see `check_lineage`.
    :param standby: read it there, as the policy's `full_backup.standby` says.
    :raises OperationRunning: another backup of this cluster is under way.
    :raises ForeignCluster, TimelineDiverged: this is not the cluster the catalog knows.
    :raises DatabaseError, StorageError: it failed; nothing of it counts.
    """
    turn = backup_turn(address, catalog, run=origin.run, adopt_timeline=adopt_timeline)
    with turn as (connection, server):
        # A standby must hold everything that the primary holds at this moment.
        if standby is not None:
            await_standby(standby, connection, server, patience=_patience(catalog))
        # Every byte from the server to the store.
        streamed = stream_base_backup(
            address, connection, server, catalog, origin=origin, progress=progress, standby=standby
        )
    return streamed.id


def _patience(catalog: Catalog) -> float:
    policy = catalog.policy.database.full_backup
    source = policy.standby if policy else None
    if source is None:
        raise PolicyError(
            f"the policy of {catalog.environment} names no standby to read full backups from",
            hint="give it a section database.full_backup.standby",
        )
    return source.patience.total_seconds()


def record_backup(catalog: Catalog, backup_id: str, *, run: str, progress: Progress) -> BaseBackup:
    """Read a streamed backup back and let it exist.

    :raises RecoveryPointMissing: no backup of that id was streamed.
    :raises ObjectMissing, ObjectCorrupt: it is not whole; it will never count.
    :raises ChainBroken: what it builds on has been removed meanwhile.
    :raises PageChecksumFailure: it exists, but the server found damaged pages while it was taken.
    """
    streamed = find_streamed(catalog, backup_id)
    # Every file, as the server's manifest says.
    found = read_back(catalog.store, streamed, progress)
    # What it builds on is still there.
    _check_parent(catalog, streamed)
    # From here on it must not be deleted; not earlier, or a broken one could not be swept.
    _retain(catalog, streamed)
    # The last write: now the backup exists.
    backup = BaseBackup(**streamed.model_dump(), file_count=found.files)
    catalog.commit_backup(backup)
    _prove(catalog, backup, found, run)
    # It is kept, because a damaged page is better than none; but somebody has to know.
    if backup.page_checksum_failures:
        raise _damaged_pages(backup)
    return backup


def verify_backup(catalog: Catalog, backup: BaseBackup, *, run: str, progress: Progress) -> Proof:
    """Read a backup back again, at any later time, and record that it is still intact.

    :raises ObjectMissing, ObjectCorrupt: it is not.
    """
    return _prove(catalog, backup, read_back(catalog.store, backup, progress), run)


def find_streamed(catalog: Catalog, backup_id: str) -> StreamedBackup:
    """What the stream of that backup left.

    :raises RecoveryPointMissing:
    """
    for system_identifier in catalog.system_identifiers():
        streamed = catalog.streamed_backup(system_identifier, backup_id)
        if streamed is not None:
            return streamed
    raise RecoveryPointMissing(
        f"no backup {backup_id} was streamed to {catalog.store.location}/{catalog.environment}",
        hint="was it interrupted, and swept by a later run? take a new full backup",
    )


def _check_parent(catalog: Catalog, streamed: StreamedBackup) -> None:
    """Nobody holds the lock between the streaming and the recording."""
    if streamed.parent_id is None:
        return
    try:
        catalog.find_backup(streamed.parent_id)
    except RecoveryPointMissing as problem:
        raise ChainBroken(
            f"backup {streamed.id} builds on {streamed.parent_id}, which was removed while it was "
            "taken",
            hint="nothing of it counts; take another backup, which will build on what is there",
        ) from problem


def _retain(catalog: Catalog, backup: StreamedBackup) -> None:
    retention = catalog.backup_retention(backup.method)
    if retention is None:
        return
    for archive in backup.archives:
        for volume in archive.volumes:
            catalog.store.retain(volume.key, retention)
    catalog.store.retain(backup.manifest.key, retention)


def _prove(catalog: Catalog, backup: BaseBackup, found: ReadBack, run: str) -> Proof:
    proof = Proof(
        recovery_point_id=backup.id,
        level="intact",
        shown_at=utc_now(),
        run=run,
        stops_because=f"all {found.files} files were read back; it has not been restored yet",
    )
    catalog.commit_proof(backup.system_identifier, proof, backup.method)
    return proof


def _damaged_pages(backup: BaseBackup) -> PageChecksumFailure:
    failures = backup.page_checksum_failures
    return PageChecksumFailure(
        f"backup {backup.id} is recorded, but the server found wrong page checksums in it: "
        f"{'; '.join(failures)}",
        hint="the database itself is damaged: find the tables with pg_amcheck, and restore them "
        "from a backup before this one; the earlier backups are not affected",
    )
