"""A source that failed over, with a larger setting afterwards: the copy follows both."""

from pathlib import Path

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster
from tests.database.postgres.backup_support import full_backup, make_catalog, make_policy
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
