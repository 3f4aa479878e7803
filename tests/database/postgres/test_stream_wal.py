"""Streaming WAL from a real server: what is durable when, and what an idle server is spared."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.stream_wal import StreamedWal, stream_wal
from ledgerkeep.database.postgres.wal_awaited import is_covered
from ledgerkeep.database.postgres.wal_tail import stored_tail
from ledgerkeep.errors import DatabaseUnavailable, OperationRunning, PolicyError, StoreUnavailable
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    DownStore,
    catalog_for,
    copy_of,
    ship,
    ship_one,
    slot_position,
    small_cluster,
    stored_content,
    stored_names,
    streaming_catalog,
    write_wal,
)
from tests.support.interrupted import until

pytestmark = pytest.mark.integration

COMMIT = "SELECT pg_logical_emit_message(true, 'test', 'something')"


def stream(cluster: Cluster, catalog: Catalog) -> StreamedWal:
    return stream_wal(cluster.address, catalog, run="test")


@contextmanager
def streaming(cluster: Cluster, catalog: Catalog) -> Iterator["Future[StreamedWal]"]:
    """A run beside the block; it has the lock and streams when the block begins."""
    with ThreadPoolExecutor(1) as beside:
        run = beside.submit(stream, cluster, catalog)
        until(
            lambda: (
                run.done()
                or cluster.execute(
                    "SELECT 1 FROM pg_stat_replication WHERE application_name = 'ledgerkeep' "
                    "AND state = 'streaming'"
                )
            )
        )
        yield run


def commit(cluster: Cluster) -> int:
    """Write and commit something; a position that has it all before it."""
    return (
        parse_lsn(cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'x')::text")[0][0])
        + 1
    )


def written(cluster: Cluster) -> int:
    return parse_lsn(cluster.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0])


def covers(catalog: Catalog, cluster: Cluster, position: int) -> bool:
    (identifier,) = cluster.execute("SELECT system_identifier::text FROM pg_control_system()")[0]
    return is_covered(catalog, identifier, timeline=1, lsn=position)


def test_a_commit_is_durable_seconds_later_while_the_run_goes_on(
    source: Cluster, slot: str
) -> None:
    """Its segment is not full by far, and is stored and confirmed all the same."""
    catalog = streaming_catalog(slot, interval="10s")
    first = ship_one(source, catalog)
    with streaming(source, catalog) as run:
        position = commit(source)
        until(lambda: run.done() or slot_position(source, slot) >= position)
        assert not run.done()
        assert covers(catalog, source, position)
        assert position > first.end_lsn
    lag = run.result().durable_after
    assert lag is not None
    assert 0 < lag.p50_seconds <= lag.p95_seconds <= lag.max_seconds < 10


def test_a_run_records_one_stretch_that_follows_the_last(source: Cluster, slot: str) -> None:
    """However often it switched; the next kind of run follows without a gap, too."""
    catalog = streaming_catalog(slot, interval="8s")
    first = ship_one(source, catalog)
    with streaming(source, catalog) as run:
        write_wal(source, 3)
        until(lambda: slot_position(source, slot) >= first.end_lsn + 3 * MEGABYTE)
        source.execute(COMMIT)
    (stretch,) = run.result().stretches
    assert stretch.start_lsn == first.end_lsn
    assert stretch.segment_count == len(stored_names(catalog, stretch)) >= 4
    assert stretch.covered_until > first.covered_until
    assert stretch.next_xid > first.next_xid
    assert stretch.durable_after == run.result().durable_after
    assert slot_position(source, slot) == stretch.end_lsn
    assert catalog.last_stretch(stretch.system_identifier) == stretch
    for name in stored_names(catalog, stretch):
        assert len(stored_content(catalog, stretch.system_identifier, name)) == MEGABYTE
    source.execute(COMMIT)
    assert ship_one(source, catalog).start_lsn == stretch.end_lsn


def test_an_idle_server_is_left_alone(place: Place) -> None:
    """What it writes by itself is no reason to switch, or it would write more for ever."""
    with small_cluster(place, autovacuum="off") as cluster:
        catalog = streaming_catalog("s")
        ship(cluster, catalog)
        cluster.execute("CHECKPOINT")
        cluster.execute("SELECT pg_log_standby_snapshot()")
        before = written(cluster)
        for _ in range(2):
            streamed = stream(cluster, catalog)
            assert streamed == StreamedWal([], None)
        # The background writer may have logged one more snapshot.
        assert written(cluster) - before < 1000
        cluster.execute(COMMIT)
        (stretch,) = stream(cluster, catalog).stretches
        assert stretch.segment_count == 1


def test_a_restore_point_is_recorded_while_the_run_goes_on(source: Cluster, slot: str) -> None:
    """Only a record tells its name, and whoever made it may need it at once."""
    catalog = streaming_catalog(slot, interval="8s")
    first = ship_one(source, catalog)
    with streaming(source, catalog) as run:
        source.execute("SELECT pg_create_restore_point('before the release')")
        until(lambda: catalog.last_stretch(first.system_identifier) != first)
        assert not run.done()
    recorded = run.result().stretches
    assert [point.name for point in recorded[0].restore_points] == ["before the release"]
    assert [one.start_lsn for one in recorded] == [
        first.end_lsn,
        *(one.end_lsn for one in recorded[:-1]),
    ]


def test_a_policy_that_does_not_ask_for_it_is_refused(source: Cluster, slot: str) -> None:
    with pytest.raises(PolicyError) as refused:
        stream(source, catalog_for(slot))
    assert refused.value.message == "the policy of production does not ship WAL continuously"
    assert refused.value.hint == "give it a section database.wal_shipping.continuous"


def test_two_at_once_are_not_possible(source: Cluster, slot: str) -> None:
    """Neither of the same kind nor of the other; the first goes on."""
    catalog = streaming_catalog(slot)
    with streaming(source, catalog) as run:
        for other in (stream, ship):
            with pytest.raises(OperationRunning):
                other(source, catalog)
        source.execute(COMMIT)
    assert len(run.result().stretches) == 1


def test_a_server_that_is_stopped_is_not_held_up(place: Place) -> None:
    """An orderly shutdown waits for whoever receives WAL; what had come whole is recorded."""
    with small_cluster(place) as cluster:
        catalog = streaming_catalog("s", interval="10m", switch_after="5m")
        first = ship_one(cluster, catalog)
        with streaming(cluster, catalog) as run:
            write_wal(cluster, 4)
            began = time.monotonic()
            cluster.stop()
            assert time.monotonic() - began < 20
            with pytest.raises(DatabaseUnavailable):
                run.result(timeout=20)
        second = catalog.last_stretch(first.system_identifier)
        assert second is not None
        assert second.start_lsn == first.end_lsn
        assert second.segment_count >= 3
        cluster.start()
        third = ship_one(cluster, catalog)
        assert third.start_lsn == second.end_lsn


def test_a_store_that_is_down_leaves_the_slot_where_it_was(source: Cluster, slot: str) -> None:
    """The run fails; the next one ships all of it, and counts what was stored before."""
    catalog = streaming_catalog(slot)
    first = ship_one(source, catalog)
    memory = catalog.store
    catalog.store = DownStore(memory, allowed=2)
    with streaming(source, catalog) as run:
        write_wal(source, 5)
        with pytest.raises(StoreUnavailable):
            run.result(timeout=30)
    assert first.end_lsn <= slot_position(source, slot) <= first.end_lsn + 2 * MEGABYTE
    assert catalog.last_stretch(first.system_identifier) == first
    catalog.store = memory
    (second,) = stream(source, catalog).stretches
    assert second.start_lsn == first.end_lsn
    assert len(stored_names(catalog, second)) == second.segment_count >= 5


def test_a_run_begins_with_what_the_one_before_could_not_ship(source: Cluster, slot: str) -> None:
    """It is switched at once: nobody knows how long it has waited."""
    catalog = streaming_catalog(slot, interval="8s", switch_after="6s")
    ship(source, catalog)
    source.execute(COMMIT)
    position = written(source)
    began = time.monotonic()
    with streaming(source, catalog):
        until(lambda: slot_position(source, slot) >= position, seconds=5)
        assert time.monotonic() - began < 6


def test_what_was_committed_between_two_runs_counts_from_its_commit(
    source: Cluster, slot: str
) -> None:
    """Nobody streamed, so it waited: longer than anything the run itself saw."""
    catalog = streaming_catalog(slot)
    ship(source, catalog)
    committed = time.monotonic()
    source.execute(COMMIT)
    source.execute("SELECT pg_sleep(2.5)")
    source.execute(COMMIT)
    began = time.monotonic()
    lag = stream(source, catalog).durable_after
    assert lag is not None
    assert began - committed < lag.max_seconds < time.monotonic() - committed
    assert lag.samples >= 2


def test_what_was_committed_before_the_first_record_has_not_waited(place: Place) -> None:
    """Nothing was promised of it."""
    with small_cluster(place, autovacuum="off") as cluster:
        cluster.execute(COMMIT)
        committed = time.monotonic()
        cluster.execute("SELECT pg_sleep(3)")
        began = time.monotonic()
        lag = stream(cluster, streaming_catalog("s")).durable_after
        assert lag is None or lag.max_seconds < time.monotonic() - began
        assert began - committed > 2


def test_a_failover_in_the_middle_ends_the_run_and_is_followed(place: Place) -> None:
    """The new primary has no slot: a full backup makes it, and nothing is missing then."""
    with small_cluster(place, wal_keep_size="64MB") as old:
        catalog = streaming_catalog("s", interval="10m")
        first = ship_one(old, catalog)
        with copy_of(old, standby=True) as new:
            with streaming(old, catalog) as run:
                write_wal(old, 2)
                position = written(old)
                until(lambda: covers(catalog, old, position))
                until(
                    lambda: new.execute(f"SELECT pg_last_wal_replay_lsn() >= '0/{position:X}'")[0][
                        0
                    ]
                )
                old.stop(immediate=True)
                with pytest.raises(DatabaseUnavailable):
                    run.result(timeout=20)
            second = catalog.last_stretch(first.system_identifier)
            assert second is not None
            assert second.end_lsn >= position
            # Stored up to the last switch, and so the new primary has to have been there as well.
            new.execute("SELECT pg_promote()")
            until(lambda: not new.execute("SELECT pg_is_in_recovery()")[0][0])
            new.execute("SELECT pg_create_physical_replication_slot('s', true)")
            new.execute(COMMIT)
            new.execute("SELECT pg_switch_wal()")
            stretches = stream(new, Catalog(catalog.store, streaming_catalog("s").policy)).stretches
            assert stretches[-1].timeline == 2
            assert stretches[0].start_lsn == second.end_lsn


def test_what_a_run_has_stored_can_be_found_before_it_records(source: Cluster, slot: str) -> None:
    """With the moment up to which it can be recovered to: the source may be lost now."""
    catalog = streaming_catalog(slot, interval="6s")
    first = ship_one(source, catalog)
    threads = threading.active_count()
    with streaming(source, catalog):
        source.execute(COMMIT)
        position = written(source)
        until(lambda: covers(catalog, source, position))
        tail = stored_tail(catalog, first.system_identifier, first)
        assert catalog.last_stretch(first.system_identifier) == first
    assert tail is not None
    assert (tail.start_lsn, tail.timeline) == (first.end_lsn, 1)
    assert tail.end_lsn >= position
    assert tail.covered_until > first.covered_until
    assert tail.next_xid > first.next_xid
    until(lambda: threading.active_count() <= threads)
