"""Who a server is, and where its WAL stands: asked once at the start of each operation."""

from datetime import datetime
from typing import Any

import psycopg

from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.errors import DatabaseError
from ledgerkeep.model import Record, UtcDatetime

_STANDBY_SETTINGS = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)

_QUERY = """
SELECT (pg_control_system()).system_identifier::text,
       (pg_control_checkpoint()).timeline_id,
       current_setting('server_version_num')::int,
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery()
            THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       current_setting('wal_level'),
       pg_size_bytes(current_setting('wal_segment_size')),
       current_setting('data_checksums') = 'on',
       clock_timestamp(),
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""


class ServerDescription(Record):
    """A server as it was at one moment."""

    system_identifier: str
    timeline: int
    server_version: int
    in_recovery: bool
    lsn: Lsn
    """Insert position, or replay position on a standby."""
    wal_level: str
    segment_size: int
    data_checksums: bool
    clock: UtcDatetime
    """The server's own clock."""
    next_xid: int
    standby_settings: dict[str, str]
    """Settings a hot standby must not undercut."""

    @property
    def major(self) -> int:
        """The major version."""
        return self.server_version // 10_000


def describe(connection: psycopg.Connection) -> ServerDescription:
    """Ask the server who it is.

    The timeline of a running primary is that of its WAL insert position: right after a promotion
    the last checkpoint may still be on the old one, so the segment name decides.
    """
    row = one_row(connection, _QUERY)
    timeline = row[1]
    if not row[3]:
        name = one_row(connection, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0]
        timeline = int(name[:8], 16)
    settings = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_STANDBY_SETTINGS)]
    ).fetchall()
    return ServerDescription(
        system_identifier=row[0],
        timeline=timeline,
        server_version=row[2],
        in_recovery=row[3],
        lsn=row[4],
        wal_level=row[5],
        segment_size=row[6],
        data_checksums=row[7],
        clock=row[8],
        next_xid=row[9],
        standby_settings=dict(settings),
    )


def server_clock(connection: psycopg.Connection) -> datetime:
    """The server's clock, in UTC."""
    moment: datetime = one_row(connection, "SELECT clock_timestamp()")[0]
    return moment


def one_row(connection: psycopg.Connection, query: str) -> tuple[Any, ...]:
    """The one row that a query of ours always returns.

    :raises DatabaseError: it returned none.
    """
    row = connection.execute(query.encode()).fetchone()
    if row is None:
        raise DatabaseError(f"the server returned no row for: {' '.join(query.split())}")
    return row
