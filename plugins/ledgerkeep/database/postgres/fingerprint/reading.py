"""The tables of one database, read by several connections that see the same snapshot.

A reader holds the lock on a table (ACCESS SHARE, the weakest) only while it hashes it: each table
is read inside a savepoint, and rolling that back gives the lock up while the snapshot stays. So
nobody who alters a table waits for the whole fingerprint. The price is that a table may be
rewritten or altered between the snapshot and its turn. That is noticed, under the lock, before it
is read: its file and its columns must still be those that the snapshot shows.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

import psycopg
from psycopg import sql

from ledgerkeep.catalog.models import TableFingerprint
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.fingerprint.hashing import (
    Column,
    Relation,
    hash_large_objects,
    hash_relation,
    pin_settings,
)
from ledgerkeep.database.postgres.fingerprint.tables import Inventory
from ledgerkeep.errors import DatabaseError, DatabaseUnavailable
from ledgerkeep.progress import Progress

_LOCK_TIMEOUT = "60s"


@dataclass
class Readings:
    """What was read, and what could not be because it changed under our hands."""

    tables: list[TableFingerprint] = field(default_factory=list)
    changed: list[Relation] = field(default_factory=list)


@contextmanager
def open_readers(
    address: ServerAddress, count: int, *, gather: int = 0
) -> Iterator[list[psycopg.Connection]]:
    """Connections to the address's database with every setting pinned, for a block."""
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(contextlib.closing(connect(address)))
            with speaking_of(address):
                pin_settings(connection, gather=gather)
                connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'".encode())
            connections.append(connection)
        yield connections


def adopt(connections: Sequence[psycopg.Connection], snapshot: str | None) -> None:
    """Begin a read-only transaction on each, with that exported snapshot where there is one."""
    for connection in connections:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if snapshot is not None:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))


def read_tables(
    connections: Sequence[psycopg.Connection],
    inventory: Inventory,
    sampled: Mapping[str, float],
    progress: Progress,
    what: str,
) -> Readings:
    """Hash everything in the inventory, the largest first, one table per connection at a time."""
    idle: SimpleQueue[psycopg.Connection] = SimpleQueue()
    for connection in connections:
        idle.put(connection)

    def hash_one(relation: Relation) -> TableFingerprint | None:
        return _borrow(idle, lambda reader: _hash(reader, relation, sampled))

    readings = Readings()
    with ThreadPoolExecutor(len(connections), thread_name_prefix="fingerprint") as pool:
        work: dict[Future[TableFingerprint | None], Relation | None] = {
            pool.submit(hash_one, relation): relation for relation in inventory.relations
        }
        if inventory.large_objects:
            work[pool.submit(_borrow, idle, hash_large_objects)] = None
        try:
            _collect(work, readings, progress, what)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _interrupt(connections, list(work))
            raise
    readings.tables.sort(key=lambda table: (table.schema_name, table.name))
    return readings


def _borrow(
    idle: "SimpleQueue[psycopg.Connection]",
    work: Callable[[psycopg.Connection], TableFingerprint | None],
) -> TableFingerprint | None:
    reader = idle.get()
    try:
        return work(reader)
    finally:
        idle.put(reader)


def _collect(
    work: "dict[Future[TableFingerprint | None], Relation | None]",
    readings: Readings,
    progress: Progress,
    what: str,
) -> None:
    total = sum(relation.size for relation in work.values() if relation)
    done, pending = 0, set(work)
    while pending:
        finished, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in finished:
            table, relation = future.result(), work[future]
            if table is not None:
                readings.tables.append(table)
            elif relation is not None:
                readings.changed.append(relation)
            done += relation.size if relation else 0
        progress(done, total, what)


def _interrupt(
    connections: Sequence[psycopg.Connection], work: "list[Future[TableFingerprint | None]]"
) -> None:
    """Cancel what runs on the server until every thread has noticed."""
    pending = set(work)
    while pending:
        for connection in connections:
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=5.0)
        _, pending = wait(pending, timeout=0.5)


def _hash(
    reader: psycopg.Connection, relation: Relation, sampled: Mapping[str, float]
) -> TableFingerprint | None:
    """One table, or None when it is no longer what the snapshot shows."""
    reader.execute("SAVEPOINT one_table")
    try:
        if not _lock_unchanged(reader, relation):
            return None
        return hash_relation(reader, relation, sampled.get(relation.full_name))
    except psycopg.errors.LockNotAvailable as problem:
        raise DatabaseError(
            f"table {relation.full_name} stayed locked for {_LOCK_TIMEOUT}, "
            "so it has no fingerprint",
            hint="somebody alters or rewrites it: take the fingerprint when that has ended",
        ) from problem
    finally:
        if not reader.closed:
            reader.execute("ROLLBACK TO SAVEPOINT one_table")


def _lock_unchanged(reader: psycopg.Connection, relation: Relation) -> bool:
    """Lock the table until the savepoint is rolled back, and look whether it is still the same.

    Parsing a query takes the lock (LOCK TABLE refuses materialized views) and returns the columns
    as they are now, which is how the hash would see them; so does the file's number.
    """
    query = sql.SQL("SELECT t.* FROM ONLY {} AS t LIMIT 0").format(relation.identifier)
    try:
        result = reader.execute(query).pgresult
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return False
    if result is None:
        return False
    columns = tuple(
        Column(result.ftablecol(at), (result.fname(at) or b"").decode(), result.ftype(at))
        for at in range(result.nfields)
    )
    row = reader.execute("SELECT pg_relation_filenode(%s)", [relation.oid]).fetchone()
    return _same(columns, relation.columns) and row is not None and row[0] == relation.filenode


def _same(now: tuple[Column, ...], then: tuple[Column, ...]) -> bool:
    return len(now) == len(then) and all(
        (one.number, one.name) == (other.number, other.name) and other.type_oid in (0, one.type_oid)
        for one, other in zip(now, then, strict=True)
    )


@contextmanager
def speaking_of(address: ServerAddress) -> Iterator[None]:
    """Turn the client library's errors into ours, for a block."""
    try:
        yield
    except psycopg.OperationalError as problem:
        raise DatabaseUnavailable(
            f"the fingerprint of {address} was interrupted: {' '.join(str(problem).split())}",
            hint="nothing was recorded; the run may simply be repeated",
        ) from problem
    except psycopg.Error as problem:
        raise DatabaseError(
            f"the fingerprint of {address} failed: {' '.join(str(problem).split())}",
            hint="nothing was recorded; look at the server's log",
        ) from problem
