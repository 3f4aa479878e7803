"""How far a run ships, and which moment that makes reachable.

A recovery to a time replays until it meets the first commit *after* that time; when there is none
in the WAL it has, PostgreSQL calls the target unreachable. So it is not enough to ship everything
up to a moment: a commit after it must be shipped too. The run therefore takes the server's clock,
then commits one empty transaction of its own, then switches the segment. Every transaction
committed before that clock reading can be recovered to, on an idle server as well.
"""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.description import ServerDescription, one_row
from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError

_LONG_HEADER = 40
"""Bytes of a segment's first page header: an insert position there means an empty segment."""


@dataclass(frozen=True)
class ShippingGoal:
    """What one run makes durable."""

    end_lsn: int
    """A segment boundary."""
    covered_until: datetime
    """By the server's clock."""
    next_xid: int


def require_primary(server: ServerDescription) -> None:
    """Refuse a standby: it cannot switch segments, and its WAL may lag behind what is promised.

    :raises DatabaseError:
    """
    if server.in_recovery:
        raise DatabaseError(
            f"the server (cluster {server.system_identifier}) is a standby, "
            f"replaying at {format_lsn(server.lsn)}",
            hint="point the policy's connection at the primary; after a failover, at the new one",
        )


def nothing_written(connection: psycopg.Connection, last: WalStretch | None) -> bool:
    """Whether the server has written no WAL at all since the last stretch ended."""
    if last is None:
        return False
    position = parse_lsn(one_row(connection, "SELECT pg_current_wal_insert_lsn()::text")[0])
    return 0 <= position - last.end_lsn <= _LONG_HEADER


def switch_segment(connection: psycopg.Connection, server: ServerDescription) -> ShippingGoal:
    """Make the present moment reachable and complete the segment that holds it.

    :raises DatabaseAccessDenied: the role may not switch segments.
    """
    covered_until, next_xid = one_row(
        connection,
        "SELECT clock_timestamp(), pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
    )
    with connection.transaction():
        # Not to wait for a synchronous standby: pg_switch_wal flushes the commit anyway.
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("SELECT pg_current_xact_id()")
    try:
        switched = parse_lsn(one_row(connection, "SELECT pg_switch_wal()::text")[0])
    except psycopg.errors.InsufficientPrivilege as problem:
        raise DatabaseAccessDenied(
            "the role may not switch WAL segments",
            hint="GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the role of the connection",
        ) from problem
    size = server.segment_size
    return ShippingGoal(-(-switched // size) * size, covered_until, next_xid)
