"""Every supported major version: backup, WAL, recovery, and the proof that it is identical.

Each server is a real one of its version, and so are the programs that bring its copy up: the
worker has all of them, and the backup decides. They are the only servers here that compress (from
16 on) and speak TLS, so they admit nobody without it.
"""

import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Fingerprint
from ledgerkeep.database.postgres.address import ServerAddress, connect, connect_replication
from ledgerkeep.database.postgres.backup_stream import BackupOptions, open_backup_stream
from ledgerkeep.database.postgres.base_backup import Origin
from ledgerkeep.database.postgres.fingerprint import take_fingerprint
from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup
from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError, LedgerkeepError
from ledgerkeep.policy.model import Policy, WalShipping
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.plan import plan_from_catalog
from ledgerkeep.recovery.proof import first_target, prove_copy
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.room import Room
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster, make_cluster
from tests.database.postgres.backup_support import RUN, make_catalog, make_policy
from tests.support.certificates import Authority
from tests.support.postgres_versions import MAJORS, place_with

pytestmark = pytest.mark.integration

_CONTENT = """
CREATE EXTENSION pgcrypto;
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE TABLE loan (id bigint GENERATED ALWAYS AS IDENTITY, due date, about hstore, name text)
    PARTITION BY RANGE (due);
CREATE TABLE loan_2025 PARTITION OF loan FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE loan_2026 PARTITION OF loan FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE INDEX ON loan USING gin (name gin_trgm_ops);
INSERT INTO loan (due, about, name)
SELECT date '2025-01-01' + n % 700, hstore('n', n::text), encode(digest(n::text, 'sha256'), 'hex')
FROM generate_series(1, 3000) AS n;
CREATE MATERIALIZED VIEW loans_by_day AS SELECT due, count(*) FROM loan GROUP BY due;
CREATE TABLE event (name text PRIMARY KEY);
"""


@dataclass
class Story:
    """One cluster of one version, and what is stored of it."""

    source: Cluster
    address: ServerAddress
    catalog: Catalog
    backup: BaseBackup
    latest: BaseBackup
    """What came of asking for an incremental one."""
    fingerprint: Fingerprint


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whom the clients of all these servers trust."""
    return Authority.make("Ledgerkeep test authority")


@pytest.fixture(scope="module", params=MAJORS, ids=str)
def story(
    request: pytest.FixtureRequest,
    place: Place,
    s3: objectstore.ObjectStoreServer,
    authority: Authority,
) -> Iterator[Story]:
    there = place_with(place, request.param)
    data = there.servers / f"m{request.param}"
    source = make_cluster(there, data, initdb=("--wal-segsize=1", "--data-checksums"))
    try:
        address = _with_tls_only(source, authority)
        yield _lived(source, address, s3)
    finally:
        source.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)


def _with_tls_only(source: Cluster, authority: Authority) -> ServerAddress:
    """Let nobody in over TCP without TLS; the address of who checks the server's name."""
    authority.write_server(source.data / "server.crt", source.data / "server.key", "127.0.0.1")
    for name in ("server.crt", "server.key"):
        source.place.account.own(source.data / name)
    (source.data / "pg_hba.conf").write_text(
        "local all all trust\n"
        "hostssl all all 127.0.0.1/32 scram-sha-256\n"
        "hostssl replication all 127.0.0.1/32 scram-sha-256\n"
    )
    with connect(source.server.address) as connection:
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
    trusted = authority.write_certificate(source.data.with_suffix(".ca.crt"))
    options = {"sslmode": "verify-full", "sslrootcert": str(trusted)}
    address = replace(source.address, options=options)
    deadline = time.monotonic() + 30
    while not _answers(address):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return address


@pytest.fixture(scope="module")
def every_version(place: Place) -> WorkerSettings:
    """A worker with the programs of every version."""
    programs = tuple(place_with(place, major).programs.directory for major in MAJORS)
    return WorkerSettings(postgres_programs=programs, rooms=place.rooms)


def _answers(address: ServerAddress) -> bool:
    try:
        connect(address).close()
    except LedgerkeepError:
        return False
    return True


def _lived(source: Cluster, address: ServerAddress, s3: objectstore.ObjectStoreServer) -> Story:
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    catalog = make_catalog(s3, _policy(bucket))
    with connect(address) as connection:
        connection.execute("CREATE DATABASE loans")
    with connect(address.to("loans")) as loans:
        loans.execute(_CONTENT)
        backup_id = take_full_backup(address, catalog, origin=Origin(RUN), progress=no_progress)
        backup = record_backup(catalog, backup_id, run=RUN, progress=no_progress)
        loans.execute("INSERT INTO event VALUES ('first')")
        ship_wal(address, catalog, run=RUN)
        loans.execute("INSERT INTO event VALUES ('second')")
        loans.execute("UPDATE loan SET due = due + 365 WHERE due < '2025-02-01'")
        taken = take_incremental_backup(address, catalog, origin=Origin(RUN), progress=no_progress)
        latest = record_backup(catalog, taken, run=RUN, progress=no_progress)
        loans.execute("UPDATE loan SET name = 'renamed' WHERE id % 100 = 0")
        fingerprint = take_fingerprint(address, catalog, run=RUN)
        loans.execute("DELETE FROM event")
        ship_wal(address, catalog, run=RUN)
    return Story(source, address, catalog, backup, latest, fingerprint)


def _policy(bucket: str) -> Policy:
    policy = make_policy(bucket)
    database = policy.database.model_copy(
        update={
            "databases": ["loans"],
            "wal_shipping": WalShipping(schedule=None, slot="version_tests"),
        }
    )
    return policy.model_copy(update={"database": database})


def test_restored_copy_is_proven_identical_and_then_a_database_of_its_own(
    story: Story, room: Path, every_version: WorkerSettings
) -> None:
    """At the LSN of the fingerprint, without what was deleted later; by its own version."""
    target = first_target(story.fingerprint)
    plan = plan_from_catalog(story.catalog, story.backup.system_identifier, target)
    can_increment = story.source.place.programs.major >= 17
    chain = [story.backup.id, story.latest.id] if can_increment else [story.latest.id]
    assert [one.id for one in plan.chain] == chain
    restore_cluster(story.catalog, plan, room, settings=every_version, run=RUN, purpose="test")
    restored = Room.open(room)
    proof = prove_copy(story.catalog, restored, story.fingerprint, settings=every_version, run=RUN)
    assert proof.level == "proven"
    assert proof.tables_compared == 5  # two partitions, a view, a table, and large objects
    assert proof.rows_compared > 3000
    assert proof.left_out == {}
    with open_copy(story.catalog, restored, settings=every_version) as copy:
        promote_copy(copy)
        with connect(copy.address.to("loans")) as connection:
            names = connection.execute("SELECT name FROM event ORDER BY name").fetchall()
            assert names == [("first",), ("second",)]
            connection.execute("INSERT INTO event VALUES ('on the copy')")
            assert connection.info.server_version == story.backup.server_version


def test_server_compresses_the_stream_where_its_version_is_built_for_it(story: Story) -> None:
    """Else it is compressed here; that both restore is shown above."""
    with open_backup_stream(story.address, BackupOptions("test")) as stream:
        assert stream.compressed == (story.backup.server_version >= 160000)


def test_connection_without_tls_is_refused(story: Story) -> None:
    """So everything above went over TLS."""
    plain = replace(story.address, options={"sslmode": "disable"})
    with pytest.raises(DatabaseAccessDenied, match=r"no pg_hba.conf entry .* no encryption"):
        connect(plain)


def test_server_that_the_authority_does_not_vouch_for_is_refused(
    story: Story, tmp_path: Path
) -> None:
    """Before the password is sent, and for good: no retry makes it right."""
    other = Authority.make("somebody else").write_certificate(tmp_path / "other.crt")
    stranger = replace(story.address, options=story.address.options | {"sslrootcert": str(other)})
    with pytest.raises(DatabaseError) as refused:
        connect(stranger)
    assert not refused.value.retryable
    assert "certificate verify failed" in refused.value.message
    with pytest.raises(DatabaseError, match="certificate verify failed"):
        connect_replication(stranger)


def test_server_of_another_name_is_refused(story: Story) -> None:
    """The certificate is of 127.0.0.1."""
    renamed = replace(story.address, host="localhost")
    with pytest.raises(DatabaseError) as refused:
        connect(renamed)
    assert not refused.value.retryable
    assert refused.value.hint == (
        "sslrootcert must hold the authority that signed the server's certificate, and the "
        "connection's host must be a name in that certificate"
    )
