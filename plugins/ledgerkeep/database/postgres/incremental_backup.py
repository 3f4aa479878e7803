"""An incremental backup of the protected cluster, or a full one where that is the right thing.

The counterpart of `take_full_backup`: the same lock, the same checks, the same two steps, and
`record_backup` for the second of them. The lock also keeps the parent: retention takes it too, so
nothing that is built on can be removed while it is.
"""

import logging
from dataclasses import replace

import psycopg

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, StreamedBackup
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.backup_turn import backup_turn, sweep_unfinished
from ledgerkeep.database.postgres.base_backup import Origin, stream_base_backup
from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.database.postgres.increment import FIRST_VERSION, Full, Increment, decide
from ledgerkeep.database.postgres.wal_summaries import read_summaries
from ledgerkeep.errors import IncrementImpossible, ObjectCorrupt, ObjectMissing
from ledgerkeep.policy.model import IncrementalBackup
from ledgerkeep.progress import Progress

logger = logging.getLogger(__name__)


def take_incremental_backup(
    address: ServerAddress, catalog: Catalog, *, origin: Origin, progress: Progress
) -> str:
    """Stream what changed since the newest backup, or everything; its id, nothing counts yet.

    Where it is a full one, its record's `full_because` says why.

    :param origin: who asks for it, and what for.
    :raises OperationRunning: another backup of this cluster is under way.
    :raises ForeignCluster, TimelineDiverged: this is not the cluster the catalog knows.
    :raises DatabaseError, StorageError: it failed; nothing of it counts.
    """
    with backup_turn(address, catalog, run=origin.run) as (connection, server):
        # Can the server tell what changed since the newest backup?
        choice = _decide(connection, server, catalog)
        if isinstance(choice, Increment):
            # Only what changed; when the server or the parent's manifest fails us, a reason.
            taken = _stream_increment(
                address, connection, server, catalog, choice.parent, origin, progress
            )
            if isinstance(taken, StreamedBackup):
                return taken.id
            choice = taken
            # What the attempt has left.
            sweep_unfinished(catalog, server.system_identifier, run=origin.run)
        # Everything.
        logger.warning("a full backup instead of an incremental one: %s", choice.because)
        streamed = stream_base_backup(
            address,
            connection,
            server,
            catalog,
            origin=replace(origin, full_because=choice.because),
            progress=progress,
        )
    return streamed.id


def _decide(
    connection: psycopg.Connection, server: ServerDescription, catalog: Catalog
) -> Increment | Full:
    summaries = read_summaries(connection) if server.major >= FIRST_VERSION else None
    policy = catalog.policy.database.incremental_backup or IncrementalBackup(schedule=None)
    return decide(server, catalog.backups(server.system_identifier), summaries, policy)


def _stream_increment(
    address: ServerAddress,
    connection: psycopg.Connection,
    server: ServerDescription,
    catalog: Catalog,
    parent: BaseBackup,
    origin: Origin,
    progress: Progress,
) -> StreamedBackup | Full:
    try:
        return stream_base_backup(
            address, connection, server, catalog, origin=origin, progress=progress, parent=parent
        )
    except IncrementImpossible as problem:
        return Full(problem.message)
    except (ObjectMissing, ObjectCorrupt) as problem:
        return Full(f"the manifest of backup {parent.id} is of no use: {problem.message}")
