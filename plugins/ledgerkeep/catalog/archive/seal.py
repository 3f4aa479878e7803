"""The lock, and the vault's own word for everything that was copied.

The lock comes after the copy, as it does for a backup: what turned out to be broken on the way
must not lie there for seven years. Then each object's head is read, and what the vault says (size,
hash, lock, storage class, encryption) is held against what the policy wants. Only what was read
goes into the record.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from ledgerkeep.catalog.archive.copy import Wanted
from ledgerkeep.catalog.archive.record import ArchivedObject, YearlyArchive
from ledgerkeep.errors import ObjectMissing, StorageError
from ledgerkeep.storage.port import ObjectHead, Retention, StoredObject
from ledgerkeep.storage.vault import OpenVault

_AT_A_TIME = 8
"""Requests under way: each is small and far."""


def check_vault(vault: OpenVault) -> None:
    """Look whether the vault is one, before anything is copied into it.

    :raises BucketMissing, StoreAccessDenied, StoreUnavailable: it cannot be used.
    :raises StorageError: it was made without Object Lock.
    """
    vault.records.check()
    if not vault.records.keeps_locks():
        raise StorageError(
            f"{vault.location} keeps no Object Lock, so it is no vault; nothing was copied",
            hint="switch Object Lock on for the bucket, or correct "
            "database.compliance_archive.vault.bucket in the policy",
        )


def seal(vault: OpenVault, objects: list[Wanted], until: datetime) -> list[ArchivedObject]:
    """Lock every object until then, at least, and read back what the vault holds.

    :raises ObjectMissing, StorageError: the vault does not hold what the policy wants.
    """
    lock = Retention(mode="COMPLIANCE", until=until)
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="vault") as requests:
        return list(requests.map(lambda wanted: _seal(vault, wanted, lock), objects))


def verify(vault: OpenVault, archive: YearlyArchive) -> None:
    """Hold what the vault says now against the record of an archive.

    :raises ObjectMissing, StorageError: it is no longer as it was recorded.
    """
    lock = Retention(mode="COMPLIANCE", until=archive.locked_until)

    def look(one: ArchivedObject) -> None:
        _compare(vault, _head(vault, one.key), one, lock, one.storage_class)

    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="vault") as requests:
        list(requests.map(look, archive.objects))


def whole_seconds(moment: datetime) -> datetime:
    """The moment, or the next full second: a store keeps no fractions of a lock's end."""
    return moment.replace(microsecond=0) + timedelta(seconds=1 if moment.microsecond else 0)


def _seal(vault: OpenVault, wanted: Wanted, lock: Retention) -> ArchivedObject:
    key = wanted.stored.key
    if not _locked(_head(vault, key), lock):
        vault.records.retain(key, lock)
    head = _head(vault, key)
    _compare(vault, head, wanted.stored, lock, vault.storage_class if wanted.cold else "STANDARD")
    return ArchivedObject(**wanted.stored.model_dump(), storage_class=head.storage_class)


def _head(vault: OpenVault, key: str) -> ObjectHead:
    head = vault.records.head(key)
    if head is None:
        raise ObjectMissing(
            f"{vault.location}/{key} was copied and is gone",
            hint="find out who removed it from the vault; then run again",
        )
    return head


def _locked(head: ObjectHead, lock: Retention) -> bool:
    held = head.retention
    return held is not None and held.mode == lock.mode and held.until >= lock.until


def _compare(
    vault: OpenVault, head: ObjectHead, wanted: StoredObject, lock: Retention, storage_class: str
) -> None:
    wrong = list(_deviations(vault, head, wanted, lock, storage_class))
    if wrong:
        raise StorageError(
            f"{vault.location}/{head.key} is not as it has to be: {'; '.join(wrong)}",
            hint="look for a rule of the vault's bucket that changes what is stored there "
            "(lifecycle, default encryption); a lock is only shown to whom s3:GetObjectRetention "
            "is granted; then run again",
        )


def _deviations(
    vault: OpenVault, head: ObjectHead, wanted: StoredObject, lock: Retention, storage_class: str
) -> Iterator[str]:
    if head.size != wanted.size:
        yield f"{head.size} bytes instead of {wanted.size}"
    found = head.metadata.get("sha256")
    if found != wanted.sha256:
        yield f"sha256 {found} instead of {wanted.sha256}"
    if not _locked(head, lock):
        held = head.retention
        shown = f"locked {held.mode} until {held.until.isoformat()}" if held else "not locked"
        yield f"{shown} instead of {lock.mode} until {lock.until.isoformat()}"
    if head.storage_class != storage_class:
        yield f"storage class {head.storage_class} instead of {storage_class}"
    if vault.encryption is not None and head.encryption != vault.encryption:
        yield f"encryption {head.encryption or 'none'} instead of {vault.encryption}"
