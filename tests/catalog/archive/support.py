"""Backups of a few kilobytes, stored as real ones are, and a vault in memory."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.sandbox.objectstore import ObjectStore as Server
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.make import ArchiveResult, archive_recovery_point
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import Archive, BaseBackup, Fingerprint, Proof
from ledgerkeep.policy.load import load_environment
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import ObjectStore, StoredObject
from ledgerkeep.storage.vault import OpenVault
from ledgerkeep.worker import WorkerSettings
from tests.conftest import ROOT
from tests.recovery import samples
from tests.recovery.samples import NOON, SYSTEM
from tests.support.memory_store import MemoryStore

RUN = "production_compliance_archive/manual__1"
NOW = NOON + timedelta(days=30)
YEARS = timedelta(days=2555)


def own_catalog(store: ObjectStore | None = None) -> Catalog:
    """The production catalog, empty, in memory unless said otherwise."""
    policy = load_environment("production", ROOT / "include" / "policies")
    return Catalog(store or MemoryStore("ours"), policy)


def real_catalog(server: Server, bucket: str) -> Catalog:
    """The same catalog in a bucket of a real store."""
    policy = own_catalog().policy
    storage = policy.storage.model_copy(
        update={"bucket": bucket, "object_lock": None, "part_size_mib": 5}
    )
    access = StoreAccess(
        server.endpoint, access_key=server.user.access_key, secret_key=server.user.secret_key
    )
    settings = WorkerSettings(store_encryption="none", store_patience=5)
    store = open_store(storage, settings, access)
    return Catalog(store, policy.model_copy(update={"storage": storage}))


def memory_vault() -> tuple[MemoryStore, OpenVault]:
    """A vault in memory: what lies in it, and how it is opened."""
    cold = MemoryStore("vault", storage_class="DEEP_ARCHIVE")
    records = MemoryStore("vault")
    records.objects = cold.objects
    return records, OpenVault(cold, records, "DEEP_ARCHIVE", None, YEARS)


def volume(backup_id: str, number: int) -> str:
    """Key of a volume."""
    prefix = keys.backup("production", SYSTEM, backup_id)
    return f"{prefix}base.tar.zst.{number:05d}"


def stored_backup(
    catalog: Catalog,
    name: str,
    *,
    day: float = 0,
    level: str = "proven",
    parent_id: str | None = None,
    damaged: bool = False,
    size: int = 3000,
) -> BaseBackup:
    """A backup of two volumes that ended `day` days after noon, with all that lies beside it."""
    prefix = keys.backup("production", SYSTEM, name)
    put = catalog.store.put
    put(f"{prefix}begun.json", b'{"begun":true}')
    volumes = [put(volume(name, number), _body(f"{name}{number}", size)) for number in (1, 2)]
    manifest = put(f"{prefix}backup_manifest", _body(f"{name}m", 500))
    made = samples.backup(name, stop=3, at=day * 24 * 60).model_copy(
        update={
            "archives": [Archive(tablespace_oid=None, location=None, raw_bytes=1, volumes=volumes)],
            "manifest": manifest,
            "stored_bytes": 2 * size + 500,
            "method": "incremental" if parent_id else "full",
            "parent_id": parent_id,
            "page_checksum_failures": ["block 3 of base/5/16384"] if damaged else [],
        }
    )
    put(prefix + keys.STREAM, b'{"stream":true}')
    catalog.commit_backup(made)
    if level != "recorded":
        prove(catalog, name, level, at=made.stopped_at)
    return made


def prove(catalog: Catalog, name: str, level: str, *, at: datetime, **about: str) -> None:
    """Record that a backup has reached a level."""
    proof = Proof(recovery_point_id=name, level=level, shown_at=at, run="test/1", **about)
    catalog.commit_proof(SYSTEM, proof)


def fingerprint(catalog: Catalog, name: str) -> str:
    """A stored fingerprint; its key."""
    catalog.commit_fingerprint(
        Fingerprint(
            id=name,
            environment="production",
            cluster="loans",
            system_identifier=SYSTEM,
            created_at=NOON,
            made_by="test",
            timeline=1,
            databases=[],
            next_xid=1,
        )
    )
    return keys.fingerprint("production", SYSTEM, name)


def archive(
    catalog: Catalog,
    vault: OpenVault,
    *,
    recovery_point_id: str | None = None,
    run: str = RUN,
    now: datetime = NOW,
    progress: Progress = no_progress,
) -> ArchiveResult:
    """One run of the archive."""
    return archive_recovery_point(
        catalog,
        vault,
        SYSTEM,
        run=run,
        recovery_point_id=recovery_point_id,
        now=now,
        progress=progress,
    )


def _body(seed: str, size: int) -> bytes:
    """Bytes that differ from object to object."""
    block = hashlib.sha256(seed.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@dataclass
class Counting:
    """An object store that counts what it creates, and may be cut off after so many objects."""

    store: ObjectStore
    ends_after: int = 1_000_000
    created: list[str] | None = None

    def __post_init__(self) -> None:
        self.created = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def put(self, key: str, *rest: object, **about: object) -> StoredObject:
        """Create, and remember."""
        self._count(key)
        return self.store.put(key, *rest, **about)

    def writer(self, key: str, **about: object) -> object:
        """Create, and remember."""
        self._count(key)
        return self.store.writer(key, **about)

    def _count(self, key: str) -> None:
        if len(self.created) >= self.ends_after:
            raise KeyboardInterrupt
        self.created.append(key)
