"""A source that failed over: the copy follows onto the new timeline, or stops before it."""

import time
from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.wal_index import load_wal_index
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster
from tests.database.postgres.backup_support import full_backup, make_catalog, make_policy
from tests.database.postgres.wal_support import copy_of, small_cluster
from tests.recovery.conftest import shipping

pytestmark = pytest.mark.integration


def promote(source: Cluster) -> None:
    """Let the source come up on a new timeline, as after a failover."""
    source.stop()
    (source.data / "standby.signal").touch()
    source.place.account.own(source.data / "standby.signal")
    source.settings["max_connections"] = "170"
    source.start()
    source.execute("SELECT pg_promote()")


def test_recovery_crosses_the_timeline_and_grows_with_the_settings(
    fresh_cluster: Cluster,
    s3: ObjectStoreServer,
    bucket: str,
    room: Path,
    settings: WorkerSettings,
) -> None:
    catalog = make_catalog(s3, shipping(make_policy(bucket)))
    fresh_cluster.execute("CREATE TABLE event (name text)")
    backup = full_backup(fresh_cluster, catalog)
    fresh_cluster.execute("INSERT INTO event VALUES ('on the first timeline')")
    ship_wal(fresh_cluster.address, catalog, run="test")
    promote(fresh_cluster)
    fresh_cluster.execute("INSERT INTO event VALUES ('on the second')")
    ship_wal(fresh_cluster.address, catalog, run="test")

    plan = plan_from_catalog(catalog, backup.system_identifier, RecoveryTarget(latest=True))
    assert plan.timelines == [1, 2]
    restore_cluster(catalog, plan, room, settings=settings, run="test", purpose="test")

    with open_copy(catalog, Room.open(room), settings=settings) as copy:
        with connect(copy.address) as connection:
            assert connection.execute("SELECT name FROM event ORDER BY name").fetchall() == [
                ("on the first timeline",),
                ("on the second",),
            ]
            assert connection.execute("SHOW max_connections").fetchone() == ("170",)
        promote_copy(copy)
        with connect(copy.address) as connection:
            name = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()[0]
        assert name.startswith("00000003")


def test_copy_stops_before_at_and_after_the_switch(
    place: Place, s3: ObjectStoreServer, bucket: str, room: Path, settings: WorkerSettings
) -> None:
    """A standby took over; the backup and the first event are the old primary's."""
    catalog = make_catalog(s3, shipping(make_policy(bucket)))
    with (
        small_cluster(place, wal_keep_size="64MB") as primary,
        copy_of(primary, standby=True) as standby,
    ):
        primary.execute("CREATE TABLE event (name text)")
        backup = full_backup(primary, catalog)
        ship_wal(primary.address, catalog, run="test")
        before = happened(primary, "before")
        wait_for(standby, before)
        primary.stop(immediate=True)
        standby.execute("SELECT pg_promote(true, 60)")
        with connect(standby.address) as connection:
            ensure_slot(connection, "recovery_tests")
        after = happened(standby, "after")
        ship_wal(standby.address, catalog, run="test")
    ((_, switch),) = load_wal_index(catalog, backup.system_identifier).histories[2].switches
    assert before <= switch < after

    plan = plan_from_catalog(catalog, backup.system_identifier, RecoveryTarget(lsn=before))
    restore_cluster(catalog, plan, room, settings=settings, run="test", purpose="test")
    for position, events in (
        (before, {"before"}),
        (switch, {"before"}),
        (after, {"before", "after"}),
    ):
        target = RecoveryTarget(lsn=position)
        with (
            open_copy(catalog, Room.open(room), settings=settings, target=target) as copy,
            connect(copy.address) as connection,
        ):
            assert {name for (name,) in connection.execute("SELECT name FROM event")} == events


def happened(cluster: Cluster, event: str) -> int:
    """Commit an event; the position after it."""
    cluster.execute(f"INSERT INTO event VALUES ('{event}')")
    ((position,),) = cluster.execute("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")
    return int(position)


def wait_for(standby: Cluster, position: int) -> None:
    """Return when the standby has replayed up to there."""
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{format_lsn(position)}'::pg_lsn"
    deadline = time.monotonic() + 60
    while not standby.execute(replayed)[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
