"""The operator of the incremental backup: stream what changed, or everything where that is right.

Recording is the same for both: `ledgerkeep.operators.full_backup.RecordBackupOperator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context


class IncrementalBackupOperator(LedgerkeepOperator):
    """Stream an incremental base backup of the protected cluster into the object store.

    Where the server cannot tell what changed since the newest backup, or the chain is as long as
    the policy allows, it is a full one; the recovery point says why. Returns the backup's id.
    Nothing counts yet: `RecordBackupOperator` reads it back first.
    """

    def execute(self, context: Context) -> str:
        """Take the backup."""
        from ledgerkeep.database.postgres.base_backup import Origin
        from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup

        with self.ending_well(context):
            backup_id = take_incremental_backup(
                self.address,
                self.catalog,
                origin=Origin(run_name(context)),
                progress=self.progress(),
            )
        self.log.info("streamed %s; it counts once it has been read back", backup_id)
        return backup_id
