"""A full backup read from a hot standby, while lock, slot and WAL stay with the primary."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Fingerprint
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.fingerprint import take_fingerprint
from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.errors import (
    DatabaseError,
    DatabaseUnavailable,
    ForeignCluster,
    PolicyError,
    TimelineDiverged,
)
from ledgerkeep.policy.model import StandbySource, WalShipping
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.proof import first_target, prove_copy
from ledgerkeep.recovery.replay import open_copy
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster
from tests.database.postgres.backup_support import (
    RUN,
    incremental_backup,
    make_catalog,
    make_policy,
)
from tests.database.postgres.wal_support import copy_of, small_cluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def pair(place: Place) -> Iterator[tuple[Cluster, Cluster]]:
    """A primary and its streaming standby; both stay what they are."""
    with small_cluster(place, wal_keep_size="64MB") as primary:
        primary.execute("CREATE TABLE event (name text)")
        with copy_of(primary, standby=True) as standby:
            yield primary, standby


@pytest.fixture
def catalog(s3: ObjectStoreServer, bucket: str) -> Catalog:
    return make_catalog_with_standby(s3, bucket, patience=timedelta(seconds=60))


def make_catalog_with_standby(
    s3: ObjectStoreServer, bucket: str, *, patience: timedelta
) -> Catalog:
    """A catalog whose policy reads full backups from a standby, and ships WAL."""
    policy = make_policy(bucket)
    source = StandbySource(connection_id="standby", patience=patience)
    assert policy.database.full_backup is not None
    database = policy.database.model_copy(
        update={
            "databases": ["postgres"],
            "full_backup": policy.database.full_backup.model_copy(update={"standby": source}),
            "wal_shipping": WalShipping(schedule=None, slot=f"standby_{bucket[2:]}"),
        }
    )
    return make_catalog(s3, policy.model_copy(update={"database": database}))


def back_up(primary: Cluster, standby: Cluster, catalog: Catalog) -> BaseBackup:
    """Both steps."""
    backup_id = take_full_backup(
        primary.address,
        catalog,
        origin=Origin(RUN),
        progress=no_progress,
        standby=standby.address,
    )
    return record_backup(catalog, backup_id, run=RUN, progress=no_progress)


def test_backup_of_a_standby_with_the_primarys_wal_is_proven_identical(
    pair: tuple[Cluster, Cluster], catalog: Catalog, room: Path, place: Place
) -> None:
    """With the slot made by this backup, so there is no WAL from before it."""
    primary, standby = pair
    primary.execute("INSERT INTO event VALUES ('before')")
    ((written,),) = primary.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
    backup = back_up(primary, standby, catalog)
    assert backup.standby == f"127.0.0.1:{standby.port}"
    assert backup.stop_lsn >= written
    primary.execute("INSERT INTO event VALUES ('after')")
    fingerprint = take_fingerprint(primary.address, catalog, run=RUN)
    ship_wal(primary.address, catalog, run=RUN)

    chain = prove(catalog, fingerprint, room, place)
    assert chain == [backup.id]


def prove(catalog: Catalog, fingerprint: Fingerprint, room: Path, place: Place) -> list[str]:
    """Restore to the fingerprint and compare; the backups that were used."""
    settings = WorkerSettings(postgres_programs=place.programs.directory, rooms=place.rooms)
    target = first_target(fingerprint)
    plan = plan_from_catalog(catalog, fingerprint.system_identifier, target)
    restore_cluster(catalog, plan, room, settings=settings, run=RUN, purpose="test")
    proof = prove_copy(catalog, Room.open(room), fingerprint, settings=settings, run=RUN)
    assert proof.level == "proven"
    return [one.id for one in plan.chain]


def test_incremental_of_the_primary_builds_on_a_backup_of_the_standby(
    pair: tuple[Cluster, Cluster], catalog: Catalog, room: Path, place: Place
) -> None:
    primary, standby = pair
    full = back_up(primary, standby, catalog)
    primary.execute("INSERT INTO event VALUES ('changed')")
    increment = incremental_backup(primary, catalog)
    assert increment.parent_id == full.id
    primary.execute("INSERT INTO event VALUES ('shipped')")
    fingerprint = take_fingerprint(primary.address, catalog, run=RUN)
    ship_wal(primary.address, catalog, run=RUN)
    assert prove(catalog, fingerprint, room, place) == [full.id, increment.id]


def test_what_was_committed_before_the_backup_is_in_it(
    pair: tuple[Cluster, Cluster], catalog: Catalog, room: Path, place: Place
) -> None:
    """The backup waits until the standby has replayed it, and needs no other WAL then."""
    primary, standby = pair
    standby.execute("SELECT pg_wal_replay_pause()")
    primary.execute("INSERT INTO event VALUES ('while replay was paused')")
    ((written,),) = primary.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
    with pytest.raises(DatabaseUnavailable) as refused:
        back_up(primary, standby, _patient_for(catalog, timedelta(0)))
    assert refused.value.message.startswith(
        f"the standby postgres@127.0.0.1:{standby.port}/postgres is "
    )
    assert " of WAL behind: it has replayed up to " in refused.value.message
    assert refused.value.hint.startswith("does it still follow the primary")
    standby.execute("SELECT pg_wal_replay_resume()")
    backup = back_up(primary, standby, catalog)
    assert backup.stop_lsn >= written

    settings = WorkerSettings(postgres_programs=place.programs.directory, rooms=place.rooms)
    plan = plan_from_catalog(catalog, backup.system_identifier, RecoveryTarget(latest=True))
    assert plan.first_segment is None
    restore_cluster(catalog, plan, room, settings=settings, run=RUN, purpose="test")
    with (
        open_copy(catalog, Room.open(room), settings=settings) as copy,
        connect(copy.address) as connection,
    ):
        names = {name for (name,) in connection.execute("SELECT name FROM event")}
    assert "while replay was paused" in names


def _patient_for(catalog: Catalog, patience: timedelta) -> Catalog:
    policy = catalog.policy
    full = policy.database.full_backup
    assert full is not None
    source = StandbySource(connection_id="standby", patience=patience)
    database = policy.database.model_copy(
        update={"full_backup": full.model_copy(update={"standby": source})}
    )
    return Catalog(catalog.store, policy.model_copy(update={"database": database}))


def test_standby_of_another_cluster_is_refused(
    pair: tuple[Cluster, Cluster], cluster: Cluster, catalog: Catalog
) -> None:
    primary, _ = pair
    with pytest.raises(ForeignCluster) as refused:
        back_up(primary, cluster, catalog)
    assert refused.value.hint == (
        "point full_backup.standby of the policy at a standby of that primary"
    )


def test_primary_is_no_standby(pair: tuple[Cluster, Cluster], catalog: Catalog) -> None:
    """After a switchover both connections may lead to the same server."""
    primary, _ = pair
    with pytest.raises(DatabaseError) as refused:
        back_up(primary, primary, catalog)
    assert refused.value.message == (
        f"the server postgres@127.0.0.1:{primary.port}/postgres is no standby"
    )


def test_standby_left_on_the_old_timeline_is_refused(
    place: Place, s3: ObjectStoreServer, bucket: str
) -> None:
    """It replays WAL that is no longer the cluster's, however far it has come."""
    catalog = make_catalog_with_standby(s3, bucket, patience=timedelta(seconds=60))
    with (
        small_cluster(place, wal_keep_size="64MB") as old,
        copy_of(old, standby=True) as left_behind,
        copy_of(old, standby=True) as promoted,
    ):
        promoted.execute("SELECT pg_promote(true, 60)")
        promoted.execute("CHECKPOINT")
        ((wanted,),) = promoted.execute("SELECT pg_current_wal_flush_lsn()::text")
        _write_until(old, left_behind, wanted)
        with pytest.raises(TimelineDiverged) as refused:
            back_up(promoted, left_behind, catalog)
    assert refused.value.message == (
        f"127.0.0.1:{left_behind.port} is on timeline 1, the primary on timeline 2"
    )


def _write_until(primary: Cluster, standby: Cluster, position: str) -> None:
    """Let a primary and its standby pass a position of another timeline."""
    primary.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 500000))")
    deadline = time.monotonic() + 30
    while not standby.execute(f"SELECT pg_last_wal_replay_lsn() > '{position}'::pg_lsn")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_policy_without_a_standby_reads_none(
    pair: tuple[Cluster, Cluster], s3: ObjectStoreServer, bucket: str
) -> None:
    primary, standby = pair
    with pytest.raises(PolicyError) as refused:
        back_up(primary, standby, make_catalog(s3, make_policy(bucket)))
    assert refused.value.message == (
        "the policy of development names no standby to read full backups from"
    )
