"""Clones, standbys and promoted servers: whose WAL is shipped, and over which timelines."""

import secrets
import time
from contextlib import suppress
from itertools import count

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.errors import DatabaseError, ForeignCluster, StoreUnavailable, TimelineDiverged
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    DownStore,
    catalog_for,
    copy_of,
    record_backup,
    recycle,
    ship,
    ship_one,
    stored_content,
    stored_names,
    write_wal,
)

pytestmark = pytest.mark.integration


def _catch_up(source: Cluster, standby: Cluster) -> None:
    # A commit, since nothing else makes the server flush what was written before.
    source.execute(f"CREATE TABLE t_{secrets.token_hex(4)} ()")
    position = source.execute("SELECT pg_current_wal_flush_lsn()::text")[0][0]
    deadline = time.monotonic() + 30
    while not standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _promote(standby: Cluster) -> None:
    standby.execute("SELECT pg_promote(true, 60)")


def _promote_at_once(standby: Cluster) -> None:
    standby.execute("SELECT pg_wal_replay_resume()")
    _promote(standby)


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
