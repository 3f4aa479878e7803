"""Shipping when the worker is killed, or the object store or the server goes down."""

import signal

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import DatabaseUnavailable, StoreUnavailable
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    DownStore,
    bucket_store,
    catalog_for,
    recycle,
    ship,
    ship_one,
    slot_position,
    small_cluster,
    stored_names,
    write_wal,
)
from tests.database.postgres.wal_worker import assert_whole, ship_after_a_death, start_shipping
from tests.support.faulty_proxy import FaultyProxy, slow_down
from tests.support.interrupted import Worker, killing

pytestmark = pytest.mark.integration


@pytest.fixture
def catalog(s3: ObjectStoreServer, proxy: FaultyProxy, bucket: str, slot: str) -> Catalog:
    """A catalog in a bucket of the test's own, behind the proxy."""
    return _catalog(s3, proxy, bucket, slot)


def _catalog(
    s3: ObjectStoreServer, proxy: FaultyProxy, bucket: str, slot: str, **how: float
) -> Catalog:
    user = s3.user
    store = bucket_store(proxy.endpoint, user.access_key, user.secret_key, bucket, **how)
    return catalog_for(slot, store)


@pytest.mark.parametrize(
    ("what", "nth", "acknowledged"),
    [
        pytest.param("/wal/", 1, False, id="before the first segment is stored"),
        pytest.param("/wal/", 1, True, id="after the first segment is stored"),
        pytest.param("/wal/", 4, False, id="before a later segment is stored"),
        pytest.param("/wal/", 5, True, id="after a later segment is stored"),
        pytest.param("/stretches/", 1, False, id="before the record is written"),
        pytest.param("/stretches/", 1, True, id="after the record is written"),
    ],
)
def test_a_killed_worker_loses_nothing(
    source: Cluster,
    s3: ObjectStoreServer,
    proxy: FaultyProxy,
    bucket: str,
    slot: str,
    catalog: Catalog,
    what: str,
    nth: int,
    acknowledged: bool,
) -> None:
    """Wherever it dies, the next run continues without a gap, also when WAL was recycled."""
    first = ship_one(source, catalog)
    write_wal(source, 6)
    source.execute("SELECT pg_create_restore_point('in the killed run')")
    worker: list[Worker] = []
    proxy.fail(
        killing(worker, nth, acknowledged=acknowledged), times=99, method="PUT", containing=what
    )
    worker.append(start_shipping(source, s3, proxy, bucket, slot))
    assert worker[0].wait(timeout=60) == -signal.SIGKILL
    proxy.heal()
    write_wal(source, 8)
    recycle(source)
    recycle(source)
    ship_after_a_death(source, catalog)
    recorded = catalog.stretches(first.system_identifier)
    assert recorded[0] == first
    assert [stretch.start_lsn for stretch in recorded[1:]] == [
        stretch.end_lsn for stretch in recorded[:-1]
    ]
    points = [point.name for stretch in recorded for point in stretch.restore_points]
    assert points == ["in the killed run"]
    for stretch in recorded[1:]:
        assert_whole(source, catalog, stretch)
    assert slot_position(source, slot) == recorded[-1].end_lsn


def test_a_first_run_that_is_killed_loses_nothing(
    source: Cluster,
    s3: ObjectStoreServer,
    proxy: FaultyProxy,
    bucket: str,
    slot: str,
    catalog: Catalog,
) -> None:
    """There is a slot and there are segments, but no record yet."""
    worker: list[Worker] = []
    proxy.fail(
        killing(worker, 1, acknowledged=False), times=99, method="PUT", containing="/stretches/"
    )
    worker.append(start_shipping(source, s3, proxy, bucket, slot))
    assert worker[0].wait(timeout=60) == -signal.SIGKILL
    proxy.heal()
    write_wal(source, 8)
    recycle(source)
    recycle(source)
    (stretch,) = ship_after_a_death(source, catalog)
    names = list(catalog.wal_names(stretch.system_identifier, 1))
    assert stretch.first_segment == names[0]
    assert_whole(source, catalog, stretch)


def test_a_store_that_throttles_for_a_while_is_waited_for(
    source: Cluster, proxy: FaultyProxy, catalog: Catalog
) -> None:
    """A few 503 are nothing that a run fails with."""
    ship(source, catalog)
    write_wal(source, 3)
    rule = proxy.fail(slow_down, times=4, method="PUT")
    assert_whole(source, catalog, ship_one(source, catalog))
    assert rule.hits == 4


def test_a_store_that_stays_down_leaves_the_slot_where_it_was(
    source: Cluster, s3: ObjectStoreServer, proxy: FaultyProxy, bucket: str, slot: str
) -> None:
    """The run fails with the store's error; the next one ships all of it."""
    catalog = _catalog(s3, proxy, bucket, slot, patience=1)
    first = ship_one(source, catalog)
    write_wal(source, 5)
    proxy.fail(slow_down, times=10_000, method="PUT")
    with pytest.raises(StoreUnavailable):
        ship(source, catalog)
    assert slot_position(source, slot) == first.end_lsn
    proxy.heal()
    second = ship_one(source, catalog)
    assert second.start_lsn == first.end_lsn
    assert_whole(source, catalog, second)


def test_the_slot_does_not_move_past_what_the_store_acknowledged(
    source: Cluster, slot: str
) -> None:
    """The store goes down in the middle; when it is back nothing is missing."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    write_wal(source, 6)
    memory = catalog.store
    catalog.store = DownStore(memory, allowed=3)
    with pytest.raises(StoreUnavailable):
        ship(source, catalog)
    stored = set(catalog.wal_names(first.system_identifier, 1))
    assert slot_position(source, slot) <= first.end_lsn + 3 * MEGABYTE
    assert catalog.last_stretch(first.system_identifier) == first
    catalog.store = memory
    second = ship_one(source, catalog)
    assert second.start_lsn == first.end_lsn
    assert set(stored_names(catalog, second)) > stored - set(stored_names(catalog, first))
    assert len(stored_names(catalog, second)) == second.segment_count


def test_a_server_that_goes_down_is_a_typed_error(place: Place) -> None:
    """And when it is back, the next run has everything."""
    with small_cluster(place) as cluster:
        catalog = catalog_for("s")
        first = ship_one(cluster, catalog)
        write_wal(cluster, 8)
        memory = catalog.store

        class Stopping(DownStore):
            def count(self) -> None:
                if self.allowed == 5:
                    cluster.stop(immediate=True)
                super().count()

        catalog.store = Stopping(memory, allowed=8)
        with pytest.raises(DatabaseUnavailable):
            ship(cluster, catalog)
        with pytest.raises(DatabaseUnavailable):
            ship(cluster, catalog)
        cluster.start()
        catalog.store = memory
        second = ship_one(cluster, catalog)
        assert second.start_lsn == first.end_lsn
        assert len(stored_names(catalog, second)) == second.segment_count
