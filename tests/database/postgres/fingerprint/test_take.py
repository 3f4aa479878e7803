"""The whole fingerprint: of the source under load, and of a physical copy at the same LSN."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ledgerkeep.catalog.models import Fingerprint
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.fingerprint import fingerprint_copy, take, take_fingerprint
from ledgerkeep.database.postgres.fingerprint.hashing import Relation
from ledgerkeep.database.postgres.fingerprint.reading import Readings
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import DatabaseError, OperationRunning
from ledgerkeep.policy.model import FingerprintPolicy
from ledgerkeep.progress import no_progress
from tests.conftest import Cluster
from tests.database.postgres.fingerprint.support import (
    base_backup,
    catalog_of,
    content,
    recovered_to,
)

pytestmark = pytest.mark.integration

_SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, balance numeric(12, 2) NOT NULL, note text);
INSERT INTO accounts SELECT i, 100, repeat('x', i % 50) FROM generate_series(1, 2000) i;
CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY, account int, at timestamptz);
CREATE TABLE big AS SELECT i, md5(i::text) AS h FROM generate_series(1, 20000) i;
SELECT lo_from_bytea(0, 'contract');
"""


@contextmanager
def _write_load(address: ServerAddress, databases: list[str]) -> Iterator[None]:
    """Clients that update, insert, delete and roll back for a block."""
    enough = threading.Event()

    def write(database: str) -> None:
        with connect(address.to(database)) as client:
            while not enough.is_set():
                client.execute(
                    "WITH touched AS (UPDATE accounts SET balance = balance + 1 "
                    "WHERE id = 1 + (random() * 1999)::int RETURNING id) "
                    "INSERT INTO journal (account, at) SELECT id, now() FROM touched"
                )
                client.execute("BEGIN; DELETE FROM big WHERE i % 1000 = 7; ROLLBACK")
                client.execute("DELETE FROM journal WHERE random() < 0.01")

    writers = [threading.Thread(target=write, args=[name]) for name in databases for _ in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        enough.set()
        for writer in writers:
            writer.join()


def test_copy_at_the_same_lsn_has_the_same_fingerprint_under_write_load(
    fresh_cluster: Cluster,
) -> None:
    """Two databases, each with its own LSN; the source goes on writing all the while."""
    names = ["loans", "users"]
    data = fresh_cluster.data.parent / f"copy{secrets.token_hex(4)}"
    for name in names:
        fresh_cluster.execute(f"CREATE DATABASE {name}")
        fresh_cluster.execute(_SCHEMA, name)
    catalog = catalog_of(names, sampled_tables={"public.big": 30})

    with _write_load(fresh_cluster.address, names):
        base_backup(fresh_cluster, data)
        taken = take_fingerprint(fresh_cluster.address, catalog, run="tests")
        written = fresh_cluster.execute("SELECT sum(balance) FROM accounts", "loans")
        _until_written(fresh_cluster, written)

    first, second = taken.databases
    assert first.lsn < second.lsn
    assert [found.database for found in taken.databases] == names
    for expected in taken.databases:
        with recovered_to(fresh_cluster, data, expected.lsn) as address:
            found = fingerprint_copy(address, expected.database, expected, 2)
        assert content(found) == content(expected)
        assert found.structure_hash == expected.structure_hash
        assert found.lsn <= expected.lsn
        assert content(found)["accounts"][0] == 2000
    body = catalog.store.objects  # type: ignore[attr-defined]
    assert [Fingerprint.from_json(record) for record in body.values()] == [taken]


def _until_written(cluster: Cluster, before: list[tuple]) -> None:
    while cluster.execute("SELECT sum(balance) FROM accounts", "loans") == before:
        pass


def test_source_without_logical_wal_is_refused(fresh_cluster: Cluster) -> None:
    """The reason and the way out are said."""
    fresh_cluster.stop()
    fresh_cluster.settings["wal_level"] = "replica"
    fresh_cluster.start()

    with pytest.raises(DatabaseError) as caught:
        take_fingerprint(fresh_cluster.address, catalog_of(["postgres"]), run="tests")

    assert caught.value.message == (
        f"no fingerprint of {fresh_cluster.address}: wal_level is replica and not logical, "
        "so the source's content cannot be tied to an exact LSN"
    )
    assert caught.value.hint == (
        "set wal_level = logical on the primary and restart it; until then "
        "restores are validated but not proven identical"
    )


def test_second_fingerprint_at_once_is_refused(cluster: Cluster, database: str) -> None:
    """Two would read every table twice at the same time."""
    with (
        operation_lock(cluster.address, "development/fingerprint"),
        pytest.raises(OperationRunning, match="development/fingerprint already runs"),
    ):
        take_fingerprint(cluster.address, catalog_of([database]), run="tests")


def test_nothing_is_committed_when_a_database_is_missing(cluster: Cluster, database: str) -> None:
    """A fingerprint of some of the databases would prove less than it seems to."""
    catalog = catalog_of([database, "not_there"])

    with pytest.raises(DatabaseError, match="not_there"):
        take_fingerprint(cluster.address, catalog, run="tests")

    assert catalog.store.objects == {}  # type: ignore[attr-defined]


def _changed(*, derived: bool) -> Readings:
    return Readings(changed=[Relation(1, "public", "busy", 1, 0, (), True, derived)])


def test_table_that_is_rewritten_every_time_is_named(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts, then it is a matter of choosing another time."""
    attempts = []

    def always_changed(*_: object) -> Readings:
        attempts.append(1)
        return _changed(derived=False)

    monkeypatch.setattr(take, "read_tables", always_changed)
    address = cluster.address.to(database)
    with pytest.raises(DatabaseError) as caught:
        take._at_a_point(address, FingerprintPolicy(), no_progress)

    assert len(attempts) == 3
    assert caught.value.message == (
        f"no fingerprint of {address}: "
        "altered or rewritten each time while it was taken: public.busy"
    )
    assert caught.value.hint == (
        "take it at a time when nothing truncates, alters or rewrites these tables"
    )


def test_refreshed_view_is_left_out(
    cluster: Cluster, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows follow from others that are proven, so it is not worth another round."""
    monkeypatch.setattr(take, "read_tables", lambda *_: _changed(derived=True))

    found = take._at_a_point(cluster.address.to(database), FingerprintPolicy(), no_progress)

    assert found.left_out == {
        "public.busy": "materialized view: it was refreshed while the fingerprint was taken"
    }
