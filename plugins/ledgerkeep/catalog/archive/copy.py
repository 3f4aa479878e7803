"""The copy itself: from the environment's bucket, through this worker, into the vault.

The two accounts share no credentials, so the bytes pass through here; that is also what lets their
SHA-256 be checked on the way. Each object is created whole or not at all, under the key it has
here, with its hash in its metadata: a later attempt reads that from the head, so it copies nothing
twice, and never has to read an object out of the cold. A backup's record is copied last, so that
in the vault too a backup whose record is there is whole.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Proof
from ledgerkeep.errors import ObjectConflict
from ledgerkeep.progress import Progress
from ledgerkeep.storage.port import ObjectStore, StoredObject
from ledgerkeep.storage.vault import OpenVault

_JSON = "application/json"
_SHA256 = "sha256"


@dataclass(frozen=True)
class Wanted:
    """An object that belongs into the vault."""

    stored: StoredObject
    cold: bool
    """Bulk, which nobody needs at once; records are not."""


@dataclass
class Copied:
    """What a copy did."""

    objects: list[Wanted]
    """Everything that is in the vault now."""
    copied_bytes: int = 0
    """What this attempt sent; the rest was there already."""


def copy_chain(
    catalog: Catalog, vault: OpenVault, chain: list[BaseBackup], progress: Progress
) -> Copied:
    """Copy everything that a restore of the chain's last backup needs, and its proofs.

    :raises ObjectMissing, ObjectCorrupt: an object here is gone, or is not what was recorded.
    :raises ObjectConflict: the vault has other content under the same key.
    """
    total = sum(backup.stored_bytes for backup in chain)
    done = Copied([])
    passed = 0
    for wanted in _objects(catalog, chain):
        if _copy(catalog.store, vault.cold if wanted.cold else vault.records, wanted):
            done.copied_bytes += wanted.stored.size
        done.objects.append(wanted)
        passed += wanted.stored.size
        progress(min(passed, total), total, f"copying to {vault.location}")
    return done


def _objects(catalog: Catalog, chain: list[BaseBackup]) -> Iterator[Wanted]:
    """Everything about the chain, each backup's record after all else of it."""
    for backup in chain:
        for key in _about(catalog, backup):
            yield Wanted(_record(catalog.store, key), cold=False)
        prefix = keys.backup(catalog.environment, backup.system_identifier, backup.id)
        bulk = [volume for archive in backup.archives for volume in archive.volumes]
        bulk.append(backup.manifest)
        known = {stored.key for stored in bulk} | {prefix + keys.RECOVERY_POINT}
        for listed in catalog.store.list(prefix):
            if listed.key not in known:
                yield Wanted(_record(catalog.store, listed.key), cold=False)
        # The record says what there must be; a listing would not miss what has gone.
        for stored in bulk:
            yield Wanted(stored, cold=True)
        yield Wanted(_record(catalog.store, prefix + keys.RECOVERY_POINT), cold=False)


def _about(catalog: Catalog, backup: BaseBackup) -> list[str]:
    """Keys of the proofs, of the fingerprints they refer to, and of the timeline's history."""
    environment, cluster = catalog.environment, backup.system_identifier
    proofs = catalog.read_all(keys.proofs(environment, cluster, backup.id), Proof)
    fingerprints = {proof.fingerprint_id for proof in proofs if proof.fingerprint_id}
    others = [
        *(keys.fingerprint(environment, cluster, one) for one in sorted(fingerprints)),
        keys.wal_history(environment, cluster, backup.timeline),
    ]
    return [
        *(
            listed.key
            for listed in catalog.store.list(keys.proofs(environment, cluster, backup.id))
        ),
        # A fingerprint may have been removed since, and the first timeline has no history.
        *(key for key in others if catalog.store.head(key) is not None),
    ]


def _record(store: ObjectStore, key: str) -> StoredObject:
    """A small object as it is stored; it was hashed when it was written."""
    body = store.get(key)
    return StoredObject(key=key, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def _copy(source: ObjectStore, target: ObjectStore, wanted: Wanted) -> bool:
    """Copy one object; False when the vault has it already."""
    stored = wanted.stored
    there = target.head(stored.key)
    if there is not None:
        found = there.metadata.get(_SHA256, "unknown")
        if (found, there.size) == (stored.sha256, stored.size):
            return False
        raise ObjectConflict(
            f"{target.location}/{stored.key} exists already with other content: "
            f"stored sha256 {found}, here sha256 {stored.sha256}",
            hint="nothing was overwritten; find out who wrote into the vault before anything "
            "else is archived",
        )
    metadata = {_SHA256: stored.sha256}
    kind = "application/octet-stream" if wanted.cold else _JSON
    with target.writer(stored.key, metadata=metadata, content_type=kind) as writer:
        # It raises before the commit when what was read is not what was recorded.
        for chunk in source.read(stored):
            writer.write(chunk)
        writer.commit()
    return True
