"""One operation of a kind at a time: an advisory lock in the protected database itself.

The lock belongs to a session of the source server, so it needs no other service, holds across
workers, and vanishes with a worker that dies. The second run is refused, not queued: Airflow
retries it, and the log says why. A run that ends gives the lock back itself, so that the next one
is not refused for one that is over.
"""

import hashlib
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import OperationRunning

_CLASS = 0x4C454447  # "LEDG"
_RELEASE_SECONDS = 5.0


@contextmanager
def operation_lock(address: ServerAddress, operation: str) -> Iterator[psycopg.Connection]:
    """Hold the lock of `operation` (such as `production/base backup`) for a block.

    Yields the connection that holds it, in autocommit; it may be used for other statements.

    :raises OperationRunning: somebody else holds it.
    """
    number = _number(operation)
    with connect(address) as connection:
        if not _taken(connection, number):
            raise OperationRunning(
                f"{operation} already runs on {address.host}:{address.port}",
                hint="wait for the other run to end; if its worker died, its session ends within "
                "the server's tcp_keepalives time and the lock with it "
                "(SELECT * FROM pg_locks WHERE locktype = 'advisory')",
            )
        try:
            yield connection
        finally:
            _release(connection, number)


def is_locked(connection: psycopg.Connection, operation: str) -> bool:
    """Whether somebody else than this connection holds the lock of `operation`."""
    return bool(_holders(connection, _number(operation)))


def held_since(connection: psycopg.Connection, operation: str) -> datetime | None:
    """When the session began that holds the lock of `operation`, by the server's clock.

    None: nobody else holds it, or the role may not look into the session that does.
    """
    found = connection.execute(
        "SELECT backend_start FROM pg_stat_activity WHERE pid = ANY(%s)",
        [[pid for (pid,) in _holders(connection, _number(operation))]],
    ).fetchone()
    return None if found is None or found[0] is None else found[0].astimezone(UTC)


def _number(operation: str) -> int:
    return int.from_bytes(hashlib.sha256(operation.encode()).digest()[:4], "big", signed=True)


def _taken(connection: psycopg.Connection, number: int) -> bool:
    """Take the lock; False when somebody else has it, connected to whichever database.

    An advisory lock is its database's own, but pg_locks shows those of all. Of two that take it at
    the same moment in two databases, both are refused.
    """
    got = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_CLASS, number]).fetchone()
    return got == (True,) and not _holders(connection, number)


def _release(connection: psycopg.Connection, number: int) -> None:
    """Give the lock back now: a server that is busy ends a closed session some time later.

    A session that cannot be asked any more takes the lock with it, so nobody waits long for one
    that does not answer: the network may be what ended the run.
    """
    session = connection.pgconn
    with suppress(psycopg.Error):
        session.send_query(b"SELECT pg_advisory_unlock(%d, %d)" % (_CLASS, number))
        answered, _, _ = select.select([session.socket], [], [], _RELEASE_SECONDS)
        if not answered:
            connection.close()
            return
        while session.get_result():
            pass


def _holders(connection: psycopg.Connection, number: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
        "AND classid = %s::bigint::oid AND objid = %s::bigint::oid AND pid <> pg_backend_pid()",
        [_CLASS, number % 2**32],
    ).fetchall()
