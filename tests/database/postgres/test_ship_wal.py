"""Shipping WAL from a real server: ordinary runs, and everything that must be refused."""

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.errors import (
    DatabaseError,
    DatabaseUnavailable,
    ForeignCluster,
    OperationRunning,
    PolicyError,
    SlotMissing,
    StoreUnavailable,
    TimelineDiverged,
    WalConflict,
    WalGap,
)
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    catalog_for,
    copy_of,
    record_backup,
    recycle,
    ship,
    ship_one,
    slot_position,
    small_cluster,
    stored_content,
    stored_names,
    waldump,
    write_wal,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def source(place: Place) -> Iterator[Cluster]:
    """A cluster with 1 MB segments, shared by the tests that leave it on its timeline."""
    with small_cluster(place) as made:
        yield made


@pytest.fixture
def slot(source: Cluster) -> Iterator[str]:
    """The name of a slot of the test's own."""
    name = f"s_{secrets.token_hex(4)}"
    yield name
    source.execute(
        f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        f"WHERE slot_name = '{name}'"
    )


def test_what_is_stored_is_what_the_server_has(source: Cluster, slot: str) -> None:
    """Every segment of the stretch equals the server's own file, byte for byte."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    write_wal(source, 5)
    stretch = ship_one(source, catalog)
    names = stored_names(catalog, stretch)
    assert stretch.segment_count == len(names) >= 5
    assert stretch.raw_bytes == stretch.end_lsn - stretch.start_lsn == len(names) * MEGABYTE
    compared = 0
    for name in names:
        content = stored_content(catalog, stretch.system_identifier, name)
        assert len(content) == MEGABYTE
        file = source.data / "pg_wal" / name
        if file.exists():
            assert content == file.read_bytes()
            compared += 1
    assert compared >= 1


def test_two_runs_follow_each_other_without_a_gap(source: Cluster, slot: str) -> None:
    """The second stretch starts where the first ends; time and transactions only grow."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    source.execute("CREATE TABLE IF NOT EXISTS two_runs AS SELECT 1 AS one")
    second = ship_one(source, catalog)
    assert second.start_lsn == first.end_lsn
    assert second.covered_until > first.covered_until
    assert second.next_xid > first.next_xid
    assert catalog.last_stretch(first.system_identifier) == second
    assert slot_position(source, slot) == second.end_lsn


def test_nothing_written_means_nothing_shipped(source: Cluster, slot: str) -> None:
    """An idle server gets no empty segment each time; whatever it does write is shipped."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    second = ship(source, catalog)
    if second:
        # The background writer logged a snapshot in between; it does so once per activity.
        second = ship(source, catalog)
    source.execute("SELECT pg_create_restore_point('something')")
    assert len(ship(source, catalog)) == 1


def test_a_commit_later_than_the_covered_time_is_shipped_with_it(
    source: Cluster, slot: str
) -> None:
    """Or a recovery to that time would never meet the commit at which it stops."""
    catalog = catalog_for(slot)
    stretch = ship_one(source, catalog)
    assert source.execute(f"SELECT pg_xact_status('{stretch.next_xid}'::xid8)") == [("committed",)]
    decoded = waldump(source, catalog, stretch, "--rmgr=Transaction")
    assert f"tx: {stretch.next_xid:10d}" in decoded.splitlines()[-1]


def test_restore_points_are_found(source: Cluster, slot: str) -> None:
    """Name and position as pg_create_restore_point returned them, and the server's time."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    made = {}
    with connect(source.address) as connection:
        for number in range(300):
            name = f"before month end {number}"
            row = connection.execute("SELECT pg_create_restore_point(%s)::text", [name]).fetchone()
            made[name] = parse_lsn(row[0])
            # Odd lengths move the records over page and segment borders.
            connection.execute(
                "SELECT pg_logical_emit_message(false, 'x', repeat('y', %s))", [7919 + number * 8]
            )
    stretch = ship_one(source, catalog)
    assert {point.name: point.lsn for point in stretch.restore_points} == made
    assert all(point.at <= stretch.covered_until for point in stretch.restore_points)


def test_a_policy_without_wal_shipping_is_refused(source: Cluster, slot: str) -> None:
    """The message says what the policy lacks."""
    catalog = catalog_for(slot)
    database = catalog.policy.database.model_copy(update={"wal_shipping": None})
    catalog.policy = catalog.policy.model_copy(update={"database": database})
    with pytest.raises(PolicyError) as refused:
        ship(source, catalog)
    assert refused.value.message == "the policy of production ships no WAL"
    assert refused.value.hint == "give it a section database.wal_shipping"


def test_two_runs_at_once_are_not_possible(source: Cluster, slot: str) -> None:
    """The second is refused while the first holds the lock."""
    from ledgerkeep.database.postgres.lock import operation_lock

    with (
        operation_lock(source.address, "production/wal shipping"),
        pytest.raises(OperationRunning, match="production/wal shipping already runs"),
    ):
        ship(source, catalog_for(slot))


def test_a_slot_that_vanished_is_named(source: Cluster, slot: str) -> None:
    """WAL may be lost from the last stored position on: that is for a person to know."""
    catalog = catalog_for(slot)
    stretch = ship_one(source, catalog)
    source.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    with pytest.raises(SlotMissing) as refused:
        ship(source, catalog)
    assert refused.value.message == (
        f"replication slot {slot} is gone; its WAL had been shipped up to "
        f"{format_lsn(stretch.end_lsn)} (segment {stretch.last_segment})"
    )
    assert refused.value.hint == (
        "was the slot dropped, is this a new primary after a failover, or a clone? "
        "if this is the server to protect, take a full backup: it makes the slot anew"
    )


def test_a_slot_made_anew_in_time_leaves_no_gap(source: Cluster, slot: str) -> None:
    """The server still has the WAL after the last stretch, although no slot kept it."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    source.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    write_wal(source, 1)
    with connect(source.address) as connection:
        ensure_slot(connection, slot)
    second = ship_one(source, catalog)
    assert second.start_lsn == first.end_lsn
    assert second.hole_before is None


def _lose_wal(source: Cluster, slot: str) -> int:
    """Drop the slot, let the server forget WAL, make the slot anew; its first position."""
    source.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    write_wal(source, 12)
    recycle(source)
    write_wal(source, 12)
    recycle(source)
    with connect(source.address) as connection:
        restart = ensure_slot(connection, slot).restart_lsn
    assert restart is not None
    return restart // MEGABYTE * MEGABYTE


def test_a_wal_gap_is_named_with_both_segments(source: Cluster, slot: str) -> None:
    """And nothing is shipped behind it while no base backup starts there."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    old = record_backup(source, catalog)
    last = ship_one(source, catalog)
    _lose_wal(source, slot)
    with pytest.raises(WalGap) as refused:
        ship(source, catalog)
    (first,) = source.execute(
        f"SELECT pg_walfile_name(restart_lsn + 1) FROM pg_replication_slots "
        f"WHERE slot_name = '{slot}'"
    )[0]
    assert refused.value.message == (
        f"WAL is lost: the last stored segment is {last.last_segment}, "
        f"the first one the server still has is {first}"
    )
    assert refused.value.hint == (
        "take a full backup: recovery starts anew from it and shipping goes on behind the gap; "
        "what happened in between cannot be recovered to"
    )
    assert catalog.last_stretch(last.system_identifier) == last
    assert old.start_lsn < last.end_lsn


def test_behind_a_gap_shipping_goes_on_where_a_base_backup_starts(
    source: Cluster, slot: str
) -> None:
    """The hole is on record; the next run has none."""
    catalog = catalog_for(slot)
    last = ship_one(source, catalog)
    available = _lose_wal(source, slot)
    record_backup(source, catalog)
    behind = ship_one(source, catalog)
    assert behind.start_lsn == available
    assert behind.hole_before is not None
    assert behind.hole_before.start_lsn == last.end_lsn
    assert behind.hole_before.end_lsn == available
    write_wal(source, 1)
    following = ship_one(source, catalog)
    assert following.hole_before is None
    assert following.start_lsn == behind.end_lsn


def test_segments_stored_by_a_run_without_a_record_are_adopted(source: Cluster, slot: str) -> None:
    """The slot had moved past them and the server forgot them; with their restore points."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    write_wal(source, 3)
    source.execute("SELECT pg_create_restore_point('in a lost record')")
    second = ship_one(source, catalog)
    del catalog.store.objects[
        keys.stretch(catalog.environment, first.system_identifier, 1, second.id)
    ]
    write_wal(source, 12)
    recycle(source)
    recycle(source)
    third = ship_one(source, catalog)
    assert third.start_lsn == first.end_lsn
    assert third.end_lsn > second.end_lsn
    assert third.hole_before is None
    assert [point.name for point in third.restore_points] == ["in a lost record"]


def test_adopted_segments_end_where_one_is_missing(source: Cluster, slot: str) -> None:
    """A segment that vanished from the store between record and slot is a gap, not ignored."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    write_wal(source, 4)
    second = ship_one(source, catalog)
    del catalog.store.objects[
        keys.stretch(catalog.environment, first.system_identifier, 1, second.id)
    ]
    names = stored_names(catalog, second)
    del catalog.store.objects[
        keys.wal_segment(catalog.environment, first.system_identifier, names[1])
    ]
    write_wal(source, 12)
    recycle(source)
    recycle(source)
    with pytest.raises(WalGap) as refused:
        ship(source, catalog)
    assert refused.value.message == (
        f"WAL is lost: the last stored segment is {first.last_segment}, "
        f"the first one the server still has is {names[2]}"
    )


def test_a_first_run_that_died_is_followed_from_its_first_segment(
    source: Cluster, slot: str
) -> None:
    """Without any record the stored segments tell where WAL begins."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    del catalog.store.objects[
        keys.stretch(catalog.environment, first.system_identifier, 1, first.id)
    ]
    write_wal(source, 2)
    second = ship_one(source, catalog)
    assert second.start_lsn == first.start_lsn
    assert second.segment_count > first.segment_count


def test_a_segment_stored_with_other_content_is_a_conflict(source: Cluster, slot: str) -> None:
    """It is not overwritten, both hashes are named, and the slot stays in front of it."""
    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    write_wal(source, 3)
    position = first.end_lsn // MEGABYTE + 1
    planted = f"{1:08X}{position // 4096:08X}{position % 4096:08X}"
    key = keys.wal_segment(catalog.environment, first.system_identifier, planted)
    catalog.store.put(key, b"planted", metadata={"raw-sha256": "ab" * 32})
    with pytest.raises(WalConflict) as refused:
        ship(source, catalog)
    assert refused.value.message.startswith(
        f"segment {planted} is stored already with other content: SHA-256 of the content is "
        f"{'ab' * 32} in s3://memory, "
    )
    assert catalog.store.get(key) == b"planted"
    assert slot_position(source, slot) == first.end_lsn + MEGABYTE
    assert catalog.last_stretch(first.system_identifier) == first


def test_the_same_content_compressed_differently_is_no_conflict(source: Cluster, slot: str) -> None:
    """Another zstd version stored it before the worker was upgraded."""
    from zstandard import ZstdCompressor

    catalog = catalog_for(slot)
    first = ship_one(source, catalog)
    key = keys.wal_segment(catalog.environment, first.system_identifier, first.first_segment)
    content = stored_content(catalog, first.system_identifier, first.first_segment)
    catalog.store.objects.clear()
    catalog.store.put(key, ZstdCompressor(level=19).compress(content))
    source.execute(f"SELECT pg_drop_replication_slot('{slot}')")
    again = catalog_for(slot, catalog.store)
    with connect(source.address) as connection:
        ensure_slot(connection, slot)
    write_wal(source, 1)
    assert ship_one(source, again).end_lsn > first.end_lsn


class DownStore:
    """A store whose puts fail from some segment on."""

    def __init__(self, store: object, allowed: int) -> None:
        self._store = store
        self.allowed = allowed

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, key: str, body: bytes, **about: object) -> object:
        if self.allowed == 0:
            raise StoreUnavailable("the store is down", hint="wait")
        self.allowed -= 1
        return self._store.put(key, body, **about)


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


def test_a_clone_that_is_behind_is_refused(source: Cluster, slot: str) -> None:
    """Same identifier, same timeline, but less WAL than is stored."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    with copy_of(source) as clone:
        write_wal(source, 3)
        stretch = ship_one(source, catalog)
        with pytest.raises(ForeignCluster) as refused:
            ship(clone, catalog)
        assert refused.value.message.startswith(
            f"the server (cluster {stretch.system_identifier}, timeline 1) stands at "
        )
        assert refused.value.message.endswith(
            f", but WAL is stored up to {format_lsn(stretch.end_lsn)} of timeline 1"
        )
        assert refused.value.hint == (
            "is this a clone or a restored copy? point the connection at the original, "
            "or protect this server under an environment of its own"
        )


def test_a_clone_that_overtook_the_original_is_refused(source: Cluster, slot: str) -> None:
    """Its own WAL under the same names reads differently."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    with copy_of(source) as clone:
        write_wal(source, 2)
        stretch = ship_one(source, catalog)
        with connect(clone.address) as connection:
            ensure_slot(connection, slot)
        write_wal(clone, 6)
        with pytest.raises(ForeignCluster) as refused:
            ship(clone, catalog)
        assert refused.value.message.startswith(f"segment {stretch.last_segment} differs: SHA-256")
        write_wal(source, 1)
        ship_one(source, catalog)


def test_the_original_is_refused_when_a_clone_shipped_first(source: Cluster, slot: str) -> None:
    """A copy of the files has the slot too. Whoever comes second: histories are never mixed."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    with copy_of(source, cold=True) as clone:
        write_wal(clone, 2)
        theirs = ship_one(clone, catalog)
        with pytest.raises(ForeignCluster, match=r"stands at .*, but WAL is stored up to"):
            ship(source, catalog)
        write_wal(source, 6)
        with pytest.raises(ForeignCluster, match=f"segment {theirs.last_segment} differs"):
            ship(source, catalog)
        assert catalog.last_stretch(theirs.system_identifier) == theirs


def test_a_standby_is_refused(source: Cluster, slot: str) -> None:
    """It cannot switch segments."""
    with copy_of(source, standby=True) as standby:
        with pytest.raises(DatabaseError, match="is a standby, replaying at") as refused:
            ship(standby, catalog_for(slot))
        assert refused.value.hint == (
            "point the policy's connection at the primary; after a failover, at the new one"
        )


def _promote(standby: Cluster) -> None:
    standby.execute("SELECT pg_promote(true, 60)")


def test_a_promotion_is_followed_onto_the_new_timeline(source: Cluster, slot: str) -> None:
    """The rest of the old timeline, its partial segment, the history, then the new timeline."""
    catalog = catalog_for(slot)
    with copy_of(source, standby=True, wal_keep_size="64MB") as standby:
        first = ship_one(source, catalog)
        write_wal(source, 3)
        source.execute("SELECT pg_create_restore_point('before failover')")
        _catch_up(source, standby)
        _promote(standby)
        with connect(standby.address) as connection:
            ensure_slot(connection, slot)
        write_wal(standby, 2)
        old, new = ship(standby, catalog)
        identifier = first.system_identifier
        assert (old.timeline, new.timeline) == (1, 2)
        assert old.start_lsn == first.end_lsn
        assert new.start_lsn == old.end_lsn
        assert old.covered_until == first.covered_until
        history = (standby.data / "pg_wal" / "00000002.history").read_bytes()
        assert catalog.store.get(keys.wal_history("production", identifier, 2)) == history
        (partial,) = [name for name in catalog.wal_names(identifier, 1) if "partial" in name]
        assert partial == f"{1:08X}{new.first_segment[8:]}.partial"
        switch = parse_lsn(history.split()[1].decode()) % MEGABYTE
        whole = stored_content(catalog, identifier, new.first_segment)
        left = stored_content(catalog, identifier, partial)
        assert left[40:switch] == whole[40:switch]
        assert left[switch:] == bytes(MEGABYTE - switch)
        points = [point.name for point in old.restore_points + new.restore_points]
        assert points == ["before failover"]
        assert [stretch.timeline for stretch in ship(standby, catalog)] in ([], [2])
        # The old primary comes back and is not the one to protect any more.
        with pytest.raises(TimelineDiverged) as refused:
            ship(source, catalog)
        assert "timeline 1) does not descend from timeline 2" in refused.value.message


def test_a_failover_that_lost_wal_needs_a_persons_word(source: Cluster, slot: str) -> None:
    """After a full backup of the adopted timeline, shipping starts anew on it."""
    from ledgerkeep.database.postgres.description import describe
    from ledgerkeep.database.postgres.lineage import check_lineage

    catalog = catalog_for(slot)
    with copy_of(source, standby=True) as standby:
        _catch_up(source, standby)
        standby.execute("SELECT pg_wal_replay_pause()")
        _promote_at_once(standby)
        write_wal(source, 2)
        last = ship_one(source, catalog)
        with connect(standby.address) as connection:
            ensure_slot(connection, slot)
            server = describe(connection)
        with pytest.raises(TimelineDiverged) as refused:
            ship(standby, catalog)
        assert "timeline 2) left timeline 1 at " in refused.value.message
        assert refused.value.hint == (
            "if it became the primary in a failover that lost the WAL in between, say so with a "
            "full backup that has adopt_timeline=2; if it is a clone or a restored copy, point the "
            "connection at the original"
        )
        check_lineage(standby.address, server, catalog, adopt_timeline=2)
        record_backup(standby, catalog)
        anew = ship_one(standby, catalog)
        assert (anew.timeline, anew.hole_before) == (2, None)
        assert anew.start_lsn < last.end_lsn
        write_wal(standby, 1)
        assert ship_one(standby, catalog).start_lsn == anew.end_lsn


def _promote_at_once(standby: Cluster) -> None:
    standby.execute("SELECT pg_wal_replay_resume()")
    _promote(standby)


def _catch_up(source: Cluster, standby: Cluster) -> None:
    # A commit, since nothing else makes the server flush what was written before.
    source.execute(f"CREATE TABLE t_{secrets.token_hex(4)} ()")
    position = source.execute("SELECT pg_current_wal_flush_lsn()::text")[0][0]
    deadline = time.monotonic() + 30
    while not standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_promotion_interrupted_anywhere_is_followed_by_a_run_that_completes_it(
    source: Cluster, slot: str
) -> None:
    """The store fails at the first, second, third … object of the way onto the new timeline."""
    catalog = catalog_for(slot)
    with copy_of(source, standby=True, wal_keep_size="64MB") as standby:
        first = ship_one(source, catalog)
        write_wal(source, 2)
        _catch_up(source, standby)
        _promote(standby)
        with connect(standby.address) as connection:
            ensure_slot(connection, slot)
        memory = catalog.store
        for allowed in count(1):
            catalog.store = DownStore(memory, allowed)
            with suppress(StoreUnavailable):
                ship(standby, catalog)
                break
            recycle(standby)
    assert allowed > 5
    recorded = catalog.stretches(first.system_identifier)
    assert [stretch.timeline for stretch in recorded] == sorted(
        stretch.timeline for stretch in recorded
    )
    assert {stretch.timeline for stretch in recorded} == {1, 2}
    assert [stretch.start_lsn for stretch in recorded[1:]] == [
        stretch.end_lsn for stretch in recorded[:-1]
    ]
    for stretch in recorded:
        assert len(stored_names(catalog, stretch)) == stretch.segment_count


def test_the_first_contact_with_a_promoted_server_stores_its_history(
    source: Cluster, slot: str
) -> None:
    """Or nobody could tell later which timelines lead to this one."""
    catalog = catalog_for(slot)
    with copy_of(source, standby=True) as standby:
        _catch_up(source, standby)
        _promote(standby)
        stretch = ship_one(standby, catalog)
        assert stretch.timeline == 2
        key = keys.wal_history("production", stretch.system_identifier, 2)
        assert catalog.store.get(key) == (standby.data / "pg_wal" / "00000002.history").read_bytes()


def test_another_promotion_to_the_same_timeline_number_is_refused(
    source: Cluster, slot: str
) -> None:
    """Two standbys were promoted; the histories tell them apart."""
    catalog = catalog_for(slot)
    with copy_of(source, standby=True) as one, copy_of(source, standby=True) as other:
        _catch_up(source, one)
        _promote(one)
        ship(one, catalog)
        write_wal(source, 1)
        _catch_up(source, other)
        _promote(other)
        with pytest.raises(TimelineDiverged) as refused:
            ship(other, catalog)
    assert refused.value.message.startswith("the server's timeline 2 begins at ")
    assert refused.value.message.endswith(": two copies of one cluster were promoted")


def test_a_server_that_goes_down_is_a_typed_error(place: Place) -> None:
    """And when it is back, the next run has everything."""
    with small_cluster(place) as cluster:
        catalog = catalog_for("s")
        first = ship_one(cluster, catalog)
        write_wal(cluster, 8)
        memory = catalog.store

        class Stopping(DownStore):
            def put(self, key: str, body: bytes, **about: object) -> object:
                if self.allowed == 5:
                    cluster.stop(immediate=True)
                return super().put(key, body, **about)

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
