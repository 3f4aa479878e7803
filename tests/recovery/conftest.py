"""One history of a real cluster, taken once per test run: backups, WAL, and marks along the way."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.policy.model import Policy, WalShipping
from ledgerkeep.recovery.plan import RecoveryPlan, plan_from_catalog
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster, make_cluster
from tests.database.postgres.backup_support import full_backup, make_catalog, make_policy


@dataclass(frozen=True)
class Mark:
    """The moment right after a row was committed."""

    time: datetime
    lsn: int
    xid: int


@dataclass
class History:
    """What was done to the cluster, and what is stored of it."""

    catalog: Catalog
    s3: objectstore.ObjectStoreServer
    system_identifier: str
    backup: BaseBackup
    marks: dict[str, Mark] = field(default_factory=dict)
    unfinished_xid: int = 0
    """A transaction that was still running when the last WAL was shipped."""

    def plan(self, target: RecoveryTarget, **more: Any) -> RecoveryPlan:
        """A plan from the stored catalog."""
        return plan_from_catalog(self.catalog, self.system_identifier, target, **more)

    @contextmanager
    def replaced(self, key: str, body: bytes | None) -> Iterator[None]:
        """An object with another content under the same metadata for a block; None: gone."""
        client = objectstore.admin_client(self.s3)
        bucket = self.catalog.policy.storage.bucket
        if body is None:
            answer = client.delete_object(Bucket=bucket, Key=key)
        else:
            metadata = client.head_object(Bucket=bucket, Key=key)["Metadata"]
            answer = client.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)
        try:
            yield
        finally:
            client.delete_object(Bucket=bucket, Key=key, VersionId=answer["VersionId"])

    @contextmanager
    def flipped(self, key: str) -> Iterator[None]:
        """An object with one bit in its middle flipped, for a block."""
        client = objectstore.admin_client(self.s3)
        bucket = self.catalog.policy.storage.bucket
        body = bytearray(client.get_object(Bucket=bucket, Key=key)["Body"].read())
        body[len(body) // 2] ^= 1
        with self.replaced(key, bytes(body)):
            yield

    def segment_key(self, name: str) -> str:
        """The key of a stored segment."""
        return keys.wal_segment(self.catalog.environment, self.system_identifier, name)


@pytest.fixture(scope="session")
def history(place: Place, s3: objectstore.ObjectStoreServer) -> Iterator[History]:
    """Rows a to e, a restore point after c, a backup before all of them, WAL of all of them."""
    data = place.servers / f"h{secrets.token_hex(4)}"
    location = place.servers / f"{data.name}.fast"
    source = make_cluster(place, data, initdb=("--wal-segsize=1",), max_connections="150")
    try:
        yield _lived(source, location, s3, place)
    finally:
        source.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(location, ignore_errors=True)


def _lived(
    source: Cluster, location: Path, s3: objectstore.ObjectStoreServer, place: Place
) -> History:
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    catalog = make_catalog(s3, shipping(make_policy(bucket)))
    location.mkdir()
    place.account.own(location)
    source.execute(f"CREATE TABLESPACE fast LOCATION '{location}'")
    source.execute("CREATE TABLE event (name text PRIMARY KEY) TABLESPACE fast")
    source.execute("INSERT INTO event VALUES ('before')")
    source.execute("ALTER SYSTEM SET archive_command = 'false'")
    # A large table, so that killing a restore in the middle of it is no matter of luck.
    source.execute(
        "CREATE TABLE bulk AS SELECT n, md5(n::text) || md5((n + 1)::text) AS filler "
        "FROM generate_series(1, 150000) n"
    )
    backup = full_backup(source, catalog)
    history = History(catalog, s3, backup.system_identifier, backup)
    with connect(source.address, autocommit=False) as unfinished:
        row = unfinished.execute("SELECT pg_current_xact_id()::text").fetchone()
        history.unfinished_xid = int(row[0])
        for name in "abcde":
            history.marks[name] = _commit(source, name)
            if name == "c":
                source.execute("SELECT pg_create_restore_point('release')")
            _fill(source)
            if name in "bde":
                ship_wal(source.address, catalog, run="test")
        unfinished.rollback()
    return history


def shipping(policy: Policy) -> Policy:
    """The policy, with WAL shipping."""
    database = policy.database.model_copy(
        update={"wal_shipping": WalShipping(schedule=None, slot="recovery_tests")}
    )
    return policy.model_copy(update={"database": database})


def _commit(source: Cluster, name: str) -> Mark:
    with connect(source.address, autocommit=False) as connection:
        connection.execute("INSERT INTO event VALUES (%s)", [name])
        xid = connection.execute("SELECT pg_current_xact_id()::text").fetchone()[0]
        connection.commit()
        time, lsn = connection.execute(
            "SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text"
        ).fetchone()
    return Mark(time, parse_lsn(lsn), int(xid))


def _fill(source: Cluster) -> None:
    """A few segments of WAL."""
    for _ in range(3):
        source.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', 1000000))")


@pytest.fixture
def settings(place: Place) -> WorkerSettings:
    """This worker, with the programs of the sandbox."""
    return WorkerSettings(postgres_programs=place.programs.directory, rooms=place.rooms)
