"""A base backup from the server to the store, without a disk in between.

Each archive (the data directory, each tablespace) is one zstd stream of its tar, stored in
volumes; the server's manifest is stored byte for byte. When all of it is durable, `stream.json`
says what there is, so that the reading back may go on from another worker with nothing but the
backup's id. A backup exists only when its `recovery-point.json` does, which is not written here.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from secrets import token_hex

import psycopg

from ledgerkeep import __version__
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import (
    Archive,
    BackupMethod,
    BaseBackup,
    Deployment,
    StreamedBackup,
)
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.archive_upload import (
    Pack,
    VolumeWriter,
    compress_block,
    join_block,
    open_archive_upload,
)
from ledgerkeep.database.postgres.backup_stream import (
    ArchiveBegins,
    BackupOptions,
    BackupStream,
    ServerProgress,
    interrupted,
    open_backup_stream,
)
from ledgerkeep.database.postgres.description import ServerDescription, describe
from ledgerkeep.errors import DatabaseError, ForeignCluster, TimelineDiverged
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.policy.model import FullBackup
from ledgerkeep.progress import Progress
from ledgerkeep.storage.port import ObjectStore, StoredObject

logger = logging.getLogger(__name__)

_PACKERS = min(4, os.cpu_count() or 1)
"""More compress faster than one connection delivers."""

BEGUN = "begun.json"
MANIFEST = "backup_manifest"


class BackupBegun(Record):
    """The first object of every backup, finished or not."""

    id: str
    run: str
    at: UtcDatetime
    """By the server's clock."""
    method: BackupMethod = "full"


@dataclass(frozen=True)
class Origin:
    """Who asked for a backup, and what for."""

    run: str
    """The run (`dag_id/run_id`, or `cli`)."""
    full_because: str = ""
    """Why it is a full one although an incremental was asked for."""
    deployment: Deployment | None = None
    """The deployment that it is taken before."""


def new_backup_id(server: ServerDescription, *, incremental: bool = False) -> str:
    """An id that sorts by time (the server's clock, UTC): `20260131T235959Z-F-1a2b3c4d`.

    The letter is F for a full backup and I for an incremental one.
    """
    letter = "I" if incremental else "F"
    return f"{server.clock:%Y%m%dT%H%M%SZ}-{letter}-{token_hex(4)}"


def stream_base_backup(
    address: ServerAddress,
    connection: psycopg.Connection,
    before: ServerDescription,
    catalog: Catalog,
    *,
    origin: Origin,
    progress: Progress,
    parent: BaseBackup | None = None,
    standby: ServerAddress | None = None,
) -> StreamedBackup:
    """Store a base backup of the cluster, with the WAL that makes it consistent.

    :param connection: an ordinary connection to the same server, the primary.
    :param before: the server as it was before the backup.
    :param origin: who asked for it, and what for.
    :param parent: store only what has changed since that backup; None: everything.
    :param standby: read it there; see `await_standby`.
    :raises IncrementImpossible: the server cannot tell what has changed since the parent.
    :raises ObjectMissing, ObjectCorrupt: the parent's manifest is gone, or not what it was.
    :raises BackupInterrupted, DatabaseError, StorageError: nothing of it counts.
    """
    backup_id = new_backup_id(before, incremental=parent is not None)
    prefix = keys.backup(catalog.environment, before.system_identifier, backup_id)
    level = catalog.policy.storage.compression_level
    # An upload under way shows no object; with this one, the sweep finds the directory.
    method: BackupMethod = "full" if parent is None else "incremental"
    begun = BackupBegun(id=backup_id, run=origin.run, at=before.clock, method=method)
    catalog.store.put(prefix + BEGUN, begun.to_json(), content_type="application/json")
    options = _options(catalog, backup_id, parent)
    with open_backup_stream(standby or address, options) as stream:
        _same_cluster(stream, before)
        archives, manifest = _store_stream(stream, catalog.store, prefix, level, progress)
    for warning in stream.warnings:
        logger.warning("the server warned during backup %s: %s", backup_id, warning)
    after = _describe_after(connection, address)
    streamed = _streamed(catalog, begun, origin, parent, stream, before, after, archives, manifest)
    if standby is not None:
        read_at = f"{standby.host}:{standby.port}"
        streamed = streamed.model_copy(update={"standby": read_at})
    catalog.store.put(prefix + keys.STREAM, streamed.to_json(), content_type="application/json")
    return streamed


def _streamed(
    catalog: Catalog,
    begun: BackupBegun,
    origin: Origin,
    parent: BaseBackup | None,
    stream: BackupStream,
    before: ServerDescription,
    after: ServerDescription,
    archives: list[Archive],
    manifest: StoredObject,
) -> StreamedBackup:
    return StreamedBackup(
        id=begun.id,
        environment=catalog.environment,
        cluster=catalog.policy.database.cluster,
        system_identifier=before.system_identifier,
        created_at=after.clock,
        made_by=f"ledgerkeep {__version__}",
        run=begun.run,
        method=begun.method,
        parent_id=parent.id if parent else None,
        full_because=origin.full_because,
        deployment=origin.deployment,
        server_version=before.server_version,
        timeline=stream.timeline,
        start_lsn=stream.start_lsn,
        stop_lsn=stream.require_stop_lsn(),
        started_at=before.clock,
        stopped_at=after.clock,
        next_xid=after.next_xid,
        segment_size=before.segment_size,
        wal_level=before.wal_level,
        data_checksums=before.data_checksums,
        archives=archives,
        manifest=manifest,
        raw_bytes=sum(archive.raw_bytes for archive in archives),
        stored_bytes=_stored_bytes(archives, manifest),
        page_checksum_failures=stream.warnings if stream.pages_damaged else [],
        server_settings=before.standby_settings,
    )


def _describe_after(connection: psycopg.Connection, address: ServerAddress) -> ServerDescription:
    try:
        return describe(connection)
    except psycopg.OperationalError as problem:
        raise interrupted(address, str(problem)) from problem


def _options(catalog: Catalog, backup_id: str, parent: BaseBackup | None) -> BackupOptions:
    policy = catalog.policy.database.full_backup or FullBackup(schedule=None)
    return BackupOptions(
        label=f"ledgerkeep {backup_id}",
        checkpoint=policy.checkpoint,
        max_rate_mib_per_second=policy.max_rate_mib_per_second,
        compression_level=catalog.policy.storage.compression_level,
        # Read when it is asked for; a byte that is not what it was ends the upload without an end.
        parent_manifest=catalog.store.read(parent.manifest) if parent else None,
    )


def _same_cluster(stream: BackupStream, server: ServerDescription) -> None:
    if stream.system_identifier != server.system_identifier:
        raise ForeignCluster(
            f"{stream.address.host}:{stream.address.port} answers with cluster "
            f"{stream.system_identifier} on a replication connection, but with "
            f"{server.system_identifier} on an ordinary one",
            hint="is there a pooler or a load balancer between? give the connection the address "
            "of the server itself",
        )
    if stream.timeline != server.timeline:
        raise TimelineDiverged(
            f"{stream.address.host}:{stream.address.port} is on timeline {stream.timeline}, "
            f"the primary on timeline {server.timeline}",
            hint="has the standby followed the last failover, and replayed a checkpoint since? "
            "let it follow the present primary, or make it anew",
        )


def _stored_bytes(archives: list[Archive], manifest: StoredObject) -> int:
    return manifest.size + sum(volume.size for archive in archives for volume in archive.volumes)


class _Receiver:
    """Sends each event of a stream where it belongs: into an archive, or into the manifest."""

    def __init__(
        self, store: ObjectStore, prefix: str, open_uploads: ExitStack, workers: ThreadPoolExecutor
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._open = open_uploads
        self._workers = workers
        self._write: Callable[[memoryview], None] = _nowhere
        self._finish: Callable[[], None] = _nothing
        self.raw_bytes = 0
        self.archives: list[Archive] = []
        self.manifest: StoredObject | None = None

    def receive(self, stream: BackupStream, pack: Pack, progress: Progress) -> None:
        """Take a stream from its first byte to its last; everything is durable then."""
        for event in stream.events():
            if isinstance(event, memoryview):
                self._write(event)
            elif isinstance(event, ServerProgress):
                self.raw_bytes = event.raw_bytes
                estimate = stream.estimated_bytes
                total = None if estimate is None else max(estimate, self.raw_bytes)
                progress(self.raw_bytes, total, "base backup")
            elif isinstance(event, ArchiveBegins):
                self._finish()
                self._begin_archive(event, pack)
            else:
                self._finish()
                self._begin_manifest()
        self._finish()

    def _begin_archive(self, begins: ArchiveBegins, pack: Pack) -> None:
        name = "base" if begins.tablespace_oid is None else str(begins.tablespace_oid)
        volumes = VolumeWriter(self._store, f"{self._prefix}{name}.tar.zst")
        upload = self._open.enter_context(open_archive_upload(volumes, self._workers, pack))
        raw_before = self.raw_bytes

        def finish() -> None:
            self.archives.append(
                Archive(
                    tablespace_oid=begins.tablespace_oid,
                    location=begins.location,
                    volumes=upload.finish(),
                    # The server has said how far it is right after the archive's last byte.
                    raw_bytes=self.raw_bytes - raw_before,
                )
            )
            self._open.close()

        self._write, self._finish = upload.write, finish

    def _begin_manifest(self) -> None:
        key = f"{self._prefix}{MANIFEST}"
        writer = self._open.enter_context(self._store.writer(key, content_type="application/json"))

        def finish() -> None:
            self.manifest = writer.commit()
            self._open.close()

        self._write, self._finish = writer.write, finish


def _store_stream(
    stream: BackupStream, store: ObjectStore, prefix: str, level: int, progress: Progress
) -> tuple[list[Archive], StoredObject]:
    pack: Pack = join_block if stream.compressed else partial(compress_block, level=level)
    with ThreadPoolExecutor(_PACKERS, "pack") as workers, ExitStack() as uploads:
        receiver = _Receiver(store, prefix, uploads, workers)
        receiver.receive(stream, pack, progress)
    if receiver.manifest is None or not receiver.archives:
        raise interrupted(stream.address, "the server sent no manifest, or no archive")
    return receiver.archives, receiver.manifest


def _nowhere(data: memoryview) -> None:
    raise DatabaseError(f"the server sent {len(data)} bytes that belong to no archive")


def _nothing() -> None:
    """Nothing is under way yet."""
