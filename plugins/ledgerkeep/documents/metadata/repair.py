"""A finding put right where the bucket still has what the row tells of.

A row says which content its object must have. Where a former version of the object has it, that
version is copied onto the key, as a new version: nothing is removed, and nobody's row is touched.
Where none has, nothing can be decided by a program, and the document is listed for a person.

The plan names each version; it is what a person approves, by its digest. When it is carried out,
row and object are looked at once more: what changed since is left alone. So it can be killed and
run again: what is right already is not copied twice.

Public: `plan_repair(bucket, catalog, check) -> RepairPlan`,
`repair(address, bucket, catalog, plan) -> Repaired`.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata.check import settings_of
from ledgerkeep.documents.metadata.content import COLD_CLASSES, ContentReader, is_sha256
from ledgerkeep.documents.metadata.doubt import newest_version
from ledgerkeep.documents.metadata.merge import REPAIRABLE
from ledgerkeep.documents.metadata.rows import DocumentRow, find_rows
from ledgerkeep.documents.metadata.snapshot import (
    FINDINGS,
    MetadataCheck,
    open_lines,
    read_lines,
)
from ledgerkeep.documents.recovery.belongings import needs_head
from ledgerkeep.documents.recovery.copying import Copier
from ledgerkeep.documents.recovery.decide import PlannedKey
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.errors import ObjectConflict, ObjectCorrupt, ObjectMissing
from ledgerkeep.model import Record
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.storage.versions import ObjectVersion, list_versions

REPAIRS, PERSONS = "repairs.zst", "persons.zst"
_NAMED = 20
_BATCH = 500
_EVERYTHING = 2**62


class RepairPlan(Record):
    """What will be put back, and what is left to a person."""

    check: str
    """Key of the check's record."""
    repairs: StoredObject
    """Lines: key, row, version to put back, newest version then."""
    repair_count: int
    repair_bytes: int
    persons: StoredObject
    """Lines: kind, key, row, why."""
    person_count: int
    first_repairs: list[str]
    first_persons: list[str]

    def describe(self) -> str:
        """The plan as Markdown, for whoever approves it."""
        more = self.repair_count - len(self.first_repairs)
        return "\n".join(
            [
                f"**{self.repair_count} documents** ({self.repair_bytes} bytes) get back the "
                "version whose SHA-256 their row holds, as a new version. Nothing is removed, and "
                f"no row is changed. {self.person_count} findings are left to a person.",
                "",
                *(f"- `{line}`" for line in self.first_repairs),
                *([f"- and {more} more, in {self.repairs.key}"] if more else []),
            ]
        )


class Repaired(Record):
    """What became of a plan."""

    counts: dict[str, int]
    """restored; right (already); row changed, object changed (since the plan: left alone)."""
    restored_bytes: int


def plan_repair(
    bucket: Bucket, catalog: Catalog, check: MetadataCheck, *, progress: Progress = no_progress
) -> RepairPlan:
    """Look for the version that each finding's row tells of.

    :param progress: told findings, not bytes.
    :raises StorageError:
    """
    contents = ContentReader(bucket, read_limit=_EVERYTHING)
    place = check.findings.key.removesuffix(FINDINGS)
    repairs, persons = _List(), _List()
    size = 0
    with ExitStack() as stack:
        # A plan that is made again may find other versions, so each has a name of its own.
        tag = secrets.token_hex(4)
        repair_lines = open_lines(stack, catalog.store, f"{place}{tag}-{REPAIRS}")
        person_lines = open_lines(stack, catalog.store, f"{place}{tag}-{PERSONS}")
        for number, line in enumerate(read_lines(catalog.store, check.findings)):
            progress(number, sum(check.found.values()), "findings")
            kind, key, row = line[0], line[1], line[2]
            version, why = _version(contents, kind, key, row)
            if version is None:
                person_lines.add([kind, key, row, why])
                persons.add(f"{kind}: {key!r}: {why}")
                continue
            named = [version.version_id, version.size, version.etag]
            repair_lines.add([key, row, named, _id_of(newest_version(bucket, key))])
            repairs.add(f"{key!r}: version {version.version_id} of {version.modified_at:%F %T}Z")
            size += version.size
        return RepairPlan(
            check=place,
            repairs=repair_lines.commit(),
            repair_count=repairs.count,
            repair_bytes=size,
            persons=person_lines.commit(),
            person_count=persons.count,
            first_repairs=repairs.first,
            first_persons=persons.first,
        )


def repair(
    address: ServerAddress,
    bucket: Bucket,
    catalog: Catalog,
    plan: RepairPlan,
    *,
    progress: Progress = no_progress,
) -> Repaired:
    """Put back what the plan names, where row and object are still as they were.

    :param progress: told documents, not bytes.
    :raises ObjectCorrupt: what was put back does not have the row's SHA-256.
    :raises DatabaseError, StorageError: run it again; what was put back stays.
    """
    _, table = settings_of(catalog.policy)
    contents = ContentReader(bucket, read_limit=_EVERYTHING)
    copier = Copier(Route(bucket, bucket), asks_head=needs_head(bucket, bucket))
    counts: Counter[str] = Counter()
    restored = 0
    for batch in _batches(read_lines(catalog.store, plan.repairs)):
        rows = find_rows(address, table, [line[0] for line in batch])
        for key, planned, (version_id, size, etag), newest_id in batch:
            row = DocumentRow(*planned)
            wanted = PlannedKey(key, "copy", "", version_id, size, etag)
            what = _put_back(contents, copier, rows[key], row, wanted, newest_id)
            counts[what] += 1
            restored += (row.size or 0) if what == "restored" else 0
            progress(sum(counts.values()), plan.repair_count, "documents put back")
    return Repaired(counts=dict(counts), restored_bytes=restored)


class _List:
    """How many, and the first of them in words."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, words: str) -> None:
        self.count += 1
        if len(self.first) < _NAMED:
            self.first.append(words)


def find_version(contents: ContentReader, key: str, sha256: str, size: int) -> ObjectVersion | None:
    """The newest version of a key with that content.

    :raises StorageError:
    """
    for version in list_versions(contents.bucket, key):
        if version.key != key:
            return None
        if version.is_delete_marker or version.size != size:
            continue
        try:
            if contents.content(version).sha256 == sha256:
                return version
        except ObjectMissing:
            continue  # removed since it was listed
    return None


def _version(
    contents: ContentReader, kind: str, key: str | None, row: Sequence[Any] | None
) -> tuple[ObjectVersion | None, str]:
    """The version to put back; None, and why there is none."""
    if kind not in REPAIRABLE or key is None or row is None:
        return None, "only a person can tell which is right"
    sha256, size = row[2], row[3]
    if not is_sha256(sha256) or size is None:
        return None, "the row does not say which content it must have"
    found = find_version(contents, key, sha256, size)
    if found is None:
        return None, "no version of the object has the row's content"
    if found.storage_class in COLD_CLASSES:
        return None, f"version {found.version_id} has it, in cold storage: use document_recovery"
    return found, ""


def _put_back(
    contents: ContentReader,
    copier: Copier,
    rows: Sequence[DocumentRow],
    planned: DocumentRow,
    wanted: PlannedKey,
    newest_id: str | None,
) -> str:
    """Copy one version onto its key; says what was done."""
    key, bucket = wanted.key, contents.bucket
    row = next((row for row in rows if row.id == planned.id), None)
    if row is None or (row.sha256, row.size) != (planned.sha256, planned.size):
        return "row changed"
    newest = newest_version(bucket, key)
    if _id_of(newest) != newest_id:
        return "right" if _sha256(contents, newest) == row.sha256 else "object changed"
    try:
        copier.copy(wanted, newest)
    except ObjectConflict:
        return "object changed"
    if _sha256(contents, newest_version(bucket, key)) != row.sha256:
        raise ObjectCorrupt(
            f"{bucket.location}/{key} was put back, but does not have the SHA-256 {row.sha256}",
            hint="its former versions are untouched; compare them by hand",
        )
    return "restored"


def _id_of(version: ObjectVersion | None) -> str | None:
    return version.version_id if version is not None else None


def _sha256(contents: ContentReader, version: ObjectVersion | None) -> str | None:
    if version is None or version.is_delete_marker:
        return None
    return contents.content(version).sha256


def _batches(lines: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        yield batch
