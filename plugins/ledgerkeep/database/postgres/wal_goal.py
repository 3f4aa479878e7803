"""Marks: which moment the WAL up to a position makes reachable, and how a run makes one.

A recovery to a time replays until it meets the first commit *after* that time; when there is none
in the WAL it has, PostgreSQL calls the target unreachable. So it is not enough to ship everything
up to a moment: a commit after it must be shipped too. The run therefore takes the server's clock,
then commits one empty transaction of its own, and what it has made durable behind that counts up to
that clock reading, on an idle server as well. To end there, it also switches the segment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg

from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.description import ServerDescription, one_row
from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError

_LONG_HEADER = 40
"""Bytes of a segment's first page header: an insert position there means an empty segment."""


_COVERED_UNTIL = "covered-until"
_NEXT_XID = "covered-next-xid"


@dataclass(frozen=True)
class Mark:
    """With all WAL before `lsn`, what was committed before `covered_until` can be recovered to."""

    lsn: int
    covered_until: datetime
    """By the server's clock."""
    next_xid: int
    """First transaction id (64 bit) not yet assigned at that moment."""

    def as_metadata(self) -> dict[str, str]:
        """What a stored segment behind the mark says of it."""
        return {
            _COVERED_UNTIL: self.covered_until.isoformat(),
            _NEXT_XID: str(self.next_xid),
        }


def mark_of(metadata: Mapping[str, str], lsn: int) -> Mark | None:
    """The mark that a stored segment ending at `lsn` tells of; None when it tells of none."""
    if _COVERED_UNTIL not in metadata or _NEXT_XID not in metadata:
        return None
    moment = datetime.fromisoformat(metadata[_COVERED_UNTIL])
    return Mark(lsn, moment, int(metadata[_NEXT_XID]))


class Marks:
    """The marks of a run, in WAL order; one thread adds, others may ask."""

    def __init__(self, *known: Mark | None) -> None:
        """Begin with those that are known already."""
        self._marks = tuple(mark for mark in known if mark is not None)

    def add(self, mark: Mark) -> None:
        """Take a newer one."""
        self._marks = (*self._marks, mark)

    def at(self, lsn: int) -> Mark | None:
        """The newest that the WAL before `lsn` makes good."""
        return next((mark for mark in reversed(self._marks) if mark.lsn <= lsn), None)

    def forget_before(self, lsn: int) -> None:
        """Keep what can still be asked for when all that was before `lsn` is done with."""
        kept = [mark for mark in self._marks if mark.lsn > lsn]
        self._marks = tuple(mark for mark in (self.at(lsn), *kept) if mark is not None)


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
    return 0 <= insert_position(connection) - last.end_lsn <= _LONG_HEADER


def insert_position(connection: psycopg.Connection) -> int:
    """Where the server writes its next WAL."""
    return parse_lsn(one_row(connection, "SELECT pg_current_wal_insert_lsn()::text")[0])


def make_mark(connection: psycopg.Connection) -> Mark:
    """Make the present moment reachable, with the WAL before the returned position."""
    covered_until, next_xid = one_row(
        connection,
        "SELECT clock_timestamp(), pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
    )
    with connection.transaction():
        # Not to wait for a synchronous standby: what counts is when the store has it.
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("SELECT pg_current_xact_id()")
    return Mark(insert_position(connection), covered_until, next_xid)


def switch_segment(connection: psycopg.Connection, segment_size: int) -> Mark:
    """Make the present moment reachable and complete the segment that holds it.

    Returns a mark at the end of that segment.

    :raises DatabaseAccessDenied: the role may not switch segments.
    """
    mark = make_mark(connection)
    try:
        switched = parse_lsn(one_row(connection, "SELECT pg_switch_wal()::text")[0])
    except psycopg.errors.InsufficientPrivilege as problem:
        raise DatabaseAccessDenied(
            "the role may not switch WAL segments",
            hint="GRANT EXECUTE ON FUNCTION pg_switch_wal() TO the role of the connection",
        ) from problem
    return replace(mark, lsn=-(-switched // segment_size) * segment_size)
