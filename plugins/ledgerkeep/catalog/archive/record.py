"""What is written down about a yearly archive."""

from typing import Literal

from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.storage.port import StoredObject

BEGUN = "begun.json"
COMPLETE = "archive.json"
"""An archive's first and last object in the vault, beside each other."""


class ArchivedObject(StoredObject):
    """One object as the vault showed it after it was locked."""

    storage_class: str


class YearlyArchive(Record):
    """A recovery point in the vault: whole, locked, and read back by its metadata.

    Written last, in the vault and then beside the catalog; without it an archive does not exist.
    """

    schema_version: Literal[1] = 1
    id: str
    """Year and recovery point, e.g. `2026-20260102T010000Z-F-1a2b3c4d`."""
    environment: str
    cluster: str
    system_identifier: str
    year: int
    recovery_point_id: str
    backup_ids: list[str]
    """What a restore needs, the full backup first; the last is the recovery point itself."""
    level: Literal["intact", "restored", "validated", "proven"]
    """How far it had been shown to be good when it was archived."""
    findings: list[str]
    """What a person should know about it, as it was known then; empty for a proven full backup."""
    archived_at: UtcDatetime
    run: str
    """The run (`dag_id/run_id`, or `cli`) that completed it."""
    made_by: str
    """Program and version, e.g. `ledgerkeep 0.1.0`."""
    location: str
    """The vault's bucket, e.g. `s3://loan-management-compliance-vault`."""
    storage_class: str
    """Of volumes and manifests; records lie in STANDARD."""
    encryption: str | None
    locked_until: UtcDatetime
    """Object Lock in compliance mode, of every object; until then nobody removes any of them."""
    stored_bytes: int
    objects: list[ArchivedObject]


class ArchiveBegun(Record):
    """The first object of an archive in the vault: an interrupted run goes on with it."""

    schema_version: Literal[1] = 1
    id: str
    recovery_point_id: str
    run: str
    at: UtcDatetime
