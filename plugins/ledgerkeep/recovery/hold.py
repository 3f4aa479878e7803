"""What a recovery reads, kept from retention while it reads it.

Between the plan and the last byte lie an approval and hours of restoring. Retention runs meanwhile,
and to it the backups and the WAL of a plan are as old as any. So the plan is held as soon as it is
made, and again when the restore begins: that may be long after, in a run that was tried again. The
hold ends with the run; one whose run never ends keeps nothing beyond the policy's `recovery_hold`.

A hold that comes too late does no harm either: the preflight looks for every object of the plan.

Public: `hold_what_is_read(catalog, plan, *, run) -> Hold`, and `while_read(catalog, plan, *, run)`
for a block.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.holds import end_recovery_holds, hold_for_recovery
from ledgerkeep.catalog.models import HeldWal, Hold
from ledgerkeep.model import utc_now
from ledgerkeep.recovery.plan import RecoveryPlan


def hold_what_is_read(catalog: Catalog, plan: RecoveryPlan, *, run: str) -> Hold:
    """Hold a plan's chain and WAL for a run, until `end_recovery_holds`.

    :raises RecoveryPointMissing: retention has removed something of it since it was planned.
    """
    wal = None
    if plan.first_segment is not None:
        wal = HeldWal(timeline=plan.timeline, end_lsn=plan.available_until)
    return hold_for_recovery(
        catalog,
        plan.system_identifier,
        [backup.id for backup in plan.chain],
        wal,
        run=run,
        until=utc_now() + catalog.policy.database.retention.recovery_hold,
    )


@contextmanager
def while_read(catalog: Catalog, plan: RecoveryPlan, *, run: str) -> Iterator[None]:
    """Hold a plan's chain and WAL for a block.

    :raises RecoveryPointMissing: see `hold_what_is_read`.
    """
    hold_what_is_read(catalog, plan, run=run)
    try:
        yield
    finally:
        end_recovery_holds(catalog, run)
