"""The catalog: the recovery points of one environment, read from and written to its bucket.

There is no database behind it: the objects are the catalog, so it cannot disagree with what is
stored, and it is there when everything else is gone.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from pydantic import ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import (
    BaseBackup,
    Checked,
    Fingerprint,
    Proof,
    ProofLevel,
    StreamedBackup,
    WalStretch,
)
from ledgerkeep.errors import CatalogError, RecoveryPointMissing
from ledgerkeep.model import Record, utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore, Retention

R = TypeVar("R", bound=Record)

_READERS = 8
"""Records that are read at the same time."""


@dataclass(frozen=True)
class CatalogSnapshot:
    """Everything a plan needs to know about one cluster, as plain data."""

    environment: str
    system_identifier: str
    backups: list[BaseBackup] = field(default_factory=list)
    stretches: list[WalStretch] = field(default_factory=list)
    fingerprints: list[Fingerprint] = field(default_factory=list)
    proofs: dict[str, list[Proof]] = field(default_factory=dict)

    def level(self, recovery_point_id: str) -> ProofLevel:
        """The highest level shown for a recovery point."""
        shown = (
            ProofLevel[proof.level.upper()] for proof in self.proofs.get(recovery_point_id, [])
        )
        return max(shown, default=ProofLevel.RECORDED)


class Catalog:
    """The recovery points of one environment."""

    def __init__(self, store: ObjectStore, policy: Policy) -> None:
        self.store = store
        self.policy = policy
        self.environment = policy.environment

    # -- reading

    def system_identifiers(self) -> list[str]:
        """The clusters that have anything stored here."""
        return list(self.store.list_directories(keys.databases(self.environment)))

    def backups(self, system_identifier: str) -> list[BaseBackup]:
        """All base backups that exist (their record is there), oldest first."""
        prefix = keys.backups(self.environment, system_identifier)
        found = []
        for backup_id in self.store.list_directories(prefix):
            key = f"{prefix}{backup_id}/{keys.RECOVERY_POINT}"
            if self.store.head(key) is not None:
                found.append(self.read(key, BaseBackup))
        return sorted(found, key=lambda backup: backup.stopped_at)

    def unfinished_backups(self, system_identifier: str) -> list[str]:
        """Ids of backup directories without a record: interrupted, or still running.

        Some S3-compatible stores go on listing a directory when all in it has been removed, so
        one without any object is none.
        """
        prefix = keys.backups(self.environment, system_identifier)
        return [
            backup_id
            for backup_id in self.store.list_directories(prefix)
            if self.store.head(f"{prefix}{backup_id}/{keys.RECOVERY_POINT}") is None
            and next(self.store.list(f"{prefix}{backup_id}/"), None) is not None
        ]

    def streamed_backup(self, system_identifier: str, backup_id: str) -> StreamedBackup | None:
        """What the complete stream of a backup left, recorded since or not; None: no such one."""
        key = keys.backup(self.environment, system_identifier, backup_id) + keys.STREAM
        return None if self.store.head(key) is None else self.read(key, StreamedBackup)

    def stretches(self, system_identifier: str) -> list[WalStretch]:
        """All WAL stretches, in the order of their WAL."""
        found = self.read_all(keys.stretches(self.environment, system_identifier), WalStretch)
        return sorted(found, key=lambda stretch: (stretch.timeline, stretch.start_lsn))

    def last_stretch(self, system_identifier: str) -> WalStretch | None:
        """The stretch with the newest WAL, reading no other record.

        Their names sort like their WAL: timeline, then first segment.
        """
        prefix = keys.stretches(self.environment, system_identifier)
        timelines = list(self.store.list_directories(prefix))
        if not timelines:
            return None
        newest = max(self.store.list(f"{prefix}{timelines[-1]}/"), key=lambda listed: listed.key)
        return self.read(newest.key, WalStretch)

    def fingerprints(self, system_identifier: str) -> list[Fingerprint]:
        """All fingerprints, oldest first."""
        found = self.read_all(keys.fingerprints(self.environment, system_identifier), Fingerprint)
        return sorted(found, key=lambda fingerprint: fingerprint.created_at)

    def proofs(self, system_identifier: str) -> dict[str, list[Proof]]:
        """Recovery point id → its proofs, oldest first."""
        found: dict[str, list[Proof]] = {}
        for proof in self.read_all(keys.proofs(self.environment, system_identifier), Proof):
            found.setdefault(proof.recovery_point_id, []).append(proof)
        for proofs in found.values():
            proofs.sort(key=lambda proof: proof.shown_at)
        return found

    def checked(self, system_identifier: str) -> list[Checked]:
        """What verifications have read back, oldest first."""
        found = self.read_all(keys.checked(self.environment, system_identifier), Checked)
        return sorted(found, key=lambda checked: checked.at)

    def snapshot(self, system_identifier: str) -> CatalogSnapshot:
        """Everything a plan needs about one cluster."""
        return CatalogSnapshot(
            environment=self.environment,
            system_identifier=system_identifier,
            backups=self.backups(system_identifier),
            stretches=self.stretches(system_identifier),
            fingerprints=self.fingerprints(system_identifier),
            proofs=self.proofs(system_identifier),
        )

    def find_backup(self, backup_id: str) -> BaseBackup:
        """The base backup with that id, whichever cluster it is of.

        :raises RecoveryPointMissing:
        """
        for system_identifier in self.system_identifiers():
            key = keys.backup(self.environment, system_identifier, backup_id) + keys.RECOVERY_POINT
            if self.store.head(key) is not None:
                return self.read(key, BaseBackup)
        raise RecoveryPointMissing(
            f"no recovery point {backup_id} in {self.store.location}/{self.environment}",
            hint=f"list what exists: ledgerkeep list --environment {self.environment}",
        )

    def find_fingerprint(self, fingerprint_id: str) -> Fingerprint:
        """The fingerprint with that id, whichever cluster it is of.

        :raises RecoveryPointMissing:
        """
        for system_identifier in self.system_identifiers():
            key = keys.fingerprint(self.environment, system_identifier, fingerprint_id)
            if self.store.head(key) is not None:
                return self.read(key, Fingerprint)
        raise RecoveryPointMissing(
            f"no fingerprint {fingerprint_id} in {self.store.location}/{self.environment}",
            hint=f"list what exists: ledgerkeep list --environment {self.environment}",
        )

    def wal_names(
        self, system_identifier: str, timeline: int, first: str = "", last: str = ""
    ) -> Iterator[str]:
        """File names stored for a timeline from segment `first` up to `last`, in order."""
        prefix = keys.wal(self.environment, system_identifier, timeline)
        # '/' sorts before every name's next character, so `first` itself is still listed.
        start_after = f"{prefix}{first}" if first else ""
        for listed in self.store.list(prefix, start_after=start_after):
            name = listed.key.removeprefix(prefix).removesuffix(".zst")
            if last and name[:24] > last:
                return
            yield name

    # -- writing

    def commit_backup(self, backup: BaseBackup) -> None:
        """Write the record of a base backup: from now on it exists."""
        prefix = keys.backup(backup.environment, backup.system_identifier, backup.id)
        self.write(prefix + keys.RECOVERY_POINT, backup, self.retention("backups"))

    def commit_stretch(self, stretch: WalStretch) -> None:
        """Write the record of a WAL stretch."""
        key = keys.stretch(
            stretch.environment, stretch.system_identifier, stretch.timeline, stretch.id
        )
        self.write(key, stretch, self.retention("wal"))

    def commit_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Write a fingerprint."""
        key = keys.fingerprint(
            fingerprint.environment, fingerprint.system_identifier, fingerprint.id
        )
        self.write(key, fingerprint, self.retention("backups"))

    def commit_proof(self, system_identifier: str, proof: Proof) -> None:
        """Write what was shown about a recovery point."""
        name = f"{proof.shown_at:%Y%m%dT%H%M%S%fZ}-{proof.level}"
        key = keys.proof(self.environment, system_identifier, proof.recovery_point_id, name)
        self.write(key, proof, self.retention("backups"))

    def commit_checked(self, system_identifier: str, checked: Checked) -> None:
        """Write what was read back; without a lock, since it is removed when it has grown old."""
        key = keys.checked_at(self.environment, system_identifier, checked.at)
        self.write(key, checked, None)

    def retention(self, kind: str) -> Retention | None:
        """The Object Lock retention the policy asks for, from now: backups, wal or evidence."""
        lock = self.policy.storage.object_lock
        if lock is None:
            return None
        lengths: dict[str, timedelta] = {
            "backups": lock.backups,
            "wal": lock.wal,
            "evidence": lock.evidence,
        }
        return Retention(mode=lock.mode, until=utc_now() + lengths[kind])

    # -- records of any kind

    def write(self, key: str, record: Record, retention: Retention | None) -> None:
        """Write one record, once and for all."""
        self.store.put(key, record.to_json(), retention=retention, content_type="application/json")

    def read(self, key: str, kind: type[R]) -> R:
        """One record.

        :raises ObjectMissing, ObjectCorrupt:
        :raises CatalogError: what lies there is no such record.
        """
        try:
            return kind.from_json(self.store.get(key))
        except ValidationError as problem:
            raise CatalogError(
                f"{self.store.location}/{key} is not a {kind.__name__} record: "
                f"{problem.error_count()} fields do not fit",
                hint="was it written by a newer Ledgerkeep? upgrade this worker; "
                "otherwise restore the object's earlier version",
            ) from problem

    def read_all(self, prefix: str, kind: type[R]) -> list[R]:
        """Every record below a prefix; a few requests at a time, since each is small and far."""
        wanted = [item.key for item in self.store.list(prefix) if item.key.endswith(".json")]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="catalog") as readers:
            return list(readers.map(lambda key: self.read(key, kind), wanted))
