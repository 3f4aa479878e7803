"""The catalog: the recovery points of one environment, read from and written to its bucket.

There is no database behind it: the objects are the catalog, so it cannot disagree with what is
stored, and it is there when everything else is gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from pydantic import ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.index import Copy
from ledgerkeep.catalog.models import (
    BackupMethod,
    BaseBackup,
    Checked,
    Fingerprint,
    Proof,
    ProofLevel,
    StreamedBackup,
    WalStretch,
)
from ledgerkeep.catalog.reading import read_copies
from ledgerkeep.errors import CatalogError, RecoveryPointMissing
from ledgerkeep.model import Record, utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore, Retention

R = TypeVar("R", bound=Record)


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
        found = self._records(system_identifier, "backups", BaseBackup)
        return sorted(found, key=lambda backup: backup.stopped_at)

    def unfinished_backups(self, system_identifier: str) -> list[str]:
        """Ids of backups without a record: interrupted, or still running."""
        prefix = keys.backups(self.environment, system_identifier)
        recorded: dict[str, bool] = {}
        for listed in self.store.list(prefix):
            backup_id, _, name = listed.key.removeprefix(prefix).partition("/")
            recorded[backup_id] = recorded.get(backup_id, False) or name == keys.RECOVERY_POINT
        return [backup_id for backup_id, is_recorded in recorded.items() if not is_recorded]

    def streamed_backup(self, system_identifier: str, backup_id: str) -> StreamedBackup | None:
        """What the complete stream of a backup left, recorded since or not; None: no such one."""
        key = keys.backup(self.environment, system_identifier, backup_id) + keys.STREAM
        return None if self.store.head(key) is None else self.read(key, StreamedBackup)

    def stretches(self, system_identifier: str) -> list[WalStretch]:
        """All WAL stretches, in the order of their WAL."""
        found = self._records(system_identifier, "stretches", WalStretch)
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
        found = self._records(system_identifier, "fingerprints", Fingerprint)
        return sorted(found, key=lambda fingerprint: fingerprint.created_at)

    def proofs(self, system_identifier: str) -> dict[str, list[Proof]]:
        """Recovery point id → its proofs, oldest first."""
        found: dict[str, list[Proof]] = {}
        for proof in self._records(system_identifier, "proofs", Proof):
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
        self.write(prefix + keys.RECOVERY_POINT, backup, self.backup_retention(backup.method))

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
        self.write(key, fingerprint, self.retention("wal"))

    def commit_proof(
        self, system_identifier: str, proof: Proof, method: BackupMethod = "full"
    ) -> None:
        """Write what was shown about a backup.

        :param method: of the backup: its proof is locked as long as it is.
        """
        name = f"{proof.shown_at:%Y%m%dT%H%M%S%fZ}-{proof.level}"
        key = keys.proof(self.environment, system_identifier, proof.recovery_point_id, name)
        self.write(key, proof, self.backup_retention(method))

    def commit_checked(self, system_identifier: str, checked: Checked) -> None:
        """Write what was read back; without a lock, since it is removed when it has grown old."""
        key = keys.checked_at(self.environment, system_identifier, checked.at)
        self.write(key, checked, None)

    def backup_retention(self, method: BackupMethod) -> Retention | None:
        """The Object Lock retention the policy asks for on a backup, from now."""
        return self.retention("backups" if method == "full" else "incrementals")

    def retention(self, kind: str) -> Retention | None:
        """The Object Lock retention the policy asks for, from now.

        :param kind: backups (full ones), incrementals, wal or evidence.
        """
        lock = self.policy.storage.object_lock
        if lock is None:
            return None
        lengths: dict[str, timedelta] = {
            "backups": lock.backups,
            "incrementals": lock.of_incrementals,
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
        return self._parse(key, self.store.get(key), kind)

    def read_all(self, prefix: str, kind: type[R]) -> list[R]:
        """Every record below a prefix, in the order of the keys."""
        copies = read_copies(self.store, prefix)
        return [self._parse(key, copy.body, kind) for key, copy in copies.items()]

    def copies(self, system_identifier: str, kind: str) -> dict[str, Copy]:
        """Key → bytes of every record of one kind (see `keys.INDEXED`), with the index's help."""
        prefix = f"{keys.database(self.environment, system_identifier)}{kind}/"
        index_prefix = keys.indexes(self.environment, system_identifier, kind)
        name = f"/{keys.RECOVERY_POINT}" if kind == "backups" else ".json"
        return read_copies(self.store, prefix, name, index_prefix=index_prefix)

    def _records(self, system_identifier: str, name: str, kind: type[R]) -> list[R]:
        copies = self.copies(system_identifier, name)
        # Each copy is let go of when it is parsed: of many records, not all are held twice.
        return [self._parse(key, copies.pop(key).body, kind) for key in list(copies)]

    def _parse(self, key: str, body: bytes, kind: type[R]) -> R:
        try:
            return kind.from_json(body)
        except ValidationError as problem:
            raise CatalogError(
                f"{self.store.location}/{key} is not a {kind.__name__} record: "
                f"{problem.error_count()} fields do not fit",
                hint="was it written by a newer Ledgerkeep? upgrade this worker; "
                "otherwise restore the object's earlier version",
            ) from problem
