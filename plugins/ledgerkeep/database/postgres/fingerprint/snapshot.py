"""A snapshot of the source whose place in the WAL is known to the byte.

Creating a logical replication slot makes the server find a *consistent point*: an LSN for which
it can say of every transaction whether it was committed before. The snapshot it exports sees
exactly those. A physical copy that has replayed WAL up to that LSN, and not one record more, sees
exactly those too, and that is why the two can be compared.

The slot is temporary and belongs to one connection that does nothing else: when it ends, by
whatever way, the slot is gone and holds back neither WAL nor vacuum. It is needed only until the
last reader has adopted the snapshot.
"""

import secrets
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect_replication
from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError, DatabaseUnavailable

_PATIENCE = 600.0
"""Seconds to wait for writing transactions that were under way to end."""


@dataclass(frozen=True)
class ExportedSnapshot:
    """A snapshot that other connections to the same database can adopt."""

    lsn: int
    """What was committed before it is seen, everything else is not."""
    name: str


def why_no_exact_fingerprint(description: ServerDescription) -> str:
    """Why this server cannot say where in its WAL a snapshot lies, for the report; or empty."""
    if description.in_recovery:
        return "the server is a standby, and only a primary can export a snapshot at a known LSN"
    if description.wal_level != "logical":
        return (
            f"wal_level is {description.wal_level} and not logical, so the source's content "
            "cannot be tied to an exact LSN"
        )
    return ""


@contextmanager
def exported_snapshot(
    address: ServerAddress, *, patience: float = _PATIENCE
) -> Iterator[ExportedSnapshot]:
    """Export a snapshot of the address's database for a block.

    PostgreSQL: "Streaming Replication Protocol", CREATE_REPLICATION_SLOT.

    :param patience: seconds to wait for transactions that were writing when it was asked for.
    :raises DatabaseError: they did not end, there is no free slot, or wal_level is not logical.
    :raises DatabaseUnavailable, DatabaseAccessDenied:
    """
    connection = connect_replication(address, logical=True)
    try:
        command = (
            f"CREATE_REPLICATION_SLOT ledgerkeep_{secrets.token_hex(6)} "
            "TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')"
        )
        result = _run(connection, command, time.monotonic() + patience)
        if result is None:
            raise DatabaseError(
                f"no snapshot of {address} after {patience:.0f} s: "
                "transactions that were already writing have not ended",
                hint="look for long ones: SELECT pid, xact_start, query FROM pg_stat_activity "
                "WHERE backend_xid IS NOT NULL ORDER BY xact_start",
            )
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _refused(address, result)
        yield ExportedSnapshot(lsn=parse_lsn(_text(result, 1)), name=_text(result, 2))
    finally:
        # Closing the socket ends the server's side too, whatever it is waiting for there.
        connection.finish()


def _run(connection: PGconn, command: str, deadline: float) -> PGresult | None:
    """Run a command without blocking in C, so that a signal to this process is heard."""
    connection.send_query(command.encode())
    while connection.is_busy():
        left = deadline - time.monotonic()
        if left <= 0:
            connection.get_cancel().cancel()
            return None
        select.select([connection.socket], [], [], min(left, 1.0))
        connection.consume_input()
    return connection.get_result()


def _text(result: PGresult, column: int) -> str:
    value = result.get_value(0, column)
    return value.decode() if value is not None else ""


def _refused(address: ServerAddress, result: PGresult) -> DatabaseError:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    words = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
    message = f"the server exports no snapshot of {address}: {words}"
    if state == "42501":
        return DatabaseAccessDenied(
            message, hint="give the role REPLICATION: ALTER ROLE … REPLICATION"
        )
    if state in ("53400", "55000"):
        return DatabaseError(
            message,
            hint="it needs wal_level = logical and one free slot (max_replication_slots)",
        )
    if not state or state.startswith(("08", "57")):
        return DatabaseUnavailable(message, hint="is the server up? the run may simply be repeated")
    return DatabaseError(message, hint="look at the server's log")
