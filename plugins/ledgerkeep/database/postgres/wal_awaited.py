"""WAL that somebody needs stored up to a position, whoever ships it.

Where WAL is shipped up to a moment now and then, it is shipped now. Where it is streamed, a run
holds the lock nearly all the time: the segment is switched, so that the run has something whole to
store, and what it stores is waited for. Only when no run shows up (its DAG is paused, or runs fail)
it is shipped from here.
"""

import time
from contextlib import suppress
from datetime import timedelta

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.lock import is_locked
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.database.postgres.wal_goal import (
    insert_position,
    require_primary,
    switch_segment,
)
from ledgerkeep.database.postgres.wal_shipment import shipping_lock, shipping_policy
from ledgerkeep.database.postgres.wal_tail import stored_tail
from ledgerkeep.errors import OperationRunning
from ledgerkeep.progress import Progress, no_progress

_POLL_SECONDS = 1.0
_BETWEEN_RUNS = timedelta(seconds=20)
"""Longer than the scheduler takes from the end of a run to the beginning of the next."""


def is_covered(catalog: Catalog, system_identifier: str, *, timeline: int, lsn: int) -> bool:
    """Whether all WAL of `timeline` before `lsn` is stored, recorded or not."""
    last = catalog.last_stretch(system_identifier)
    if last is None:
        return False
    if last.timeline == timeline and last.end_lsn >= lsn:
        return True
    tail = stored_tail(catalog, system_identifier, last)
    if tail is not None and tail.timeline == timeline:
        return tail.end_lsn >= lsn
    return last.timeline > timeline and _was_covered(catalog, system_identifier, timeline, lsn)


def _was_covered(catalog: Catalog, system_identifier: str, timeline: int, lsn: int) -> bool:
    """The same of a timeline that was left since."""
    stretches = catalog.stretches(system_identifier)
    return any(one.timeline == timeline and one.end_lsn >= lsn for one in stretches)


def ship_past(
    address: ServerAddress,
    catalog: Catalog,
    *,
    run: str,
    lsn: int | None = None,
    progress: Progress = no_progress,
    between_runs: timedelta = _BETWEEN_RUNS,
) -> list[WalStretch]:
    """Return when the server's WAL before `lsn` is stored.

    :param lsn: a position that the server has written; None: the present one.
    :param between_runs: how long no run may ship before this call does, where WAL is streamed.
    :returns: the stretches that this call has recorded; none where it only waited.
    :raises OperationRunning: a run streams, and has not stored it within its interval.
    :raises PolicyError, DatabaseError, StorageError: as `ship_wal`.
    """
    continuous = shipping_policy(catalog).continuous
    if continuous is None:
        return ship_wal(address, catalog, run=run, progress=progress)
    patience = continuous.interval + continuous.switch_after
    deadline = time.monotonic() + patience.total_seconds()
    with connect(address) as connection:
        server = describe(connection)
        require_primary(server)
        cluster, timeline = server.system_identifier, server.timeline
        wanted = insert_position(connection) if lsn is None else lsn
        switch_segment(connection, server.segment_size)
        streamed_at = time.monotonic()
        while not is_covered(catalog, cluster, timeline=timeline, lsn=wanted):
            now = time.monotonic()
            if is_locked(connection, shipping_lock(catalog)):
                streamed_at = now
            elif now - streamed_at > between_runs.total_seconds():
                with suppress(OperationRunning):
                    return ship_wal(address, catalog, run=run, progress=progress)
            if now > deadline:
                raise _not_stored(wanted, patience)
            time.sleep(_POLL_SECONDS)
    return []


def _not_stored(wanted: int, patience: timedelta) -> OperationRunning:
    return OperationRunning(
        f"WAL up to {format_lsn(wanted)} is not stored after {patience.total_seconds():g} s, "
        "although a run streams",
        hint="its log says how far it has come, and whether the store keeps up with the server",
    )
