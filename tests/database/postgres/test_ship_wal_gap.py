"""A slot that vanished and WAL that is lost: what is still whole, and what must be refused."""

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.errors import SlotMissing, WalGap
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    catalog_for,
    record_backup,
    recycle,
    ship,
    ship_one,
    stored_names,
    write_wal,
)

pytestmark = pytest.mark.integration


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


def test_a_backup_that_began_inside_the_gap_brings_the_wal_it_needs(
    source: Cluster, slot: str
) -> None:
    """One read from a standby begins at that standby's last restartpoint, which may be earlier."""
    catalog = catalog_for(slot)
    last = ship_one(source, catalog)
    available = _lose_wal(source, slot)
    elsewhere = record_backup(source, catalog_for(slot))
    catalog.commit_backup(elsewhere.model_copy(update={"start_lsn": available - 100}))
    behind = ship_one(source, catalog)
    assert behind.start_lsn == available
    assert behind.hole_before is not None
    assert behind.hole_before.start_lsn == last.end_lsn


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
