"""A cluster that lived through a full backup and three incrementals, under write load."""

import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Fingerprint
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.fingerprint import take_fingerprint
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.policy.model import IncrementalBackup
from tests.conftest import Cluster, make_cluster
from tests.database.postgres.backup_support import (
    full_backup,
    incremental_backup,
    make_catalog,
    make_policy,
)
from tests.recovery.conftest import History, shipping

DATABASES = ["ledger", "born"]


@dataclass
class Chain(History):
    """A full backup and the incrementals on it, oldest first; then a fingerprint, then WAL."""

    members: tuple[BaseBackup, ...] = ()
    fingerprint: Fingerprint | None = None


@contextmanager
def lived_through_a_chain(place: Place, s3: objectstore.ObjectStoreServer) -> Iterator[Chain]:
    """The cluster runs for the block, but nothing needs it any more."""
    data = place.servers / f"i{secrets.token_hex(4)}"
    location = place.servers / f"{data.name}.fast"
    source = make_cluster(place, data, initdb=("--wal-segsize=1",), max_wal_size="64MB")
    try:
        yield _lived(source, location, s3)
    finally:
        source.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)
        shutil.rmtree(location, ignore_errors=True)


def _lived(source: Cluster, location: Path, s3: objectstore.ObjectStoreServer) -> Chain:
    catalog = _catalog(s3)
    location.mkdir()
    source.place.account.own(location)
    source.execute(f"CREATE TABLESPACE fast LOCATION '{location}'")
    source.execute("CREATE DATABASE ledger")
    source.execute("CREATE DATABASE doomed")
    source.execute("CREATE TABLE nothing (n int)", "doomed")
    source.execute(
        "CREATE TABLE lines AS SELECT n AS id, 0 AS version, md5(n::text) AS filler "
        "FROM generate_series(1, 60000) n",
        "ledger",
    )
    source.execute("CREATE UNIQUE INDEX ON lines (id)", "ledger")
    source.execute("CREATE TABLE fast (n int) TABLESPACE fast", "ledger")
    source.execute("CREATE TABLE shrunk AS SELECT generate_series(1, 30000) n", "ledger")
    source.execute("CREATE TABLE still AS SELECT generate_series(1, 30000) n", "ledger")
    with _write_load(source):
        members = [full_backup(source, catalog)]
        source.execute("INSERT INTO fast SELECT generate_series(1, 5000)", "ledger")
        members.append(incremental_backup(source, catalog))
        source.execute("DELETE FROM shrunk WHERE n > 9000", "ledger")
        source.execute("VACUUM shrunk", "ledger")
        source.execute("DROP DATABASE doomed")
        source.execute("CREATE DATABASE born STRATEGY file_copy")
        source.execute("CREATE TABLE first AS SELECT generate_series(1, 3000) n", "born")
        members.append(incremental_backup(source, catalog))
        source.execute("INSERT INTO shrunk SELECT generate_series(1, 15000)", "ledger")
        source.execute("UPDATE first SET n = n + 1 WHERE n < 50", "born")
        source.execute("CREATE TABLE second TABLESPACE fast AS SELECT 1 AS n", "born")
        members.append(incremental_backup(source, catalog))
        fingerprint = take_fingerprint(source.address, catalog, run="test")
    ship_wal(source.address, catalog, run="test")
    last = members[-1]
    return Chain(
        catalog,
        s3,
        last.system_identifier,
        last,
        members=tuple(members),
        fingerprint=fingerprint,
    )


def _catalog(s3: objectstore.ObjectStoreServer) -> Catalog:
    bucket = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, bucket)
    policy = shipping(make_policy(bucket))
    database = policy.database.model_copy(
        update={"databases": DATABASES, "incremental_backup": IncrementalBackup(schedule=None)}
    )
    return make_catalog(s3, policy.model_copy(update={"database": database}))


@contextmanager
def _write_load(source: Cluster) -> Iterator[None]:
    """Rows change all the time, here and there in the table."""
    over = threading.Event()

    def write() -> None:
        step = 0
        with connect(source.address.to("ledger")) as connection:
            while not over.wait(0.005):
                step += 1
                far = step * 7919 % 60000
                connection.execute(
                    "UPDATE lines SET version = version + 1 WHERE id IN (%s, %s)", [step, far]
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()
