"""What the tests of base backups share: a catalog in a real bucket, damage, and a plain restore."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import yaml

from include.sandbox.objectstore import REGION, ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.postmaster import Postmaster, running
from ledgerkeep.policy.model import ObjectLock, Policy
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.conftest import ROOT, Cluster

RUN = "test/run"


def make_policy(bucket: str, *, lock: bool = False, max_rate: int | None = None) -> Policy:
    """The development policy, on a test's own bucket."""
    text = (ROOT / "include" / "policies" / "development.yaml").read_text()
    plain = yaml.safe_load(text)
    plain["storage"] |= {"bucket": bucket, "encryption": {"mode": "none"}, "part_size_mib": 5}
    plain["database"]["full_backup"]["max_rate_mib_per_second"] = max_rate
    policy = Policy.model_validate(plain)
    if not lock:
        return policy
    day = timedelta(days=1)
    locked = ObjectLock(mode="GOVERNANCE", backups=day, wal=day, evidence=day)
    storage = policy.storage.model_copy(update={"object_lock": locked})
    return policy.model_copy(update={"storage": storage})


def make_catalog(s3: ObjectStoreServer, policy: Policy) -> Catalog:
    """The policy's catalog, in the test run's object store."""
    access = StoreAccess(
        endpoint_url=s3.endpoint,
        region=REGION,
        access_key=s3.user.access_key,
        secret_key=s3.user.secret_key,
    )
    settings = WorkerSettings(store_encryption="none", store_patience=10)
    return Catalog(open_store(policy.storage, settings, access), policy)


def full_backup(cluster: Cluster, catalog: Catalog, run: str = RUN) -> BaseBackup:
    """Both steps of a full backup."""
    from ledgerkeep.database.postgres.base_backup import Origin
    from ledgerkeep.database.postgres.full_backup import record_backup, take_full_backup

    backup_id = take_full_backup(cluster.address, catalog, origin=Origin(run), progress=no_progress)
    return record_backup(catalog, backup_id, run=run, progress=no_progress)


def incremental_backup(cluster: Cluster, catalog: Catalog, run: str = RUN) -> BaseBackup:
    """Both steps of an incremental backup."""
    from ledgerkeep.database.postgres.base_backup import Origin
    from ledgerkeep.database.postgres.full_backup import record_backup
    from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup

    origin = Origin(run)
    backup_id = take_incremental_backup(
        cluster.address, catalog, origin=origin, progress=no_progress
    )
    return record_backup(catalog, backup_id, run=run, progress=no_progress)


def backup_prefix(backup: BaseBackup) -> str:
    """Where a backup lies."""
    return keys.backup(backup.environment, backup.system_identifier, backup.id)


def damage_a_page(cluster: Cluster) -> str:
    """Make a table whose block 3 is overwritten on disk behind the server's back; its file."""
    cluster.execute("CREATE TABLE loans AS SELECT generate_series(1, 5000) AS id")
    cluster.execute("CHECKPOINT")
    path = cluster.execute("SELECT pg_relation_filepath('loans')")[0][0]
    cluster.stop()
    with (cluster.data / path).open("r+b") as relation:
        relation.seek(8192 * 3 + 4000)
        relation.write(b"garbage!")
    cluster.start()
    return path


def extract_plainly(catalog: Catalog, backup: BaseBackup, data: Path, place: Place) -> None:
    """What a person would do without Ledgerkeep: `cat volumes | zstd -d | tar x`."""
    import zstandard

    locations = []
    for archive in backup.archives:
        target = data
        if archive.tablespace_oid is not None:
            target = data.parent / f"{data.name}.{archive.tablespace_oid}"
            locations.append(f"{archive.tablespace_oid} {target}\n")
        target.mkdir(mode=0o700, exist_ok=True)
        stored = b"".join(catalog.store.get(volume.key) for volume in archive.volumes)
        plain = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True).read()
        subprocess.run(["tar", "x", "-C", str(target)], input=plain, check=True)
        place.account.own(target)
    if locations:
        (data / "tablespace_map").write_text("".join(locations))
    for directory in [data, *data.parent.glob(f"{data.name}.*")]:
        for path in [directory, *directory.rglob("*")]:
            place.account.own(path)


@contextmanager
def restored(
    catalog: Catalog, backup: BaseBackup, room: Path, place: Place
) -> Iterator[Postmaster]:
    """A server on a plainly extracted backup, up and consistent."""
    data = room / "data"
    extract_plainly(catalog, backup, data, place)
    (data / "recovery.signal").unlink(missing_ok=True)
    with running(
        place.programs,
        place.account,
        data,
        sockets=room,
        log=room / "log",
        settings={"archive_mode": "off"},
    ) as server:
        yield server


def ask(server: Postmaster, query: str) -> list[tuple]:
    """The rows of a query on a restored server."""
    with connect(server.address) as connection:
        return connection.execute(query).fetchall()
