"""Operators of the full backup: stream it, then read it back and let it exist.

Reading back and recording is the same for an incremental backup; its evidence also says how much
had changed, or why it is a full one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.catalog.models import BaseBackup
    from ledgerkeep.database.postgres.address import ServerAddress


class BaseBackupOperator(LedgerkeepOperator):
    """Stream a full base backup of the protected cluster into the object store.

    Returns the backup's id. Nothing counts yet: `RecordBackupOperator` reads it back first.

    :param adopt_timeline: accept this timeline of the server although it leaves the stored one
        before the stored WAL ends: a failover lost that WAL, and a person says so (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "adopt_timeline")

    def __init__(self, *, adopt_timeline: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adopt_timeline = adopt_timeline

    def execute(self, context: Context) -> str:
        """Take the backup."""
        from ledgerkeep.database.postgres.base_backup import Origin
        from ledgerkeep.database.postgres.full_backup import take_full_backup

        with self.ending_well(context):
            backup_id = take_full_backup(
                self.address,
                self.catalog,
                origin=Origin(run_name(context)),
                progress=self.progress(),
                adopt_timeline=int(self.adopt_timeline) if self.adopt_timeline else None,
                standby=self.standby_address(),
            )
        self.log.info("streamed %s; it counts once it has been read back", backup_id)
        return backup_id

    def standby_address(self) -> ServerAddress | None:
        """The standby that the policy wants full backups to be read from, if any."""
        from ledgerkeep.hooks.connections import server_address

        policy = self.policy.database.full_backup
        if policy is None or policy.standby is None:
            return None
        return server_address(policy.standby.connection_id)


class RecordBackupOperator(LedgerkeepOperator):
    """Read a streamed backup back, every file of it, and write its recovery point.

    A backup with damaged pages is recorded, since it may be the only one there is; the task fails.

    :param backup_id: what `BaseBackupOperator`, or the incremental backup's, returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "backup_id")

    def __init__(self, *, backup_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backup_id = backup_id

    def execute(self, context: Context) -> str:
        """Read back and record."""
        from ledgerkeep.database.postgres.full_backup import record_backup

        with self.ending_well(context, self.backup_id):
            backup = record_backup(
                self.catalog, self.backup_id, run=run_name(context), progress=self.progress()
            )
        self.contribute(
            context,
            recovery_point_ids=[backup.id],
            measurements=_measurements(backup),
            facts=_facts(backup),
            findings=_findings(backup),
        )
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {
                "recovery_point": backup.id,
                "method": backup.method,
                "stored_bytes": backup.stored_bytes,
            }
        return backup.id


def _measurements(backup: BaseBackup) -> dict[str, float]:
    from ledgerkeep.database.postgres.read_back import needed_segments

    figures = {
        "raw_bytes": backup.raw_bytes,
        "stored_bytes": backup.stored_bytes,
        "files": backup.file_count,
        "seconds": (backup.stopped_at - backup.started_at).total_seconds(),
    }
    if backup.method == "incremental":
        # The WAL that makes it consistent comes on top of what had changed.
        wal = len(needed_segments(backup)) * backup.segment_size
        figures["changed_bytes"] = backup.raw_bytes - wal
    return figures


def _facts(backup: BaseBackup) -> dict[str, str]:
    told: dict[str, str] = {"method": backup.method}
    if backup.parent_id is not None:
        told["parent"] = backup.parent_id
    if backup.standby:
        told["read from standby"] = backup.standby
    return told


def _findings(backup: BaseBackup) -> list[dict[str, str]]:
    if not backup.full_because:
        return []
    what = f"full backup instead of an incremental one: {backup.full_because}"
    return [{"what": what, "severity": "warning"}]
