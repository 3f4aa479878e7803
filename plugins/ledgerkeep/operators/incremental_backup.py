"""The operator of the incremental backup: stream what changed, or everything where that is right.

Recording is the same for both: `ledgerkeep.operators.full_backup.RecordBackupOperator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context


class IncrementalBackupOperator(LedgerkeepOperator):
    """Stream an incremental base backup of the protected cluster into the object store.

    Where the server cannot tell what changed since the newest backup, or the chain is as long as
    the policy allows, it is a full one; the recovery point says why. Returns the backup's id.
    Nothing counts yet: `RecordBackupOperator` reads it back first.

    While a full backup is being taken there is nothing to do: what changes meanwhile is in the
    next one, an hour later. Then the task ends as skipped, and the evidence says for which backup;
    waiting would hold a worker for as long as the full one takes.
    """

    def execute(self, context: Context) -> str:
        """Take the backup."""
        from ledgerkeep.database.postgres.base_backup import Origin
        from ledgerkeep.database.postgres.incremental_backup import take_incremental_backup
        from ledgerkeep.errors import OperationRunning

        with self.ending_well(context):
            try:
                backup_id = take_incremental_backup(
                    self.address,
                    self.catalog,
                    origin=Origin(run_name(context)),
                    progress=self.progress(),
                )
            except OperationRunning:
                self._make_way(context)
                raise
        self.log.info("streamed %s; it counts once it has been read back", backup_id)
        return backup_id

    def _make_way(self, context: Context) -> None:
        """End as skipped if it is a full backup that has the turn."""
        from ledgerkeep.database.postgres.backup_turn import full_under_way
        from ledgerkeep.evidence.records import NotTaken

        full = full_under_way(self.address, self.catalog)
        if full is None:
            return
        reason = NotTaken(backup_id=full.id, run=full.run, since=full.at)
        self.contribute(
            context,
            not_taken=reason.model_dump(mode="json"),
            findings=[{"what": f"not taken: {reason.words}", "severity": "info"}],
        )
        raise AirflowSkipException(f"not taken: {reason.words}")
