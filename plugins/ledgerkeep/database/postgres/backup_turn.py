"""The turn of a base backup: one at a time, of the right server, with the ground swept before it.

The lock lives in the protected server, so it holds across workers and goes with a worker that
dies. Whoever finds it taken can ask who has it: each backup says so in its first object, and one
that was begun after the holder had connected is the holder's.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import StreamedBackup
from ledgerkeep.catalog.traces import trace_of
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.base_backup import BEGUN, BackupBegun
from ledgerkeep.database.postgres.description import ServerDescription, describe
from ledgerkeep.database.postgres.lineage import check_lineage
from ledgerkeep.database.postgres.lock import held_since, operation_lock
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.errors import ObjectMissing
from ledgerkeep.model import utc_now

_READ_BACK_WITHIN = timedelta(hours=24)
"""A streamed backup that no run has recorded after this time is swept."""

logger = logging.getLogger(__name__)


@contextmanager
def backup_turn(
    address: ServerAddress, catalog: Catalog, *, run: str, adopt_timeline: int | None = None
) -> Iterator[tuple[psycopg.Connection, ServerDescription]]:
    """What comes before every base backup; for a block, nobody else takes or removes one.

    Yields an ordinary connection, and the server as it is.

    :param adopt_timeline: see `check_lineage`.
    :raises OperationRunning, ForeignCluster, TimelineDiverged, DatabaseError, StorageError:
    """
    policy = catalog.policy.database
    with operation_lock(address.lasting(), turn(catalog)) as connection:
        # Is this the cluster whose backups lie in that place?
        server = describe(connection)
        check_lineage(address, server, catalog, adopt_timeline=adopt_timeline)
        # From before the backup on, the server keeps WAL for shipping: no gap behind the backup.
        if policy.wal_shipping is not None:
            ensure_slot(connection, policy.wal_shipping.slot)
        # What killed runs have left costs money and proves nothing.
        sweep_unfinished(catalog, server.system_identifier, run=run)
        yield connection, server


def turn(catalog: Catalog) -> str:
    """The operation whose lock is the turn; retention takes it too."""
    return f"{catalog.environment}/base backup"


def full_under_way(address: ServerAddress, catalog: Catalog) -> BackupBegun | None:
    """The full backup that has the turn; None: nobody has it, or nobody knows what for.

    That is an incremental backup, retention, or a full one that has not begun to stream: none of
    them takes long.

    :raises DatabaseError, StorageError:
    """
    with connect(address) as connection:
        since = held_since(connection, turn(catalog))
        cluster = describe(connection).system_identifier
    if since is None:
        return None
    for backup_id in sorted(catalog.unfinished_backups(cluster), reverse=True):
        begun = _begun(catalog, cluster, backup_id)
        # What was begun before the holder connected was left by a run that died.
        if begun is not None and begun.at >= since and begun.method == "full":
            return begun
    return None


def _begun(catalog: Catalog, system_identifier: str, backup_id: str) -> BackupBegun | None:
    prefix = keys.backup(catalog.environment, system_identifier, backup_id)
    try:
        return catalog.read(prefix + BEGUN, BackupBegun)
    except ObjectMissing:
        return None


def sweep_unfinished(catalog: Catalog, system_identifier: str, *, run: str) -> list[str]:
    """Remove what interrupted backups have left; the ids. Call it under the operation's lock.

    A backup whose stream is complete may be being read back by its own run at this moment, so it
    is left for a day, unless it is this run's: then this is its retry, from the start. One that was
    complete once, and whose record is lost, is left for a person to look at.
    """
    swept = []
    for backup_id in catalog.unfinished_backups(system_identifier):
        streamed = catalog.streamed_backup(system_identifier, backup_id)
        if streamed is not None and _may_be_recorded(streamed, run):
            continue
        trace = trace_of(catalog, system_identifier, backup_id)
        if trace:
            logger.warning("backup %s has no record, but %s: it is left", backup_id, trace)
            continue
        prefix = keys.backup(catalog.environment, system_identifier, backup_id)
        removed = catalog.store.delete_prefix(prefix)
        logger.warning("removed unfinished backup %s (%d objects)", backup_id, removed)
        swept.append(backup_id)
    return swept


def _may_be_recorded(streamed: StreamedBackup, run: str) -> bool:
    return streamed.run != run and utc_now() - streamed.created_at < _READ_BACK_WITHIN
