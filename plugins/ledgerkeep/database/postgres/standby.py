"""A hot standby as the place where a full backup is read, so that the primary is spared.

The primary stays in charge: it holds the lock and the slot, tells the clock, and its WAL is what
is shipped. So the standby must be of the same cluster, and it must have replayed everything that
the primary had written when the backup began. Then the backup holds every transaction committed
before it was asked for, as one of the primary would, and it ends inside the WAL that the slot
keeps: no gap behind it. That the standby is on the primary's timeline is seen when the backup has
started there, which makes it say on which one it is.
"""

import time

import psycopg

from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.description import ServerDescription, describe, one_row
from ledgerkeep.errors import DatabaseError, DatabaseUnavailable, ForeignCluster
from ledgerkeep.progress import format_bytes

_POLL_SECONDS = 0.2
_REPLAYED = "SELECT pg_last_wal_replay_lsn()::text"


def await_standby(
    address: ServerAddress,
    primary: psycopg.Connection,
    server: ServerDescription,
    *,
    patience: float,
) -> None:
    """Return when the standby has replayed what the primary has written up to now.

    :param server: the primary's description.
    :param patience: seconds to wait for it.
    :raises ForeignCluster: it belongs to another cluster.
    :raises DatabaseUnavailable: it does not answer, or is too far behind.
    :raises DatabaseError: it is no standby.
    """
    wanted = parse_lsn(one_row(primary, "SELECT pg_current_wal_flush_lsn()::text")[0])
    with connect(address) as connection:
        _check(address, describe(connection), server)
        deadline = time.monotonic() + patience
        while (replayed := parse_lsn(one_row(connection, _REPLAYED)[0])) < wanted:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"the standby {address} is {format_bytes(wanted - replayed)} of WAL behind: "
                    f"it has replayed up to {format_lsn(replayed)}, the primary was at "
                    f"{format_lsn(wanted)} {patience:.0f} s ago",
                    hint="does it still follow the primary (pg_stat_wal_receiver), and does a "
                    "long query hold its replay? the run may be repeated, or the backup be read "
                    "from the primary (full_backup.standby: null)",
                )
            time.sleep(_POLL_SECONDS)


def _check(address: ServerAddress, standby: ServerDescription, server: ServerDescription) -> None:
    if standby.system_identifier != server.system_identifier:
        raise ForeignCluster(
            f"the standby {address} is of cluster {standby.system_identifier}, "
            f"the primary of {server.system_identifier}",
            hint="point full_backup.standby of the policy at a standby of that primary",
        )
    if not standby.in_recovery:
        raise DatabaseError(
            f"the server {address} is no standby",
            hint="was it promoted? point the policy's connections at the present primary and at "
            "a standby of it, or read backups from the primary (full_backup.standby: null)",
        )
