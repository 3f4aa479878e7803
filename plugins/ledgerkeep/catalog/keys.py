"""Where things lie in the bucket: every key is made here.

    {environment}/database/{system_identifier}/
        backups/{backup_id}/…                begun.json first, archives, backup_manifest,
                                             stream.json when all of them are stored,
                                             recovery-point.json last
        wal/{timeline}/{segment}.zst         segments, .partial; {timeline}.history
        stretches/{timeline}/{stretch_id}.json
        fingerprints/{fingerprint_id}.json
        proofs/{recovery_point_id}/{time}-{level}.json
        holds/{hold_id}.json                 and {hold_id}.released.json when it has ended
        deployments/{deployment_id}.verified.json
        archives/{archive_id}.json           what was copied to the vault; in the vault itself
                                             archives/{archive_id}/ with begun.json first and
                                             archive.json last
        checked/{time}.json                  which stretches of WAL were read back then
        removals/{time}.json                 what retention set out to remove then, and why
        index/{kind}/{sha256}.zst            a copy of many records, to read them at once
    {environment}/documents/
        metadata/{time}/…                    rows.zst, changes.zst, findings.zst; check.json last
        replica/{time}/…                     {shard}-{time}.jsonl: what differs; missing-{time}.csv
        moments/{time}/…                     manifest.zst, findings.zst; moment.json last
        differences/{time}/…                 rows.zst: a restored copy's rows against production's
    {environment}/configuration/
        {source}/{version_id}/               items.zst, sealed; recovery-point.json last;
                                             proofs/{time}-{level}.json: what was shown of it
        attachments/{source}/{name}          what is too large for an item, such as git bundles
        hash-key                             the key of the secrets' marks, sealed
        recoveries/{recovery_id}/            plan.json, plan.md; recovery.json last;
                                             journal/{attempt}/{entry}.json
        places/{label}/place.json            isolated places of restore tests, while they are there
    {environment}/evidence/…
    {environment}/reports/…

WAL stretches and fingerprints are one object each, so the object itself is their
`recovery-point.json`; they lie apart from the segments so that listing them stays cheap.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from ledgerkeep.catalog.lsn import is_segment_name

RECOVERY_POINT = "recovery-point.json"
STREAM = "stream.json"
"""Beside a base backup: what its stream stored, for whoever reads it back."""
INDEXED = ("backups", "stretches", "fingerprints", "proofs")
"""The kinds of records of which there may be many."""


def databases(environment: str) -> str:
    """Prefix below which each protected cluster has its directory."""
    return f"{environment}/database/"


def database(environment: str, system_identifier: str) -> str:
    """Prefix of one protected cluster."""
    return f"{databases(environment)}{system_identifier}/"


def _kind(directory: str) -> Callable[[str, str], str]:
    """(environment, system identifier) → prefix of everything of one kind."""
    return lambda environment, system_identifier: (
        f"{database(environment, system_identifier)}{directory}/"
    )


# -- all of a kind

backups = _kind("backups")
"""Prefix of the base backups."""
wal_timelines = _kind("wal")
"""Prefix below which each timeline has its directory of WAL."""
stretches = _kind("stretches")
"""Prefix of the WAL stretches."""
fingerprints = _kind("fingerprints")
"""Prefix of the fingerprints."""
holds = _kind("holds")
"""Prefix of the holds, and of what ends legal ones."""
deployments = _kind("deployments")
"""Prefix of what is known about deployments."""
checked = _kind("checked")
"""Prefix of what verifications have read back."""
archives = _kind("archives")
"""Prefix of what is known about yearly archives, here and in the vault."""
removals = _kind("removals")
"""Prefix of what retention set out to remove."""


# -- one of it


def backup(environment: str, system_identifier: str, backup_id: str) -> str:
    """Prefix of one base backup."""
    return f"{backups(environment, system_identifier)}{backup_id}/"


def wal(environment: str, system_identifier: str, timeline: int) -> str:
    """Prefix of one timeline's WAL."""
    return f"{wal_timelines(environment, system_identifier)}{timeline:08X}/"


def wal_segment(environment: str, system_identifier: str, name: str) -> str:
    """Key of a segment or a `.partial`, by its file name (the timeline leads it)."""
    return f"{wal(environment, system_identifier, int(name[:8], 16))}{name}.zst"


def wal_history(environment: str, system_identifier: str, timeline: int) -> str:
    """Key of a timeline history file (stored as it is: it is tiny)."""
    return f"{wal(environment, system_identifier, timeline)}{timeline:08X}.history"


def stretch(environment: str, system_identifier: str, timeline: int, stretch_id: str) -> str:
    """Key of one WAL stretch."""
    return f"{stretches(environment, system_identifier)}{timeline:08X}/{stretch_id}.json"


def fingerprint(environment: str, system_identifier: str, fingerprint_id: str) -> str:
    """Key of one fingerprint."""
    return f"{fingerprints(environment, system_identifier)}{fingerprint_id}.json"


def records(environment: str, system_identifier: str, point_id: str) -> list[str]:
    """Where the record of an id lies, as a backup, a fingerprint or a stretch of WAL."""
    found = [
        backup(environment, system_identifier, point_id) + RECOVERY_POINT,
        fingerprint(environment, system_identifier, point_id),
    ]
    if is_segment_name(point_id[:24]):
        found.append(stretch(environment, system_identifier, int(point_id[:8], 16), point_id))
    return found


def proofs(environment: str, system_identifier: str, recovery_point_id: str = "") -> str:
    """Prefix of the proofs, of all or of one recovery point."""
    base = f"{database(environment, system_identifier)}proofs/"
    return f"{base}{recovery_point_id}/" if recovery_point_id else base


def proof(environment: str, system_identifier: str, recovery_point_id: str, name: str) -> str:
    """Key of one proof."""
    return f"{proofs(environment, system_identifier, recovery_point_id)}{name}.json"


def hold(environment: str, system_identifier: str, hold_id: str) -> str:
    """Key of a legal hold."""
    return f"{holds(environment, system_identifier)}{hold_id}.json"


def hold_release(environment: str, system_identifier: str, hold_id: str) -> str:
    """Key of what ends a legal hold."""
    return f"{holds(environment, system_identifier)}{hold_id}.released.json"


def deployment_verified(environment: str, system_identifier: str, deployment_id: str) -> str:
    """Key of the record that a deployment was verified; ids are checked before they come here."""
    return f"{deployments(environment, system_identifier)}{deployment_id}.verified.json"


def checked_at(environment: str, system_identifier: str, at: datetime) -> str:
    """Key of what was read back up to a moment; the keys sort like the moments."""
    return f"{checked(environment, system_identifier)}{_moment(at)}.json"


def archive_record(environment: str, system_identifier: str, archive_id: str) -> str:
    """Key of the record, in the environment's own bucket, of an archive in the vault."""
    return f"{archives(environment, system_identifier)}{archive_id}.json"


def vault_archive(environment: str, system_identifier: str, archive_id: str) -> str:
    """Prefix, in the vault, of what describes one archive; the copy lies where it lay here."""
    return f"{archives(environment, system_identifier)}{archive_id}/"


def removal(environment: str, system_identifier: str, at: datetime) -> str:
    """Key of what retention set out to remove at a moment; the keys sort like the moments."""
    return f"{removals(environment, system_identifier)}{_moment(at)}.json"


def indexes(environment: str, system_identifier: str, kind: str) -> str:
    """Prefix of the copies of all records of one kind (see `INDEXED`)."""
    return f"{database(environment, system_identifier)}index/{kind}/"


def metadata_checks(environment: str) -> str:
    """Prefix of the comparisons of document rows with objects."""
    return f"{environment}/documents/metadata/"


def metadata_check(environment: str, at: datetime) -> str:
    """Prefix of one comparison; they sort like their moments."""
    return f"{metadata_checks(environment)}{_moment(at)}/"


def replica_check(environment: str, at: datetime) -> str:
    """Prefix of one comparison of the documents with their replica."""
    return f"{environment}/documents/replica/{_moment(at)}/"


def replica_differences(environment: str, at: datetime, shard: int, written: datetime) -> str:
    """Key of what differs in one range of keys; a shard that is compared anew has a new one."""
    return f"{replica_check(environment, at)}{shard:04d}-{_moment(written)}.jsonl"


def replica_missing(environment: str, at: datetime, written: datetime) -> str:
    """Key of the list of what is missing in a replica, as S3 Batch Operations reads it."""
    return f"{replica_check(environment, at)}missing-{_moment(written)}.csv"


def document_moment(environment: str, at: datetime) -> str:
    """Prefix of one comparison of a restored copy's rows with the objects of its moment."""
    return f"{environment}/documents/moments/{_moment(at)}/"


def row_difference(environment: str, at: datetime) -> str:
    """Prefix of one comparison of a restored copy's document rows with production's."""
    return f"{environment}/documents/differences/{_moment(at)}/"


def configuration(environment: str) -> str:
    """Prefix of everything about configuration."""
    return f"{environment}/configuration/"


def configuration_versions(environment: str, source: str) -> str:
    """Prefix of the stored versions of one source."""
    return f"{configuration(environment)}{source}/"


def configuration_version(environment: str, source: str, version_id: str) -> str:
    """Prefix of one version; they sort like their moments."""
    return f"{configuration_versions(environment, source)}{version_id}/"


def configuration_attachments(environment: str, source: str) -> str:
    """Prefix of what belongs to items of one source, in this or that version."""
    return f"{configuration(environment)}attachments/{source}/"


def configuration_proofs(environment: str, source: str, version_id: str) -> str:
    """Prefix of what was shown of one version."""
    return f"{configuration_version(environment, source, version_id)}proofs/"


def configuration_proof(
    environment: str, source: str, version_id: str, at: datetime, level: str
) -> str:
    """Key of one proof of a version; they sort like their moments."""
    return f"{configuration_proofs(environment, source, version_id)}{_moment(at)}-{level}.json"


def configuration_recoveries(environment: str) -> str:
    """Prefix of the recoveries of configuration."""
    return f"{configuration(environment)}recoveries/"


def configuration_recovery(environment: str, recovery_id: str) -> str:
    """Prefix of one recovery of configuration, plan and journal; they sort like their moments."""
    return f"{configuration_recoveries(environment)}{recovery_id}/"


def configuration_rollback(environment: str, rollback_id: str) -> str:
    """Prefix of one rollback of services: its plan, and what was deployed."""
    return f"{configuration(environment)}rollbacks/{rollback_id}/"


def configuration_places(environment: str) -> str:
    """Prefix of what is noted of the isolated places of restore tests."""
    return f"{configuration(environment)}places/"


def configuration_place(environment: str, label: str) -> str:
    """Prefix of the note of one isolated place."""
    return f"{configuration_places(environment)}{label}/"


def configuration_hash_key(environment: str) -> str:
    """Key of the sealed key that secrets are marked with."""
    return f"{configuration(environment)}hash-key"


def evidence(environment: str) -> str:
    """Prefix of the evidence."""
    return f"{environment}/evidence/"


def reports(environment: str) -> str:
    """Prefix of the reports."""
    return f"{environment}/reports/"


def _moment(at: datetime) -> str:
    """A moment as a name: names sort like their moments."""
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"


def document_recoveries(environment: str) -> str:
    """Prefix of what is written down about recoveries of documents."""
    return f"{environment}/documents/recoveries/"


def document_recovery(environment: str, recovery_id: str) -> str:
    """Prefix of one recovery of documents: plan, journal and report."""
    return f"{document_recoveries(environment)}{recovery_id}/"


def restored_copies(environment: str) -> str:
    """Prefix of documents that restore tests have restored; nothing else may lie there."""
    return f"{environment}/restored-copies/"


def restored_copy(environment: str, recovery_id: str) -> str:
    """Prefix of what one restore test has restored."""
    return f"{restored_copies(environment)}{recovery_id}/"
