"""Recovery points as they lie in a store: records, and a few bytes for what belongs to them."""

from datetime import datetime, timedelta
from pathlib import Path

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Fingerprint, Proof, WalStretch
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore, Retention
from tests.recovery.samples import SEGMENT, SYSTEM, name

POLICIES = Path(__file__).resolve().parents[2] / "include" / "policies"


def policy_of(environment: str = "production", *, locked: bool = False) -> Policy:
    """A shipped policy, without Object Lock unless a test is about that."""
    policy = load_policy(POLICIES / f"{environment}.yaml")
    if locked:
        return policy
    storage = policy.storage.model_copy(update={"object_lock": None})
    return policy.model_copy(update={"storage": storage})


def catalog_on(store: ObjectStore, *, locked: bool = False) -> Catalog:
    """The production catalog on a store."""
    return Catalog(store, policy_of(locked=locked))


def store_backup(catalog: Catalog, backup: BaseBackup, *, lock: Retention | None = None) -> None:
    """All objects of a backup, its record last."""
    prefix = keys.backup("production", SYSTEM, backup.id)
    for part in ("begun.json", "base.tar.zst.000", "backup_manifest", keys.STREAM):
        catalog.store.put(prefix + part, f"{part} of {backup.id}".encode(), retention=lock)
    catalog.write(prefix + keys.RECOVERY_POINT, backup, lock)


def store_stretch(catalog: Catalog, stretch: WalStretch) -> None:
    """The segments of a stretch, then its record."""
    for number in range(stretch.start_lsn // SEGMENT, stretch.end_lsn // SEGMENT):
        segment = name(number, stretch.timeline)
        catalog.store.put(keys.wal_segment("production", SYSTEM, segment), segment.encode())
    catalog.commit_stretch(stretch)


def store_all(catalog: Catalog, *points: BaseBackup | WalStretch | Fingerprint | Proof) -> None:
    """Recovery points and proofs of any kind."""
    for point in points:
        if isinstance(point, BaseBackup):
            store_backup(catalog, point)
        elif isinstance(point, WalStretch):
            store_stretch(catalog, point)
        elif isinstance(point, Fingerprint):
            catalog.commit_fingerprint(point)
        else:
            catalog.commit_proof(SYSTEM, point)


def keys_of(catalog: Catalog) -> set[str]:
    """What is stored, below the cluster's place."""
    prefix = keys.database("production", SYSTEM)
    return {listed.key.removeprefix(prefix) for listed in catalog.store.list(prefix)}


def in_an_hour() -> datetime:
    """When a lock of the tests ends; stores keep whole seconds."""
    return (utc_now() + timedelta(hours=1)).replace(microsecond=0)
