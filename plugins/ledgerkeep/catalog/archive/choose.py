"""Which recovery point is worth keeping for years: the newest that is proven.

Only full backups are chosen by themselves: an incremental is worth nothing without the whole of
its chain, and a chain is more that can break. Where a person names one all the same, its chain
goes along. What was never read back is refused, and what is less than proven is archived with a
finding: an auditor must not learn it from the archive seven years later. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.chain import by_id, chain_of
from ledgerkeep.catalog.models import BaseBackup, ProofLevel
from ledgerkeep.errors import CatalogError, RecoveryPointMissing

A_YEAR = timedelta(days=366)
"""What is older was the archive of a year before."""


@dataclass(frozen=True)
class Choice:
    """What is archived."""

    chain: list[BaseBackup]
    """The full backup first; the recovery point itself last."""
    level: ProofLevel
    findings: list[str]
    """What a person should know about it."""

    @property
    def backup(self) -> BaseBackup:
        """The recovery point."""
        return self.chain[-1]


def choose(snapshot: CatalogSnapshot, *, recovery_point_id: str | None, now: datetime) -> Choice:
    """The recovery point to archive.

    :param recovery_point_id: this one, because a person asks for it.
    :raises RecoveryPointMissing: nothing of the last year is at least intact, or no such id.
    :raises CatalogError: the one asked for was never read back.
    :raises ChainBroken: a backup that it builds on is gone.
    """
    known = by_id(snapshot.backups)
    backup = (
        _newest(snapshot, now)
        if recovery_point_id is None
        else _asked(known, snapshot, recovery_point_id)
    )
    chain = chain_of(backup, known)
    level = snapshot.level(backup.id)
    return Choice(chain, level, list(_findings(chain, level)))


def _newest(snapshot: CatalogSnapshot, now: datetime) -> BaseBackup:
    """The newest of those that have been shown to be best."""
    candidates = [
        backup
        for backup in snapshot.backups
        if backup.parent_id is None
        and not backup.page_checksum_failures
        and now - backup.stopped_at <= A_YEAR
        and snapshot.level(backup.id) >= ProofLevel.INTACT
    ]
    if not candidates:
        raise RecoveryPointMissing(
            f"cluster {snapshot.system_identifier} has no full backup of the last year that is "
            "intact: there is nothing to archive",
            hint=f"run the DAG {snapshot.environment}_database_full_backup, prove its backup with "
            f"{snapshot.environment}_test_point_in_time_recovery, then run this again",
        )
    return max(candidates, key=lambda backup: (snapshot.level(backup.id), backup.stopped_at))


def _asked(
    known: Mapping[str, BaseBackup], snapshot: CatalogSnapshot, recovery_point_id: str
) -> BaseBackup:
    backup = known.get(recovery_point_id)
    if backup is None:
        raise RecoveryPointMissing(
            f"no base backup {recovery_point_id} of the cluster {snapshot.system_identifier}",
            hint=f"list what exists: ledgerkeep list --environment {snapshot.environment}",
        )
    if snapshot.level(backup.id) < ProofLevel.INTACT:
        raise CatalogError(
            f"recovery point {backup.id} was never read back, so it is not archived",
            hint=f"read it back first: ledgerkeep verify {backup.id} "
            f"--environment {snapshot.environment}",
        )
    return backup


def _findings(chain: list[BaseBackup], level: ProofLevel) -> list[str]:
    backup, found = chain[-1], []
    if level < ProofLevel.PROVEN:
        found.append(f"archived recovery point {backup.id} is {level.word}, not proven")
    if len(chain) > 1:
        found.append(
            f"archived recovery point {backup.id} is incremental; its chain of {len(chain)} "
            "backups is archived with it"
        )
    damaged = [one.id for one in chain if one.page_checksum_failures]
    if damaged:
        found.append(f"archived with damaged pages, as the server found them: {', '.join(damaged)}")
    return found
