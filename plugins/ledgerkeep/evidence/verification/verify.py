"""The four parts of a verification, each from the store to its result.

    verify_completeness(catalog, run=…, now=…)    against the policy's schedules
    verify_readability(catalog, run=…, …)         today's share of what is stored, read back
    verify_continuity(catalog, now=…)             the WAL of the window
    verify_sizes(catalog, run=…, now=…)           against their trend

Completeness and sizes look at what was made since the last verification, and at the last 26 hours
in any case: a day, and some for a run that began late.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.traces import lost_records
from ledgerkeep.errors import PolicyError
from ledgerkeep.evidence.chain import EvidenceLog, latest
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.verification.completeness import CLOCKS, Facts, check_completeness
from ledgerkeep.evidence.verification.continuity import check_continuity
from ledgerkeep.evidence.verification.damage import gone_record
from ledgerkeep.evidence.verification.inventory import begun_backups, readable_snapshot
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.evidence.verification.reread import Clock, reread
from ledgerkeep.evidence.verification.trend import check_trend
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import BackupVerification
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.wal_index import load_wal_index

ACTION = "database_backup_verification"
"""The DAG's name behind its environment."""
_USUAL = timedelta(hours=26)
_FARTHEST = timedelta(days=31)
"""How far back the verification before this one is looked for."""


def verify_completeness(catalog: Catalog, *, run: str, now: datetime) -> Part:
    """Find what the policy schedules and nobody made, or made late.

    :param run: this run, whose own evidence is no verification before it.
    :raises StorageError, EvidenceError:
    """
    since, records = _window(catalog, run, now)
    names = list(catalog.system_identifiers())
    snapshots = [readable_snapshot(catalog, name) for name in names]
    begun = [at for name in names for at in begun_backups(catalog, name)]
    facts = Facts(
        backups=[backup for one in snapshots for backup in one.backups],
        stretches=[stretch for one in snapshots for stretch in one.stretches],
        fingerprints=[fingerprint for one in snapshots for fingerprint in one.fingerprints],
        begun=[at for at in begun if at >= since],
        records=[one for one in records if one.started_at >= since],
        evidence_began=EvidenceLog(catalog.store, catalog.policy).began_at(),
    )
    return check_completeness(catalog.policy, facts, since=since, now=now)


def verify_readability(
    catalog: Catalog, *, run: str, progress: Progress = no_progress, clock: Clock = utc_now
) -> Part:
    """Find the backups whose record is gone, and read back what is due; see `reread`."""
    part = reread(catalog, _section(catalog), run=run, progress=progress, clock=clock)
    for name in catalog.system_identifiers():
        if lost := lost_records(catalog, name):
            snapshot = readable_snapshot(catalog, name)
            words = [gone_record(one, trace, snapshot) for one, trace in sorted(lost.items())]
            part.find_all("critical", words, "backups without their record")
    return part


def verify_continuity(catalog: Catalog, *, now: datetime) -> Part:
    """Follow the WAL through the window that the policy keeps.

    :raises StorageError: the store does not answer, or refuses.
    :raises DatabaseError: a timeline's history cannot be read.
    """
    part = Part()
    if catalog.policy.database.wal_shipping is None:
        part.find("info", "the policy ships no WAL: recovery leads to the backups themselves")
        return part
    window = catalog.policy.database.retention.wal
    for name in catalog.system_identifiers():
        snapshot = readable_snapshot(catalog, name)
        part.join(check_continuity(snapshot, load_wal_index(catalog, name), now=now, window=window))
    return part


def verify_sizes(catalog: Catalog, *, run: str, now: datetime) -> Part:
    """Hold sizes against those before, within the policy's deviation.

    :raises StorageError, EvidenceError:
    """
    part, (since, _) = Part(), _window(catalog, run, now)
    percent = catalog.policy.alerts.size_deviation_percent
    kept = catalog.policy.database.retention.recent
    for name in catalog.system_identifiers():
        snapshot = readable_snapshot(catalog, name)
        if kept is not None:
            # Of older days retention has left one backup each, which is no measure of a day.
            young = [one for one in snapshot.backups if one.started_at >= now - kept]
            older = [one for one in snapshot.backups if one.started_at < now - kept]
            fulls = [one for one in older if one.method == "full"]
            snapshot = replace(snapshot, backups=[*fulls, *young])
        part.join(check_trend(snapshot, since=since, now=now, percent=percent))
    return part


def _section(catalog: Catalog) -> BackupVerification:
    section = catalog.policy.database.verification
    if section is None:
        raise PolicyError(
            f"the policy of {catalog.environment} asks for no verification",
            hint="give it a section database.verification",
        )
    return section


def _window(catalog: Catalog, run: str, now: datetime) -> tuple[datetime, list[EvidenceRecord]]:
    """From when on this run has to look, and the evidence from then on at least."""
    log = EvidenceLog(catalog.store, catalog.policy)
    delay = catalog.policy.alerts.backup_delay
    records: list[EvidenceRecord] = []
    for back in (_USUAL, _FARTHEST):
        records = latest(log.read(now - back, now + CLOCKS))
        before = [
            one.started_at
            for one in records
            if one.dag_id == f"{catalog.environment}_{ACTION}" and one.run != run
        ]
        if before:
            # What had been due for less than the delay was not judged then.
            return min(max(before) - delay, now - _USUAL), records
    return now - _USUAL, records
