"""WAL shipping up to a moment: one run makes everything up to the present one durable.

It takes a mark, switches the segment, and ships whole segments up to the switch. Whatever happens
to it, nothing is lost: see `wal_shipment`.
"""

import logging

import psycopg

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.address import ServerAddress, connection_error
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.stretch_tally import StretchTally
from ledgerkeep.database.postgres.wal_goal import nothing_written, switch_segment
from ledgerkeep.database.postgres.wal_shipment import (
    prepare_shipment,
    shipping_lock,
    shipping_policy,
)
from ledgerkeep.progress import Progress, no_progress

_logger = logging.getLogger(__name__)


def ship_wal(
    address: ServerAddress,
    catalog: Catalog,
    *,
    run: str,
    progress: Progress = no_progress,
    slot_patience: float = 10.0,
) -> list[WalStretch]:
    """Switch the segment and ship everything up to that point over the policy's slot.

    :param run: who asks (`dag_id/run_id` or `cli`), for the log.
    :param slot_patience: seconds to wait until the slot of a dead worker is free.
    :returns: the recorded stretches, one per timeline, the newest last; none when the server has
        written nothing since the last run.
    :raises PolicyError: the policy ships no WAL.
    :raises OperationRunning: another run ships.
    :raises WalError: WAL cannot be shipped without losing or mixing something.
    :raises DatabaseError, StorageError: the server or the store failed; run again.
    """
    shipping_policy(catalog)
    try:
        with operation_lock(address, shipping_lock(catalog)) as connection:
            shipment = prepare_shipment(
                address, catalog, connection, slot_patience=slot_patience, progress=progress
            )
            if nothing_written(connection, shipment.lineage.last):
                return []
            goal = switch_segment(connection, shipment.size)
            shipment.marks.add(goal)
            _logger.info("%s ships WAL up to %s", run, format_lsn(goal.lsn))
            legs = shipment.route(goal.lsn)
            shipment.store_histories()
            return shipment.travel(legs, StretchTally())
    except psycopg.OperationalError as problem:
        raise connection_error(address, str(problem)) from problem
