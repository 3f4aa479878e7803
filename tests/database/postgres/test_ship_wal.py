"""Shipping WAL from a real server: ordinary runs, what they store, and what none may overwrite."""

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.errors import OperationRunning, PolicyError, WalConflict
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    catalog_for,
    ship,
    ship_one,
    slot_position,
    stored_content,
    stored_names,
    waldump,
    write_wal,
)

pytestmark = pytest.mark.integration


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
