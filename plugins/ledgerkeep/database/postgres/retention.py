"""Retention of a database's recovery points: what is decided on, and the lock it is applied under.

Nothing is removed while a base backup can begin: removal takes the same lock in the protected
server, so an incremental never loses what it builds on. A backup that is streamed and not yet
recorded needs no lock: the plan keeps what it builds on.

When the server does not answer, nothing is removed. It may be lost, and then what is stored is all
there is, and somebody is about to choose from it. Only a person's word that the server is gone for
good (`address=None`, which no schedule gives) lets retention go on without it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.deployments import verified_deployments
from ledgerkeep.catalog.holds import active_hold_keys, active_holds, remove_expired_holds
from ledgerkeep.catalog.index import refresh_indexes
from ledgerkeep.catalog.models import StreamedBackup
from ledgerkeep.catalog.removal import Removal, apply_plan, remove_leftovers
from ledgerkeep.catalog.retention import RetentionPlan, Stored, plan_retention
from ledgerkeep.catalog.timelines import Switches
from ledgerkeep.catalog.traces import lost_records
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.backup_turn import sweep_unfinished, turn
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.database.postgres.timeline_history import parse_history
from ledgerkeep.errors import StorageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Applied:
    """What was decided about one cluster, and what came of it."""

    plan: RetentionPlan
    removal: Removal


def plan_clusters(catalog: Catalog, *, now: datetime) -> list[RetentionPlan]:
    """The plan of each cluster that has anything stored in the environment; touches nothing.

    :raises StorageError, CatalogError, DatabaseError: what is stored cannot be read.
    """
    return [
        _plan(catalog, load_stored(catalog, cluster), now)
        for cluster in catalog.system_identifiers()
    ]


def apply_retention(
    address: ServerAddress | None, catalog: Catalog, *, run: str, now: datetime
) -> list[Applied]:
    """Plan anew, under the lock, and remove; for each cluster of the environment.

    The plan is made again because a hold may have been placed since it was shown; for the same
    moment and the same recovery points it is the same plan.

    :param address: the protected server; None on a person's word that it is gone for good.
    :param run: who asks (`dag_id/run_id` or `cli`).
    :param now: the moment the plan was shown for.
    :raises OperationRunning: a base backup is under way.
    :raises DatabaseUnavailable: the server does not answer; nothing was removed.
    """
    with _no_backup_begins(address, catalog):
        applied = [
            _apply(catalog, cluster, run=run, now=now) for cluster in catalog.system_identifiers()
        ]
    for cluster in catalog.system_identifiers():
        _refresh(catalog, cluster)
    return applied


def load_stored(catalog: Catalog, system_identifier: str) -> Stored:
    """Everything about a cluster that retention decides on."""
    # Before the records: one that is recorded meanwhile then counts twice, and never not at all.
    unrecorded = _unrecorded(catalog, system_identifier)
    return Stored(
        snapshot=catalog.snapshot(system_identifier),
        unrecorded=unrecorded,
        holds=active_holds(catalog, system_identifier),
        verified=verified_deployments(catalog, system_identifier),
        switches=_switches(catalog, system_identifier),
        lost=lost_records(catalog, system_identifier),
    )


def _plan(catalog: Catalog, stored: Stored, now: datetime) -> RetentionPlan:
    policy = catalog.policy.database
    return plan_retention(stored, policy.retention, policy.pre_deployment, now=now)


def _apply(catalog: Catalog, cluster: str, *, run: str, now: datetime) -> Applied:
    # What killed runs have left, of backups and of removals.
    sweep_unfinished(catalog, cluster, run=run)
    remove_expired_holds(catalog, cluster)
    # Before they are read: a hold that is placed meanwhile is a new one then.
    held = active_hold_keys(catalog, cluster)
    stored = load_stored(catalog, cluster)
    window = catalog.policy.database.retention.wal or timedelta(0)
    remove_leftovers(catalog, stored.snapshot, older_than=now - window)
    plan = _plan(catalog, stored, now)
    removal = apply_plan(
        catalog,
        stored.snapshot,
        plan,
        run=run,
        # One that has ended changes nothing: what it kept goes next time.
        still_holds=lambda: active_hold_keys(catalog, cluster) <= held,
    )
    return Applied(plan, removal)


@contextmanager
def _no_backup_begins(address: ServerAddress | None, catalog: Catalog) -> Iterator[None]:
    if address is None:
        logger.warning("applied without the server's lock: somebody said that it is gone")
        yield
        return
    with operation_lock(address.lasting(), turn(catalog)):
        yield


def _unrecorded(catalog: Catalog, system_identifier: str) -> list[StreamedBackup]:
    found = (
        catalog.streamed_backup(system_identifier, backup_id)
        for backup_id in catalog.unfinished_backups(system_identifier)
    )
    return [streamed for streamed in found if streamed is not None]


def _switches(catalog: Catalog, system_identifier: str) -> Switches:
    root = keys.wal_timelines(catalog.environment, system_identifier)
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for name in catalog.store.list_directories(root):
        timeline = int(name, 16)
        key = keys.wal_history(catalog.environment, system_identifier, timeline)
        if timeline > 1 and catalog.store.head(key) is not None:
            found[timeline] = parse_history(timeline, catalog.store.get(key)).switches
    return found


def _refresh(catalog: Catalog, system_identifier: str) -> None:
    """Best effort: without an index the catalog is read record by record, as it was before."""
    try:
        refresh_indexes(catalog, system_identifier)
    except StorageError as problem:
        logger.warning("the index of the catalog was not renewed: %s", problem)
