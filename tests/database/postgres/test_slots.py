"""The slot's states on a real server, and what shipping and full backups make of each."""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from include.sandbox.place import Place
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.slots import ensure_slot, read_slot, shipping_slot
from ledgerkeep.errors import DatabaseError, SlotInUse, SlotInvalidated
from tests.conftest import Cluster
from tests.database.postgres.wal_support import catalog_for, ship, small_cluster, write_wal

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def source(place: Place) -> Iterator[Cluster]:
    """A cluster that keeps no more than 4 MB for a slot."""
    with small_cluster(place, max_slot_wal_keep_size="4MB") as made:
        yield made


@pytest.fixture
def connection(source: Cluster) -> Iterator[psycopg.Connection]:
    """An ordinary connection."""
    with connect(source.address) as made:
        yield made


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _invalidate(source: Cluster, connection: psycopg.Connection, slot: str) -> None:
    write_wal(source, 12)
    source.execute("CHECKPOINT")
    state = read_slot(connection, slot)
    assert state is not None
    assert state.invalidated


def test_a_missing_slot_is_made_and_keeps_wal_at_once(
    connection: psycopg.Connection, slot: str
) -> None:
    """The second call finds it and leaves it."""
    assert read_slot(connection, slot) is None
    made = ensure_slot(connection, slot)
    assert made.created
    assert made.restart_lsn is not None
    found = ensure_slot(connection, slot)
    assert (found.created, found.restart_lsn) == (False, made.restart_lsn)


def test_a_slot_that_keeps_no_wal_is_made_anew(connection: psycopg.Connection, slot: str) -> None:
    """Somebody made it without reserving WAL."""
    connection.execute("SELECT pg_create_physical_replication_slot(%s)", [slot])
    assert ensure_slot(connection, slot).created


def test_an_invalidated_slot_stops_shipping_and_a_full_backup_makes_it_anew(
    source: Cluster, connection: psycopg.Connection, slot: str
) -> None:
    """WAL was lost: only a new base backup helps."""
    catalog = catalog_for(slot)
    ship(source, catalog)
    _invalidate(source, connection, slot)
    with pytest.raises(SlotInvalidated) as refused:
        ship(source, catalog)
    assert refused.value.message == (
        f"replication slot {slot} is invalidated (wal_removed): "
        "the server has given up WAL that was not shipped yet"
    )
    assert refused.value.hint == (
        "take a full backup: it makes the slot anew; then raise max_slot_wal_keep_size "
        "or ship more often"
    )
    anew = ensure_slot(connection, slot)
    assert anew.created
    assert not anew.invalidated


def test_a_slot_in_use_names_who_uses_it(
    source: Cluster, connection: psycopg.Connection, slot: str
) -> None:
    """Another client must not move our slot; a full backup does not mind it."""
    ensure_slot(connection, slot)
    directory = source.place.servers / f"r{secrets.token_hex(4)}"
    directory.mkdir()
    program = source.place.programs.path("pg_receivewal")
    conninfo = source.server.address.conninfo(application_name="somebody")
    with subprocess.Popen(
        [program, "-D", str(directory), "-S", slot, "-d", conninfo], stderr=subprocess.DEVNULL
    ) as other:
        try:
            _until(lambda: read_slot(connection, slot).active_pid is not None)
            pid = read_slot(connection, slot).active_pid
            with pytest.raises(SlotInUse) as refused:
                shipping_slot(connection, slot, None, patience=0.3)
            assert not ensure_slot(connection, slot).created
        finally:
            other.terminate()
    assert refused.value.message == (
        f"replication slot {slot} is in use by somebody from a local socket (server process {pid})"
    )
    assert refused.value.hint == (
        "the slot belongs to WAL shipping alone: stop the other client, or give it a slot of its "
        "own; if it is a dead worker's, the server ends it after wal_sender_timeout"
    )
    assert shipping_slot(connection, slot, None, patience=30).active_pid is None


def test_a_logical_slot_of_that_name_is_refused(
    source: Cluster, connection: psycopg.Connection, slot: str
) -> None:
    """The names share one space."""
    connection.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [slot])
    with pytest.raises(DatabaseError) as refused:
        ensure_slot(connection, slot)
    assert refused.value.message == f"replication slot {slot} is a logical slot"
    assert refused.value.hint == (
        "WAL shipping needs a physical one: give the policy's wal_shipping.slot another name"
    )


def test_a_server_without_room_for_a_slot_says_which_setting(place: Place) -> None:
    """max_replication_slots."""
    with (
        small_cluster(place, max_replication_slots="1") as full,
        connect(full.address) as connection,
    ):
        ensure_slot(connection, "first")
        with pytest.raises(
            DatabaseError, match="replication slot second cannot be made"
        ) as refused:
            ensure_slot(connection, "second")
        assert refused.value.hint == (
            "the role needs REPLICATION, and the server a free slot (max_replication_slots)"
        )
