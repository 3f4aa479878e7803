"""Whether what the policy promises to keep is there, held against what the runs have made.

Retention decides from the catalog; the report asks the evidence instead, so that a recovery point
which retention should not have removed, or somebody else did, is missed. For a day one full backup
is promised, whichever; of incrementals and WAL, every one within their time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.report.gather import Material
from ledgerkeep.evidence.report.model import RetentionRow

Group = Callable[[EvidenceRecord, str], str]
"""What a recovery point is promised as part of: one of the group must still be there."""


def retention_rows(material: Material, records: list[EvidenceRecord]) -> list[RetentionRow]:
    """One row for each promise that runs of the period can be held against.

    :param records: the period's, without those that a later one replaced.
    """
    promised, database = material.policy.database.retention, material.policy.database
    backups = [one for snapshot in material.snapshots for one in snapshot.backups]
    full = {one.id: one.stopped_at for one in backups if one.method == "full"}
    stretches = {
        one.id: one.covered_until for snapshot in material.snapshots for one in snapshot.stretches
    }

    def made(action: str, length: timedelta, group: Group) -> list[list[str]]:
        since = material.now - length
        return _made([one for one in records if one.ended_at > since], action, group)

    days = made("database_full_backup", promised.daily, _day)
    rows = [_row("base backups", promised.daily, days, full)]
    if promised.recent is not None and database.incremental_backup is not None:
        # One of them may have become a full backup.
        each = made("database_incremental_backup", promised.recent, _itself)
        recent = {one.id: one.stopped_at for one in backups}
        rows.append(_row("recent backups", promised.recent, each, recent))
    if promised.wal is not None:
        each = made("database_wal_shipping", promised.wal, _itself)
        rows.append(_row("WAL", promised.wal, each, stretches))
    return rows


def _day(record: EvidenceRecord, name: str) -> str:
    return f"{record.ended_at:%F}"


def _itself(record: EvidenceRecord, name: str) -> str:
    return name


def _made(records: list[EvidenceRecord], action: str, group: Group) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for record in records:
        if record.dag_id == f"{record.environment}_{action}" and record.outcome == "success":
            for name in record.recovery_point_ids:
                groups.setdefault(group(record, name), []).append(name)
    return list(groups.values())


def _row(
    what: str, promised: timedelta, made: list[list[str]], kept: dict[str, datetime]
) -> RetentionRow:
    gone = [group for group in made if not any(name in kept for name in group)]
    return RetentionRow(
        what=what,
        promised_seconds=promised.total_seconds(),
        made=sum(len(group) for group in made),
        missing=[name for group in gone for name in group],
        kept=len(kept),
        oldest=min(kept.values(), default=None),
        newest=max(kept.values(), default=None),
    )
