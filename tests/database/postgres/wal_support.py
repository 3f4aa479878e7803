"""Clusters with 1 MB segments, copies of them, and catalogs to ship their WAL to."""

import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from zstandard import ZstdDecompressor

from include.sandbox.place import Place
from include.sandbox.ports import free_ports
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, WalStretch
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.ship_wal import ship_wal
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import ObjectStore, StoredObject
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings
from tests.conftest import Cluster, _start, make_cluster
from tests.support.memory_store import MemoryStore

MEGABYTE = 1 << 20
_POLICY = Path(__file__).resolve().parents[3] / "include" / "policies" / "production.yaml"


@contextmanager
def small_cluster(place: Place, **settings: str) -> Iterator[Cluster]:
    """A cluster with segments of 1 MB, so that tests can fill many of them."""
    data = place.servers / f"w{secrets.token_hex(4)}"
    limits = {"max_wal_size": "4MB", "min_wal_size": "2MB", "checkpoint_timeout": "1h"}
    made = make_cluster(place, data, initdb=("--wal-segsize=1",), **{**limits, **settings})
    try:
        yield made
    finally:
        made.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def copy_of(
    source: Cluster, *, standby: bool = False, cold: bool = False, **settings: str
) -> Iterator[Cluster]:
    """A physical copy, started as a primary of its own, or as a streaming standby.

    :param cold: copied while the source is stopped, its slots included.
    """
    place = source.place
    data = place.servers / f"k{secrets.token_hex(4)}"
    data.mkdir(mode=0o700)
    place.account.own(data)
    if cold:
        source.stop()
        subprocess.run(["cp", "-a", f"{source.data}/.", str(data)], check=True)
        source.start()
    else:
        _base_backup(source, data, *(["-R"] if standby else []))
    port = free_ports(1)[0]
    settings = {**source.settings, **settings}
    copied = Cluster(place, data, port, settings, _start(place, data, port, settings))
    try:
        yield copied
    finally:
        copied.stop(immediate=True)
        shutil.rmtree(data, ignore_errors=True)


def _base_backup(source: Cluster, data: Path, *arguments: str) -> None:
    place = source.place
    program = place.programs.path("pg_basebackup")
    conninfo = source.server.address.conninfo()
    subprocess.run(
        place.account.command([program, "-D", str(data), "-c", "fast", "-d", conninfo, *arguments]),
        check=True,
        capture_output=True,
        cwd=place.servers,
    )


def bucket_store(
    endpoint: str, access_key: str, secret_key: str, bucket: str, *, patience: float = 4
) -> S3Store:
    """The bucket behind an endpoint, given up on after a few seconds."""
    storage = catalog_for("any", bucket=bucket).policy.storage
    settings = WorkerSettings(store_encryption="none", store_patience=patience)
    access = StoreAccess(endpoint_url=endpoint, access_key=access_key, secret_key=secret_key)
    return open_store(storage, settings, access)


def catalog_for(slot: str, store: ObjectStore | None = None, **storage: object) -> Catalog:
    """A catalog whose policy ships WAL over `slot`."""
    policy = yaml.safe_load(_POLICY.read_text())
    policy["database"]["wal_shipping"]["slot"] = slot
    policy["storage"].update(storage)
    return Catalog(store or MemoryStore(), Policy.model_validate(policy))


def streaming_catalog(
    slot: str,
    store: ObjectStore | None = None,
    *,
    interval: str = "3s",
    switch_after: str = "1s",
) -> Catalog:
    """A catalog whose policy streams WAL over `slot`."""
    catalog = catalog_for(slot, store)
    policy = catalog.policy.model_dump(mode="json")
    policy["database"]["wal_shipping"] |= {
        "schedule": None,
        "continuous": {"interval": interval, "switch_after": switch_after},
    }
    return Catalog(catalog.store, Policy.model_validate(policy))


class DownStore:
    """A store whose puts fail from some segment on.

    Segments are uploaded side by side; they are counted one at a time.
    """

    def __init__(self, store: object, allowed: int) -> None:
        self._store = store
        self._counting = threading.Lock()
        self.allowed = allowed

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, key: str, body: bytes, **about: object) -> object:
        with self._counting:
            self.count()
        return self._store.put(key, body, **about)

    def count(self) -> None:
        """Take one put from those allowed."""
        if self.allowed == 0:
            raise StoreUnavailable("the store is down", hint="wait")
        self.allowed -= 1


def ship(cluster: Cluster, catalog: Catalog, **how: float) -> list[WalStretch]:
    """One shipping run."""
    return ship_wal(cluster.address, catalog, run="test", **how)


def ship_one(cluster: Cluster, catalog: Catalog) -> WalStretch:
    """One shipping run that records exactly one stretch."""
    stretches = ship(cluster, catalog)
    assert len(stretches) == 1
    return stretches[0]


def write_wal(cluster: Cluster, megabytes: int) -> None:
    """Fill about that many segments."""
    with connect(cluster.address) as connection:
        for _ in range(megabytes):
            connection.execute(
                "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1000000))"
            )


def slot_position(cluster: Cluster, slot: str) -> int:
    """The slot's restart_lsn, as a number."""
    from ledgerkeep.catalog.lsn import parse_lsn

    return parse_lsn(
        cluster.execute(
            f"SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = '{slot}'"
        )[0][0]
    )


def recycle(cluster: Cluster) -> None:
    """Let the server remove the WAL that no slot keeps."""
    cluster.execute("CHECKPOINT")
    cluster.execute("SELECT pg_switch_wal()")
    cluster.execute("CHECKPOINT")


def stored_content(catalog: Catalog, system_identifier: str, name: str) -> bytes:
    """A stored segment, decompressed."""
    key = keys.wal_segment(catalog.environment, system_identifier, name)
    return ZstdDecompressor().decompressobj().decompress(catalog.store.get(key))


def waldump(cluster: Cluster, catalog: Catalog, stretch: WalStretch, *arguments: str) -> str:
    """What pg_waldump reads in the stored segments of a stretch."""
    directory = cluster.place.servers / f"d{secrets.token_hex(4)}"
    directory.mkdir(mode=0o755)
    for name in stored_names(catalog, stretch):
        content = stored_content(catalog, stretch.system_identifier, name)
        (directory / name).write_bytes(content)
    program = cluster.place.programs.path("pg_waldump")
    first, last = stretch.first_segment, stretch.last_segment
    said = subprocess.run(
        [program, *arguments, "-p", str(directory), first, last],
        check=False,
        capture_output=True,
        text=True,
    )
    shutil.rmtree(directory)
    return said.stdout


def stored_names(catalog: Catalog, stretch: WalStretch) -> list[str]:
    """Names of the stored segments of a stretch, in order."""
    found = catalog.wal_names(
        stretch.system_identifier, stretch.timeline, stretch.first_segment, stretch.last_segment
    )
    return [name for name in found if len(name) == 24]


def record_backup(cluster: Cluster, catalog: Catalog) -> BaseBackup:
    """The record of a base backup that starts and ends now (its archives do not matter here)."""
    with connect(cluster.address) as connection:
        server = describe(connection)
    backup = BaseBackup(
        id=f"b-{secrets.token_hex(4)}",
        environment=catalog.environment,
        cluster="c",
        system_identifier=server.system_identifier,
        created_at=utc_now(),
        made_by="test",
        server_version=server.server_version,
        timeline=server.timeline,
        start_lsn=server.lsn,
        stop_lsn=server.lsn,
        started_at=server.clock,
        stopped_at=server.clock,
        next_xid=server.next_xid,
        segment_size=server.segment_size,
        wal_level=server.wal_level,
        data_checksums=True,
        archives=[],
        manifest=StoredObject(key="m", size=0, sha256="0" * 64),
        file_count=0,
        raw_bytes=0,
        stored_bytes=0,
    )
    catalog.commit_backup(backup)
    return backup
