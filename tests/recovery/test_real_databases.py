"""What real databases bring along, in one cluster: backed up under change, restored, identical.

Two tablespaces and partitions in both, a table that moves from one to the other while the backup
runs, `pg_wal` on another disk, two databases with names that nobody should give, large objects,
unlogged tables, extensions, and a library that the server preloads.
"""

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Fingerprint
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.fingerprint import take_fingerprint
from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.errors import RecoveryStopped
from ledgerkeep.policy.model import Policy, WalShipping
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.amcheck import check_pages
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.proof import first_target, last_target, prove_copy
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster, make_cluster
from tests.database.postgres.backup_support import RUN, make_catalog, make_policy

pytestmark = pytest.mark.integration

ODD = 'Kredit & Söhne "alt" \\ 100%'
LONG = "select" + "ü" * 28
"""A reserved word in front, and nearly as long as a name may be: 62 bytes."""

_ODD_NAMES = """
CREATE SCHEMA "Order";
CREATE TABLE "Order"."select" ("from" int PRIMARY KEY, "Größe in €" text, "a ""b"" 'c' %s" text);
INSERT INTO "Order"."select"
SELECT n, 'ß' || n, E'tab\\t and\\nline' FROM generate_series(1, 500) n;
CREATE TABLE "A table with a name of sixty-three bytes because no more fit in" (id int);
INSERT INTO "A table with a name of sixty-three bytes because no more fit in" VALUES (1);
CREATE TABLE "semi;colon--comment.dot" (id int);
INSERT INTO "semi;colon--comment.dot" VALUES (2);
CREATE UNLOGGED TABLE "Session's" (id int, data text);
INSERT INTO "Session's" SELECT n, 'gone' FROM generate_series(1, 100) n;
"""
_EXTENDED = """
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE EXTENSION pg_stat_statements;
CREATE TABLE person (name citext, about hstore, place ltree, during tstzrange,
    EXCLUDE USING gist (place WITH =, during WITH &&));
INSERT INTO person
SELECT 'Person ' || n, hstore('n', n::text), text2ltree('top.n' || n), tstzrange(now(), NULL)
FROM generate_series(1, 800) n;
CREATE INDEX ON person USING gin ((name::text) gin_trgm_ops);
CREATE TABLE movement (id int, day date, amount numeric(12, 2)) PARTITION BY RANGE (day);
CREATE TABLE movement_2025 PARTITION OF movement
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') TABLESPACE slow;
CREATE TABLE movement_2026 PARTITION OF movement
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') TABLESPACE "Fast Disk";
CREATE TABLE movement_other PARTITION OF movement DEFAULT;
INSERT INTO movement
SELECT n, date '2025-06-01' + n % 900, n / 100.0 FROM generate_series(1, 5000) n;
CREATE INDEX ON movement (day) TABLESPACE slow;
CREATE TABLE moving TABLESPACE slow AS SELECT n AS id, md5(n::text) AS filler
FROM generate_series(1, 5000) n;
"""


@dataclass
class Story:
    """The cluster's backup, and what it held."""

    source: Cluster
    catalog: Catalog
    backup: BaseBackup
    fingerprint: Fingerprint
    documents: dict[int, bytes]
    """Oid of each large object, and its content at the fingerprint."""


@pytest.fixture(scope="module")
def story(place: Place, s3: objectstore.ObjectStoreServer) -> Iterator[Story]:
    data = place.servers / f"r{secrets.token_hex(4)}"
    beside = [data.with_suffix(f".{name}") for name in ("wal", "slow", "fast disk")]
    for directory in beside:
        directory.mkdir(mode=0o700)
        place.account.own(directory)
    source = make_cluster(
        place,
        data,
        initdb=("--wal-segsize=1", f"--waldir={beside[0]}"),
        shared_preload_libraries="pg_stat_statements",
    )
    try:
        yield _lived(source, beside[1], beside[2], s3)
    finally:
        source.stop(immediate=True)
        for directory in (data, *beside):
            shutil.rmtree(directory, ignore_errors=True)


def _lived(source: Cluster, slow: Path, fast: Path, s3: objectstore.ObjectStoreServer) -> Story:
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    catalog = make_catalog(s3, _policy(bucket))
    source.execute(f"CREATE TABLESPACE slow LOCATION '{slow}'")
    source.execute(f"CREATE TABLESPACE \"Fast Disk\" LOCATION '{fast}'")
    for name in (ODD, LONG):
        source.execute('CREATE DATABASE "{}"'.format(name.replace('"', '""')))
    source.execute(_ODD_NAMES, ODD)
    source.execute(_EXTENDED, LONG)
    documents = _large_objects(source.address.to(ODD))
    backup = _backup_while_a_table_moves(source, catalog)
    with connect(source.address.to(ODD)) as connection:
        changed, removed = sorted(documents)[:2]
        connection.execute("SELECT lo_put(%s, 100000, 'after the backup')", [changed])
        connection.execute("SELECT lo_unlink(%s)", [removed])
    body = documents[changed]
    documents[changed] = body[:100000] + b"after the backup" + body[100016:]
    del documents[removed]
    source.execute("UPDATE movement SET day = '2026-02-02' WHERE id % 50 = 0", LONG)
    fingerprint = take_fingerprint(source.address, catalog, run=RUN)
    ship_wal(source.address, catalog, run=RUN)
    return Story(source, catalog, backup, fingerprint, documents)


def _large_objects(address: ServerAddress) -> dict[int, bytes]:
    """Three of a few hundred kilobytes, and an empty one."""
    bodies = [bytes([n]) * 250_000 + b"end" for n in range(1, 4)] + [b""]
    made = {}
    with connect(address) as connection:
        for body in bodies:
            row = connection.execute("SELECT lo_from_bytea(0, %s)", [body]).fetchone()
            made[row[0]] = body
    return made


def _backup_while_a_table_moves(source: Cluster, catalog: Catalog) -> BaseBackup:
    """The table is moved when the first bytes have come, before its file is read."""
    moved = []

    def move(done: int, total: int | None, what: str) -> None:
        if not moved:
            moved.append(done)
            source.execute('ALTER TABLE moving SET TABLESPACE "Fast Disk"', LONG)
            source.execute("UPDATE moving SET filler = 'moved' WHERE id % 3 = 0", LONG)

    backup_id = take_full_backup(source.address, catalog, origin=Origin(RUN), progress=move)
    assert moved
    return record_backup(catalog, backup_id, run=RUN, progress=no_progress)


def _policy(bucket: str) -> Policy:
    policy = make_policy(bucket)
    database = policy.database.model_copy(
        update={
            "databases": [ODD, LONG],
            "wal_shipping": WalShipping(schedule=None, slot="real_databases"),
        }
    )
    return policy.model_copy(update={"database": database})


def _restore(
    story: Story, room: Path, settings: WorkerSettings, *, preload: tuple[str, ...] = ()
) -> Room:
    policy = story.catalog.policy
    database = policy.database.model_copy(update={"preload_libraries": preload})
    catalog = Catalog(story.catalog.store, policy.model_copy(update={"database": database}))
    target = first_target(story.fingerprint)
    plan = plan_from_catalog(catalog, story.backup.system_identifier, target)
    restore_cluster(catalog, plan, room, settings=settings, run=RUN, purpose="test")
    return Room.open(room)


def test_everything_comes_back_identical(
    story: Story, room: Path, settings: WorkerSettings, place: Place
) -> None:
    """Each database at its own position, and its pages sound; what cannot come back is named."""
    restored = _restore(story, room, settings)
    assert len({one.lsn for one in story.fingerprint.databases}) == 2
    proof = prove_copy(story.catalog, restored, story.fingerprint, settings=settings, run=RUN)
    assert proof.left_out == {
        f"{ODD}: public.Session's": "unlogged: it is empty in every restored copy"
    }
    assert proof.rows_compared > 11_000
    with open_copy(
        story.catalog, restored, settings=settings, target=last_target(story.fingerprint)
    ) as copy:
        promote_copy(copy)
        _documents_are_whole(story, copy.address.to(ODD))
        with connect(copy.address.to(ODD)) as connection:
            assert connection.execute('SELECT count(*) FROM "Session\'s"').fetchone() == (0,)
        _lies_below_the_room(restored, copy.address.to(LONG))
        report = check_pages(
            copy.address, [ODD, LONG], programs=place.programs, account=place.account
        )
    assert [one.observed for one in report.outcomes] == ["no corruption"]
    # The link of the source leads to the source's own WAL.
    assert (story.source.data / "pg_wal").is_symlink()
    assert not (restored.data / "pg_wal").is_symlink()


def _documents_are_whole(story: Story, address: ServerAddress) -> None:
    with connect(address) as connection:
        found = connection.execute(
            "SELECT oid, lo_get(oid) FROM pg_largeobject_metadata"
        ).fetchall()
    assert dict(found) == story.documents


def _lies_below_the_room(room: Room, address: ServerAddress) -> None:
    """Each tablespace in the copy's own directory, with the partitions that belong there."""
    with connect(address) as connection:
        places = connection.execute(
            "SELECT spcname, pg_tablespace_location(oid) FROM pg_tablespace "
            "WHERE spcname NOT LIKE 'pg\\_%'"
        ).fetchall()
        where = dict(
            connection.execute(
                "SELECT c.relname, t.spcname FROM pg_class c "
                "JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.relkind = 'r' "
                "AND c.oid >= 16384"
            ).fetchall()
        )
    assert {name for name, _ in places} == {"slow", "Fast Disk"}
    assert all(Path(location).is_relative_to(room.tablespaces) for _, location in places)
    assert where == {
        "movement_2025": "slow",
        "movement_2026": "Fast Disk",
        "moving": "Fast Disk",
    }


def test_copy_preloads_nothing_of_the_source_but_what_the_policy_names(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    """The source's libraries may act by themselves; a copy that needs one says so in the policy."""
    assert story.source.execute("SHOW shared_preload_libraries") == [("pg_stat_statements",)]
    count = "SELECT count(*) > 0 FROM pg_stat_statements"
    plain = _restore(story, room, settings)
    with (
        open_copy(story.catalog, plain, settings=settings) as copy,
        connect(copy.address.to(LONG)) as connection,
        pytest.raises(psycopg.Error, match='must be loaded via "shared_preload_libraries"'),
    ):
        connection.execute(count)
    with_library = _restore(story, room, settings, preload=("pg_stat_statements",))
    with (
        open_copy(story.catalog, with_library, settings=settings) as copy,
        connect(copy.address.to(LONG)) as connection,
    ):
        assert connection.execute(count).fetchone() == (True,)


def test_library_that_the_worker_lacks_is_named(
    story: Story, room: Path, settings: WorkerSettings
) -> None:
    with pytest.raises(RecoveryStopped) as stopped:
        _restore(story, room, settings, preload=("timescaledb",))
    assert 'could not access file "timescaledb"' in stopped.value.message
    assert stopped.value.hint.startswith(
        "install this library with the worker's PostgreSQL programs, or take it out of the "
        "policy's database.preload_libraries; the whole log is "
    )
