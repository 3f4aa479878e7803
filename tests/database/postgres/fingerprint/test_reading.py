"""Reading many tables at once while others alter them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.fingerprint import reading
from ledgerkeep.database.postgres.fingerprint.reading import (
    Readings,
    adopt,
    open_readers,
    read_tables,
)
from ledgerkeep.database.postgres.fingerprint.tables import take_inventory
from ledgerkeep.errors import DatabaseError
from ledgerkeep.progress import no_progress
from tests.conftest import Cluster

pytestmark = pytest.mark.integration


@contextmanager
def _snapshot(cluster: Cluster, database: str) -> Iterator[list[psycopg.Connection]]:
    """Two readers that see the database as it is now."""
    address = cluster.address.to(database)
    with connect(address) as holder, open_readers(address, 2) as readers:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        name = holder.execute("SELECT pg_export_snapshot()").fetchone()
        assert name is not None
        adopt(readers, name[0])
        yield readers


def _read(readers: list[psycopg.Connection]) -> Readings:
    return read_tables(readers, take_inventory(readers[0]), {}, no_progress, "reading")


def test_rows_of_the_snapshot_are_read(cluster: Cluster, database: str) -> None:
    """What is written meanwhile is not seen, by any reader."""
    for name in ("a", "b", "c"):
        cluster.execute(f"CREATE TABLE {name} AS SELECT 1 AS i", database)

    with _snapshot(cluster, database) as readers:
        for name in ("a", "b", "c"):
            cluster.execute(f"INSERT INTO {name} VALUES (2)", database)
            cluster.execute(f"DELETE FROM {name} WHERE i = 1", database)
        readings = _read(readers)

    assert [(table.name, table.rows) for table in readings.tables[1:]] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "TRUNCATE t",
        "VACUUM FULL t",
        "DROP TABLE t",
        "ALTER TABLE t RENAME TO other",
        "ALTER TABLE t ADD COLUMN b int DEFAULT 7",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t ALTER COLUMN a TYPE bigint",
    ],
)
def test_table_changed_since_the_snapshot_is_noticed(
    cluster: Cluster, database: str, change: str
) -> None:
    """It would be hashed as it is now, or as empty, and no copy could ever equal that."""
    cluster.execute("CREATE TABLE t AS SELECT 1 AS a", database)

    with _snapshot(cluster, database) as readers:
        cluster.execute(change, database)
        readings = _read(readers)

    assert [relation.full_name for relation in readings.changed] == ["public.t"]


def test_no_lock_is_kept_on_a_table_that_was_read(cluster: Cluster, database: str) -> None:
    """Whoever alters a table waits for that table at most, not for the fingerprint."""
    cluster.execute("CREATE TABLE t AS SELECT 1 AS a", database)

    with _snapshot(cluster, database) as readers:
        _read(readers)
        cluster.execute("SET lock_timeout = '2s'; ALTER TABLE t ADD COLUMN b int", database)


def test_table_that_stays_locked_is_named(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fingerprint must not hang behind somebody's forgotten transaction."""
    monkeypatch.setattr(reading, "_LOCK_TIMEOUT", "300ms")
    cluster.execute("CREATE TABLE t AS SELECT 1 AS a", database)

    with _snapshot(cluster, database) as readers, connect(cluster.address.to(database)) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseError) as caught:
            _read(readers)

    assert caught.value.message == (
        "table public.t stayed locked for 300ms, so it has no fingerprint"
    )
    assert caught.value.hint == (
        "somebody alters or rewrites it: take the fingerprint when that has ended"
    )


def test_interruption_cancels_what_runs_on_the_server(cluster: Cluster, database: str) -> None:
    """A task that is told to stop must not leave the source hashing for nobody."""
    cluster.execute("CREATE TABLE t AS SELECT 1 AS a FROM generate_series(1, 2000)", database)

    class Stop(BaseException):
        """As a signal handler would raise it."""

    def stop(done: int, total: int | None, what: str) -> None:
        raise Stop

    with connect(cluster.address.to(database)) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with _snapshot(cluster, database) as readers, pytest.raises(Stop):
            read_tables(readers, take_inventory(readers[0]), {}, stop, "reading")
        assert not [one for one in threading.enumerate() if one.name.startswith("fingerprint")]
        busy = other.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'active' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()

    assert busy == (0,)
