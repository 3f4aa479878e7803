"""One operation of a kind at a time: an advisory lock in the protected database itself.

The lock belongs to a session of the source server, so it needs no other service, holds across
workers, and vanishes with a worker that dies. The second run is refused, not queued: Airflow
retries it, and the log says why.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import OperationRunning

_CLASS = 0x4C454447  # "LEDG"


@contextmanager
def operation_lock(address: ServerAddress, operation: str) -> Iterator[psycopg.Connection]:
    """Hold the lock of `operation` (such as `production/base backup`) for a block.

    Yields the connection that holds it, in autocommit; it may be used for other statements.

    :raises OperationRunning: somebody else holds it.
    """
    number = int.from_bytes(hashlib.sha256(operation.encode()).digest()[:4], "big", signed=True)
    with connect(address) as connection:
        got = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [_CLASS, number]).fetchone()
        if got is None or not got[0]:
            raise OperationRunning(
                f"{operation} already runs on {address.host}:{address.port}",
                hint="wait for the other run to end; if its worker died, its session ends within "
                "the server's tcp_keepalives time and the lock with it "
                "(SELECT * FROM pg_locks WHERE locktype = 'advisory')",
            )
        yield connection
