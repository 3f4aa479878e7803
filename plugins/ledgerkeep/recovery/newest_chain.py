"""The plan of a restore test that is to exercise a whole chain, and not just the nearest backup.

After each full backup the nearest one stands alone for a while, and a test that took it would show
nothing about incrementals. So the newest incremental whose chain is whole is taken, and the WAL
after it leads to the target. Only where no incremental leads there, the nearest backup is.

Public: `plan_newest_chain(catalog, system_identifier, target) -> RecoveryPlan`, and the pure part
`chains_first(backups)`.
"""

from collections.abc import Iterable

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.chain import by_id, is_whole
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import TargetUnreachable
from ledgerkeep.recovery.plan import RecoveryPlan, plan_from_catalog
from ledgerkeep.recovery.target import RecoveryTarget


def plan_newest_chain(
    catalog: Catalog, system_identifier: str, target: RecoveryTarget | None
) -> RecoveryPlan:
    """Plan the restore of the newest chain, to its last incremental or to a target after it.

    :param target: None: the own end of the backup that is chosen.
    :raises TargetUnreachable: no backup leads there, or there is none.
    """
    for backup in chains_first(catalog.backups(system_identifier)):
        if target is not None and backup.method == "full":
            break
        goal = target or RecoveryTarget(lsn=backup.stop_lsn, timeline=backup.timeline)
        try:
            return plan_from_catalog(catalog, system_identifier, goal, backup_id=backup.id)
        except TargetUnreachable:
            # The WAL after an older incremental may be gone already: the next may still do.
            continue
    return plan_from_catalog(catalog, system_identifier, target or RecoveryTarget(latest=True))


def chains_first(backups: Iterable[BaseBackup]) -> list[BaseBackup]:
    """The backups that can be restored: the incrementals, newest first, then the full ones."""
    known = by_id(backups)
    return sorted(
        (backup for backup in known.values() if is_whole(backup, known)),
        key=lambda backup: (backup.method == "incremental", backup.stopped_at),
        reverse=True,
    )
