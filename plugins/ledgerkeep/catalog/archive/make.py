"""One archive, from the choice to the record beside the catalog, as a story.

It may be killed at any byte and run again: what is in the vault already is found by its hash, an
archive that was begun this year is gone on with, and one that is complete is looked at again and
left as it is. Nothing in the vault is ever removed from here; the role that writes into it needs
no right to.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from ledgerkeep import __version__
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.choose import Choice, choose
from ledgerkeep.catalog.archive.copy import Wanted, copy_chain
from ledgerkeep.catalog.archive.export import INSTRUCTIONS, SUMS, checksums, instructions
from ledgerkeep.catalog.archive.record import ArchivedObject, YearlyArchive
from ledgerkeep.catalog.archive.seal import check_vault, seal, verify, whole_seconds
from ledgerkeep.catalog.archive.shelf import Shelf, archive_id
from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.model import utc_now
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.port import ObjectStore, Retention, StoredObject
from ledgerkeep.storage.vault import OpenVault


@dataclass(frozen=True)
class ArchiveResult:
    """What a run did for its year."""

    archive: YearlyArchive
    made: bool
    """Whether this run made it; if not, what the vault says about an earlier one still holds."""
    copied_bytes: int
    """What this run sent; more may have been sent by runs that were interrupted."""


def archive_recovery_point(
    catalog: Catalog,
    vault: OpenVault,
    system_identifier: str,
    *,
    run: str,
    recovery_point_id: str | None = None,
    now: datetime | None = None,
    progress: Progress = no_progress,
) -> ArchiveResult:
    """Copy a recovery point into the vault, once a year.

    :param recovery_point_id: this one, also when the year has been archived already.
    :raises StorageError: the vault cannot be used, or does not hold what it was given.
    :raises RecoveryPointMissing, CatalogError: there is nothing to archive; nothing was copied.
    :raises ObjectMissing, ObjectCorrupt: an object is gone here, or damaged; nothing is recorded.
    """
    now = now or utc_now()
    # A bucket that locks nothing is no vault.
    check_vault(vault)

    # A year is archived once; and an archive that was begun is the one to go on with.
    shelf = Shelf(Catalog(vault.records, catalog.policy), system_identifier)
    complete = shelf.completed(now.year, recovery_point_id)
    if complete is not None:
        as_then = replace(vault, encryption=complete.encryption)
        verify(as_then, complete)
        publish(catalog, as_then, shelf, complete)
        return ArchiveResult(complete, made=complete.run == run, copied_bytes=0)

    # Which one, and whether it is worth keeping.
    snapshot = _snapshot(catalog, system_identifier)
    asked = recovery_point_id or _begun(shelf, snapshot, now.year)
    choice = choose(snapshot, recovery_point_id=asked, now=now)
    begun = shelf.begin(choice.backup.id, year=now.year, run=run, at=now)

    # Every byte, hashed on its way; then the lock; then the vault's own word for it.
    copied = copy_chain(catalog, vault, choice.chain, progress)
    until = whole_seconds(utc_now() + vault.locked)
    objects = seal(vault, [begun, *copied.objects], until)

    # Last of all the record: now the archive exists.
    archive = _archive(catalog, choice, vault, objects, until, year=now.year, run=run)
    publish(catalog, vault, shelf, archive)
    return ArchiveResult(archive, made=True, copied_bytes=copied.copied_bytes)


def archives(catalog: Catalog, system_identifier: str) -> list[YearlyArchive]:
    """What of a cluster lies in the vault, oldest first, as the environment's bucket knows it."""
    prefix = keys.archives(catalog.environment, system_identifier)
    found = catalog.read_all(prefix, YearlyArchive)
    return sorted(found, key=lambda archive: archive.archived_at)


def publish(catalog: Catalog, vault: OpenVault, shelf: Shelf, archive: YearlyArchive) -> None:
    """Let the archive exist: its record, the export lists, and what the environment must know.

    All of it is made from the record alone, so it may be done again.
    """
    own = keys.vault_archive(archive.environment, archive.system_identifier, archive.id)
    sums, text = checksums(archive), instructions(archive, own)
    kept = [
        shelf.complete(archive),
        _put_text(vault.records, own + SUMS, sums),
        _put_text(vault.records, own + INSTRUCTIONS, text),
    ]
    seal(vault, [Wanted(stored, cold=False) for stored in kept], archive.locked_until)

    stem = f"{keys.reports(archive.environment)}{archive.archived_at:%Y/%m}/archive-{archive.id}."
    retention = catalog.retention("evidence")
    _put_text(catalog.store, stem + SUMS, sums, retention)
    _put_text(catalog.store, stem + INSTRUCTIONS, text, retention)
    catalog.write(f"{stem}json", archive, retention)
    key = keys.archive_record(archive.environment, archive.system_identifier, archive.id)
    catalog.write(key, archive, retention)


def _snapshot(catalog: Catalog, system_identifier: str) -> CatalogSnapshot:
    """The backups and their proofs; a year's WAL has no part in it."""
    return CatalogSnapshot(
        environment=catalog.environment,
        system_identifier=system_identifier,
        backups=catalog.backups(system_identifier),
        proofs=catalog.proofs(system_identifier),
    )


def _begun(shelf: Shelf, snapshot: CatalogSnapshot, year: int) -> str | None:
    """The recovery point that an interrupted run of this year was copying, if it still exists."""
    known = {backup.id for backup in snapshot.backups}
    return next((begun for begun in shelf.begun(year) if begun in known), None)


def _archive(
    catalog: Catalog,
    choice: Choice,
    vault: OpenVault,
    objects: list[ArchivedObject],
    until: datetime,
    *,
    year: int,
    run: str,
) -> YearlyArchive:
    return YearlyArchive(
        id=archive_id(year, choice.backup.id),
        environment=catalog.environment,
        cluster=choice.backup.cluster,
        system_identifier=choice.backup.system_identifier,
        year=year,
        recovery_point_id=choice.backup.id,
        backup_ids=[backup.id for backup in choice.chain],
        level=choice.level.word,
        findings=choice.findings,
        archived_at=utc_now(),
        run=run,
        made_by=f"ledgerkeep {__version__}",
        location=vault.location,
        storage_class=vault.storage_class,
        encryption=vault.encryption,
        locked_until=until,
        stored_bytes=sum(stored.size for stored in objects),
        objects=objects,
    )


def _put_text(
    store: ObjectStore, key: str, text: bytes, retention: Retention | None = None
) -> StoredObject:
    return store.put(key, text, retention=retention, content_type="text/plain; charset=utf-8")
