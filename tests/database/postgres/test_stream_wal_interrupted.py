"""Streaming when the worker is killed, the store throttles, and a backup is taken meanwhile."""

import os
import signal
import time

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup
from ledgerkeep.database.postgres.wal_tail import stored_tail
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.target import RecoveryTarget
from tests.conftest import Cluster
from tests.database.postgres.test_stream_wal import commit, covers, stream, streaming
from tests.database.postgres.wal_support import (
    bucket_store,
    recycle,
    ship_one,
    slot_position,
    small_cluster,
    streaming_catalog,
    write_wal,
)
from tests.database.postgres.wal_support import record_backup as record_a_backup
from tests.database.postgres.wal_worker import assert_whole, ship_after_a_death, start_shipping
from tests.support.faulty_proxy import FaultyProxy, slow_down
from tests.support.interrupted import until

pytestmark = pytest.mark.integration


@pytest.fixture
def catalog(s3: ObjectStoreServer, proxy: FaultyProxy, bucket: str, slot: str) -> Catalog:
    """A catalog whose policy streams, in a bucket of the test's own."""
    user = s3.user
    store = bucket_store(proxy.endpoint, user.access_key, user.secret_key, bucket)
    return streaming_catalog(slot, store, interval="5s")


def test_a_killed_worker_loses_nothing(
    source: Cluster,
    s3: ObjectStoreServer,
    proxy: FaultyProxy,
    bucket: str,
    slot: str,
    catalog: Catalog,
) -> None:
    """What it stored can be recovered to at once, and is in the record of the next run."""
    record_a_backup(source, catalog)
    first = ship_one(source, catalog)
    worker = start_shipping(source, s3, proxy, bucket, slot, stream=True)
    try:
        write_wal(source, 3)
        source.execute("SELECT pg_create_restore_point('in the killed run')")
        until(lambda: slot_position(source, slot) > first.end_lsn)
        write_wal(source, 2)
        position = commit(source)
        until(lambda: covers(catalog, source, position))
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(timeout=20)
    last = catalog.last_stretch(first.system_identifier)
    assert last is not None
    tail = stored_tail(catalog, first.system_identifier, last)
    assert tail is not None
    for target in (RecoveryTarget(lsn=position), RecoveryTarget(time=tail.covered_until)):
        plan = plan_from_catalog(catalog, first.system_identifier, target)
        assert plan.available_until == tail.end_lsn
    write_wal(source, 6)
    recycle(source)
    recycle(source)
    ship_after_a_death(source, catalog)
    recorded = catalog.stretches(first.system_identifier)
    assert [one.start_lsn for one in recorded[1:]] == [one.end_lsn for one in recorded[:-1]]
    assert [point.name for one in recorded for point in one.restore_points] == ["in the killed run"]
    for stretch in recorded[1:]:
        assert_whole(source, catalog, stretch)


def test_a_worker_that_is_told_to_end_ends_although_the_store_is_away(
    source: Cluster,
    s3: ObjectStoreServer,
    proxy: FaultyProxy,
    bucket: str,
    slot: str,
    catalog: Catalog,
) -> None:
    """Airflow kills a task that takes longer than five seconds."""
    first = ship_one(source, catalog)
    rule = proxy.fail(slow_down, times=10_000, method="PUT")
    worker = start_shipping(source, s3, proxy, bucket, slot, stream=True)
    try:
        write_wal(source, 3)
        until(lambda: rule.hits > 0)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=5) == 7
    finally:
        worker.kill()
    proxy.heal()
    ship_after_a_death(source, catalog)
    recorded = catalog.stretches(first.system_identifier)
    assert recorded[1].start_lsn == first.end_lsn
    assert_whole(source, catalog, recorded[1])


def test_a_store_that_throttles_for_a_while_is_waited_for(
    source: Cluster, proxy: FaultyProxy, catalog: Catalog
) -> None:
    first = ship_one(source, catalog)
    rule = proxy.fail(slow_down, times=6, method="PUT")
    with streaming(source, catalog) as run:
        write_wal(source, 3)
    assert rule.hits == 6
    (stretch,) = run.result().stretches
    assert stretch.start_lsn == first.end_lsn
    assert_whole(source, catalog, stretch)


def test_a_full_backup_is_taken_meanwhile(
    place: Place, s3: ObjectStoreServer, proxy: FaultyProxy, bucket: str
) -> None:
    """Neither waits for the other, and WAL leads on from the backup."""
    user = s3.user
    store = bucket_store(proxy.endpoint, user.access_key, user.secret_key, bucket)
    catalog = streaming_catalog("s", store, interval="15s")
    with small_cluster(place) as cluster:
        ship_one(cluster, catalog)
        with streaming(cluster, catalog) as run:
            backup_id = take_full_backup(
                cluster.address, catalog, origin=Origin("test"), progress=no_progress
            )
            backup = record_backup(catalog, backup_id, run="test", progress=no_progress)
            assert not run.done()
            commit(cluster)
        (*_, stretch) = run.result().stretches
        plan = plan_from_catalog(
            catalog, stretch.system_identifier, RecoveryTarget(latest=True), backup_id=backup.id
        )
        assert plan.available_until == stretch.end_lsn > backup.stop_lsn


def test_runs_follow_each_other_without_a_gap(source: Cluster, catalog: Catalog) -> None:
    """Three, with something written in each and between them."""
    first = ship_one(source, catalog)
    for _ in range(3):
        commit(source)
        with streaming(source, catalog):
            time.sleep(0.5)
            commit(source)
    recorded = catalog.stretches(first.system_identifier)
    assert len(recorded) == 4
    assert [one.start_lsn for one in recorded[1:]] == [one.end_lsn for one in recorded[:-1]]
    assert stream(source, catalog).stretches == []
