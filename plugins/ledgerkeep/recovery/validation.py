"""The restored copy, used like a database: promoted, its pages checked, its content judged.

Being identical to the source shows that nothing was lost on the way. That the data make sense, and
that the copy can be written to, is shown here, and holds also where there is no fingerprint.
"""

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.amcheck import check_pages
from ledgerkeep.recovery.expectations import validate_copy
from ledgerkeep.recovery.preflight import find_worker
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.validation_report import ValidationReport, refuse_broken
from ledgerkeep.worker import WorkerSettings

__all__ = ["ValidationReport", "validate_copy", "validate_room"]


def validate_room(
    catalog: Catalog,
    room: Room,
    *,
    settings: WorkerSettings,
    target: RecoveryTarget | None = None,
    progress: Progress = no_progress,
) -> list[ValidationReport]:
    """Promote the copy and hold it against what the policy expects; commits nothing.

    A promoted copy cannot be proven any more: prove it first. A suite is run on the first of the
    policy's databases, the one that the business data are in; pages are checked in all of them.

    :param target: where a proof left the copy (`last_target`); None: at its plan's target.
    :raises ValidationFailed: with every broken expectation in words.
    """
    wanted = catalog.policy.database.validation
    databases = catalog.policy.database.databases
    worker = find_worker(settings, room.record.plan.major)
    reports = []
    with open_copy(
        catalog,
        room,
        settings=settings,
        target=None if room.promoted else target,
        progress=progress,
    ) as copy:
        if not room.promoted:
            promote_copy(copy)
        if wanted.amcheck:
            reports.append(
                check_pages(
                    copy.address, databases, programs=worker.programs, account=worker.account
                )
            )
        for suite in wanted.suites:
            reports.append(
                validate_copy(copy.address, databases[0], suite, expectations=settings.expectations)
            )
    refuse_broken(reports)
    return reports
