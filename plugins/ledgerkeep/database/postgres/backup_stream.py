"""BASE_BACKUP over the replication protocol: what the server sends, as typed events.

pg_basebackup is not used because it wants a disk: it can send a tar to a pipe for one tablespace
only, hides its exit status behind that pipe, and drops the start and stop positions. The protocol
itself is small (PostgreSQL: "Streaming Replication Protocol", BASE_BACKUP): two result sets, then
one COPY in which every message says by its first byte what it is, then the stop position.

The WAL that makes the backup consistent is part of it. So that the server cannot recycle that WAL
while a long backup runs, a temporary physical slot is held on a second connection; it vanishes
with the connection, however this process ends.

An incremental backup differs in one thing: before it, on the same connection, the server is given
the manifest of the backup that it builds on, and leaves out what its summaries of the WAL say has
not changed since (PostgreSQL 17 and later: "UPLOAD_MANIFEST").
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Literal

import psycopg
from psycopg.pq.abc import PGconn

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect_replication
from ledgerkeep.database.postgres.replication_command import (
    CommandRefused,
    Rows,
    copy_in,
    copy_messages,
    error_words,
    results,
    rows_of,
    run,
    sqlstate,
)
from ledgerkeep.errors import BackupInterrupted, DatabaseError, IncrementImpossible

_SYNTAX_ERROR = "42601"  # also of "this build does not support compression with ZSTD"
_DATA_CORRUPTED = "XX001"
_NOT_NOW = "55000"  # what an increment needs is not there: summaries, or the parent's timeline
_INSUFFICIENT_PRIVILEGE = "42501"
_NEW_ARCHIVE, _DATA, _MANIFEST, _PROGRESS = b"ndmp"


@dataclass(frozen=True)
class BackupOptions:
    """How a base backup is taken."""

    label: str
    checkpoint: Literal["fast", "spread"] = "fast"
    max_rate_mib_per_second: int | None = None
    """The server's own brake on reading, in MiB per second; None: as fast as it can."""
    compression_level: int = 1
    """zstd level asked of the server."""
    parent_manifest: Iterable[memoryview] | None = None
    """An incremental backup on the one with this manifest, to be given byte for byte as the server
    once sent it; None: a full one."""


@dataclass(frozen=True)
class ArchiveBegins:
    """The data that follows is a new archive's."""

    tablespace_oid: int | None
    """None for the data directory itself."""
    location: str | None
    """The tablespace's path on the server."""


@dataclass(frozen=True)
class ManifestBegins:
    """The data that follows is the backup manifest's."""


@dataclass(frozen=True)
class ServerProgress:
    """How far the server is. One comes right after the last data of each archive."""

    raw_bytes: int
    """Bytes of all archives so far, before any compression."""


BackupEvent = ArchiveBegins | ManifestBegins | ServerProgress | memoryview
"""A memoryview is data of the archive, or of the manifest, that began last."""


@dataclass
class BackupStream:
    """A base backup under way; made by `open_backup_stream`."""

    connection: PGconn = field(repr=False)
    address: ServerAddress
    system_identifier: str
    start_lsn: int
    timeline: int
    estimated_bytes: int | None
    """The server's estimate of all archives before compression, without the WAL; None for an
    incremental backup, of which nobody knows."""
    compressed: bool
    """Whether the archives arrive as zstd streams."""
    warnings: list[str] = field(default_factory=list)
    """What the server has warned about so far."""
    stop_lsn: int | None = None
    """Known when `events` has ended."""
    pages_damaged: bool = False
    """Whether the server found wrong page checksums; known when `events` has ended."""

    def events(self) -> Iterator[BackupEvent]:
        """Everything the server sends, in its order; when it ends, the backup is complete.

        :raises BackupInterrupted: the stream broke off; nothing of it counts.
        """
        try:
            for message in copy_messages(self.connection):
                # By far the most frequent one first.
                yield message[1:] if message[0] == _DATA else _event(message)
            self._finish()
        except psycopg.OperationalError as problem:
            raise interrupted(self.address, str(problem)) from problem
        except CommandRefused as problem:
            raise interrupted(self.address, problem.words) from problem

    def require_stop_lsn(self) -> int:
        """Where the backup ends.

        :raises BackupInterrupted: it has not ended.
        """
        if self.stop_lsn is None:
            raise interrupted(self.address, "the server sent no stop position")
        return self.stop_lsn

    def _finish(self) -> None:
        """The stop position; then, when all has been sent, the verdict on the page checksums."""
        for result in results(self.connection):
            if sqlstate(result) == _DATA_CORRUPTED and self.stop_lsn is not None:
                self.pages_damaged = True
                continue
            for row in rows_of(result):
                self.stop_lsn = parse_lsn(row[0])
        self.require_stop_lsn()


@contextmanager
def open_backup_stream(address: ServerAddress, options: BackupOptions) -> Iterator[BackupStream]:
    """Start a base backup of the whole cluster; leaving the block ends it on the server too.

    The server compresses with zstd where its build can; otherwise the archives arrive as they are.

    :raises DatabaseUnavailable, DatabaseAccessDenied, DatabaseError: it could not start.
    :raises IncrementImpossible: it could not start as an incremental one.
    """
    lasting = address.lasting()
    with _connected(lasting) as connection, _connected(lasting) as keeper:
        try:
            _hold_wal(keeper)
            stream = _start(connection, address, options)
        except CommandRefused as problem:
            raise problem.as_database_error("a base backup") from problem
        except psycopg.OperationalError as problem:
            raise interrupted(address, str(problem)) from problem
        yield stream


@contextmanager
def _connected(address: ServerAddress) -> Iterator[PGconn]:
    connection = connect_replication(address)
    try:
        yield connection
    finally:
        connection.finish()


def _hold_wal(keeper: PGconn) -> None:
    """From now on the server keeps all WAL, as long as this connection lives."""
    slot = f"ledgerkeep_backup_{token_hex(4)}"
    run(keeper, f"CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL RESERVE_WAL")


def _start(connection: PGconn, address: ServerAddress, options: BackupOptions) -> BackupStream:
    identity = run(connection, "IDENTIFY_SYSTEM")
    warnings: list[str] = []
    connection.notice_handler = lambda notice: warnings.append(error_words(notice))
    if options.parent_manifest is not None:
        _upload_manifest(connection, options.parent_manifest)
    compressed = True
    try:
        start, tablespaces = _send(connection, options, compressed=True)
    except CommandRefused as problem:
        if problem.sqlstate != _SYNTAX_ERROR:
            raise
        for _ in results(connection):  # the rest of the refusal
            pass
        compressed = False
        start, tablespaces = _send(connection, options, compressed=False)
    return BackupStream(
        connection=connection,
        address=address,
        system_identifier=str(identity[0][0]),
        start_lsn=parse_lsn(start[0][0]),
        timeline=int(start[0][1] or 0),
        estimated_bytes=None
        if options.parent_manifest is not None
        else sum(int(size or 0) * 1024 for _, _, size in tablespaces),
        compressed=compressed,
        warnings=warnings,
    )


def _send(connection: PGconn, options: BackupOptions, *, compressed: bool) -> tuple[Rows, Rows]:
    """Send the command and return its two result sets; the COPY has begun then."""
    connection.send_query(_command(options, compressed=compressed).encode())
    try:
        start, tablespaces, _copy = (rows_of(result) for result in results(connection))
    except CommandRefused as problem:
        if options.parent_manifest is not None and problem.sqlstate == _NOT_NOW:
            raise _impossible(problem) from problem
        raise
    return start, tablespaces


def _upload_manifest(connection: PGconn, manifest: Iterable[memoryview]) -> None:
    try:
        copy_in(connection, "UPLOAD_MANIFEST", manifest)
    except CommandRefused as problem:
        if problem.sqlstate == _INSUFFICIENT_PRIVILEGE:
            raise
        raise _impossible(problem) from problem


def _impossible(problem: CommandRefused) -> IncrementImpossible:
    detail = f" ({problem.detail.rstrip('.')})" if problem.detail else ""
    return IncrementImpossible(
        f"the server cannot take an incremental backup: {problem.words}{detail}",
        hint="take a full backup for the next ones to build on; is summarize_wal on, and "
        "wal_summary_keep_time longer than the time between two backups?",
    )


def _command(options: BackupOptions, *, compressed: bool) -> str:
    label = options.label.replace("'", "''")
    words = [
        f"LABEL '{label}'",
        "PROGRESS",
        f"CHECKPOINT '{options.checkpoint}'",
        "WAL",
        # The WAL comes with the backup, so nothing depends on the server's own archiving.
        "WAIT false",
        "TABLESPACE_MAP",
        "VERIFY_CHECKSUMS",
        "MANIFEST 'yes'",
        # SHA-256 is made of every volume here, where it costs less than inside the server.
        "MANIFEST_CHECKSUMS 'CRC32C'",
    ]
    if options.max_rate_mib_per_second is not None:
        words.append(f"MAX_RATE {options.max_rate_mib_per_second * 1024}")
    if options.parent_manifest is not None:
        words.append("INCREMENTAL")
    if compressed:
        words.append("COMPRESSION 'zstd'")
        words.append(f"COMPRESSION_DETAIL 'level={options.compression_level}'")
    return f"BASE_BACKUP ({', '.join(words)})"


def _event(message: memoryview) -> BackupEvent:
    kind = message[0]
    if kind == _PROGRESS:
        return ServerProgress(int.from_bytes(message[1:9], "big"))
    if kind == _NEW_ARCHIVE:
        name, location, _ = bytes(message[1:]).split(b"\0")
        stem = name.split(b".", 1)[0]
        oid = None if stem == b"base" else int(stem)
        return ArchiveBegins(oid, location.decode("utf-8", "surrogateescape") or None)
    if kind == _MANIFEST:
        return ManifestBegins()
    raise DatabaseError(
        f"the server sent an unknown kind of message in a base backup: {chr(kind)!r}",
        hint="is it a newer PostgreSQL than this Ledgerkeep knows? upgrade Ledgerkeep",
    )


def interrupted(address: ServerAddress, words: str) -> BackupInterrupted:
    """The error for a backup that ended before its end, with the words of whoever noticed."""
    return BackupInterrupted(
        f"the base backup of {address.host}:{address.port} broke off: {' '.join(words.split())}",
        hint="nothing of it counts, and the next run removes what it left; "
        "look at the server's log, then run it again",
    )
