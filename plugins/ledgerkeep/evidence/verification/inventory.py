"""Everything that the catalog says is stored, read in one go, with what of it cannot be read.

A recovery stops at a record that is damaged, and rightly so. A verification must not: one record
that cannot be read would hide every other damage. So records are read one by one here, and those
that are not what was written are named beside the ones that are.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup, Checked, Fingerprint, Proof, WalStretch
from ledgerkeep.database.postgres.base_backup import BEGUN, BackupBegun
from ledgerkeep.errors import CatalogError, ObjectCorrupt, ObjectMissing
from ledgerkeep.evidence.verification.share import Stored
from ledgerkeep.model import Record

R = TypeVar("R", bound=Record)

_READERS = 8


@dataclass(frozen=True)
class Unreadable:
    """A record that is not what was written."""

    name: str
    """Of its recovery point, as its key has it."""
    problem: str


@dataclass
class Inventory:
    """One cluster's records."""

    snapshot: CatalogSnapshot
    """Those that can be read."""
    checked: list[Checked] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    @property
    def stored(self) -> list[Stored]:
        """Backups and stretches of WAL with their last reading."""
        return stored_objects(self.snapshot, self.checked)


def take_inventory(catalog: Catalog, system_identifier: str) -> Inventory:
    """Read every record of a cluster.

    :raises StorageError: the store does not answer, or refuses.
    """
    environment, unreadable = catalog.environment, list[Unreadable]()
    backups = keys.backups(environment, system_identifier)
    backup_ids = list(catalog.store.list_directories(backups))

    def read(kind: type[R], found: Iterable[str]) -> list[R]:
        return list(_read_each(catalog, kind, found, unreadable))

    def below(prefix: Callable[[str, str], str]) -> list[str]:
        listed = catalog.store.list(prefix(environment, system_identifier))
        return [one.key for one in listed if one.key.endswith(".json")]

    records = [f"{backups}{one}/{keys.RECOVERY_POINT}" for one in backup_ids]
    recorded = read(BaseBackup, records)
    proofs: dict[str, list[Proof]] = {}
    for proof in sorted(read(Proof, below(keys.proofs)), key=lambda proof: proof.shown_at):
        proofs.setdefault(proof.recovery_point_id, []).append(proof)
    snapshot = CatalogSnapshot(
        environment=environment,
        system_identifier=system_identifier,
        backups=sorted(recorded, key=lambda one: one.stopped_at),
        stretches=sorted(
            read(WalStretch, below(keys.stretches)), key=lambda one: (one.timeline, one.start_lsn)
        ),
        fingerprints=sorted(
            read(Fingerprint, below(keys.fingerprints)), key=lambda one: one.created_at
        ),
        proofs=proofs,
    )
    checked = read(Checked, below(keys.checked))
    return Inventory(snapshot, checked, unreadable)


def readable_snapshot(catalog: Catalog, system_identifier: str) -> CatalogSnapshot:
    """The catalog as it stands; where a record is damaged, what of it can be read.

    For the parts that look at other things than the records: the catalog's own way to read them
    needs far fewer requests.
    """
    try:
        return catalog.snapshot(system_identifier)
    except (ObjectCorrupt, CatalogError):
        return take_inventory(catalog, system_identifier).snapshot


def begun_backups(catalog: Catalog, system_identifier: str) -> list[datetime]:
    """When the backups began that are not recorded: still running, or interrupted."""
    root = keys.backups(catalog.environment, system_identifier)
    wanted = [f"{root}{name}/{BEGUN}" for name in catalog.unfinished_backups(system_identifier)]
    return [one.at for one in _read_each(catalog, BackupBegun, wanted, [])]


def stored_objects(snapshot: CatalogSnapshot, checked: Iterable[Checked]) -> list[Stored]:
    """Backups and stretches with their last reading: a proof, a verification, or the writing.

    Each level of proof includes that every byte was read back. Pure.
    """
    read_at: dict[str, datetime] = {}
    damaged_at: dict[str, datetime] = {}
    for one in checked:
        for names, at in ((one.stretch_ids, read_at), (one.damaged_ids, damaged_at)):
            at.update({name: max(one.at, at.get(name, one.at)) for name in names})
    for name, proofs in snapshot.proofs.items():
        shown = [proof.shown_at for proof in proofs if proof.level != "recorded"]
        if shown:
            read_at[name] = max(shown)
    points: list[BaseBackup | WalStretch] = [*snapshot.backups, *snapshot.stretches]
    return [
        Stored(
            system_identifier=snapshot.system_identifier,
            id=point.id,
            size=max(1, point.stored_bytes),
            objects=_objects(point),
            last_read=max(point.created_at, read_at.get(point.id, point.created_at)),
            damaged=point.id in damaged_at
            and damaged_at[point.id] > read_at.get(point.id, point.created_at),
        )
        for point in points
    ]


def _objects(point: BaseBackup | WalStretch) -> int:
    if isinstance(point, WalStretch):
        return point.segment_count
    return 1 + sum(len(archive.volumes) for archive in point.archives)


def _read_each(
    catalog: Catalog, kind: type[R], wanted: Iterable[str], unreadable: list[Unreadable]
) -> Iterator[R]:
    def attempt(key: str) -> R | Unreadable | None:
        try:
            return catalog.read(key, kind)
        except ObjectMissing:
            return None  # a backup that is not recorded, or a record that has just been removed
        except (ObjectCorrupt, CatalogError) as problem:
            return Unreadable(_name(key), problem.message)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="inventory") as readers:
        for found in readers.map(attempt, wanted):
            if isinstance(found, Unreadable):
                unreadable.append(found)
            elif found is not None:
                yield found


def _name(key: str) -> str:
    """`…/backups/ID/recovery-point.json` and `…/ID.json` alike: the ID."""
    directory, _, name = key.rpartition("/")
    return directory.rpartition("/")[2] if name == keys.RECOVERY_POINT else name[: -len(".json")]
