"""The yearly compliance archive as a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.catalog.archive.make import ArchiveResult


class ComplianceArchiveOperator(LedgerkeepOperator):
    """Copy the newest proven recovery point into the vault of another account, under lock.

    Returns the archive's id. A year that has been archived is looked at again and left as it is.

    :param recovery_point: archive this one, also when the year has been archived; empty: choose
        (templated)
    :param vault_conn_id: Airflow connection of the vault; the policy's by default
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "recovery_point")

    def __init__(
        self, *, recovery_point: str = "", vault_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.recovery_point = recovery_point
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> str:
        """Choose, copy, lock, read back, record."""
        from ledgerkeep.catalog.archive.make import archive_recovery_point
        from ledgerkeep.hooks.connections import open_policy_vault

        with self.ending_well(context, *filter(None, [self.recovery_point])):
            result = archive_recovery_point(
                self.catalog,
                open_policy_vault(self.policy, self.vault_conn_id),
                self.protected_cluster(),
                run=run_name(context),
                recovery_point_id=self.recovery_point or None,
                progress=self.progress(),
            )
        self._tell(context, result)
        return result.archive.id

    def _tell(self, context: Context, result: ArchiveResult) -> None:
        archive = result.archive
        self.log.info(
            "%s: %d objects in %s, locked until %s, %s",
            archive.id,
            len(archive.objects),
            archive.location,
            archive.locked_until.isoformat(),
            "archived now" if result.made else "archived before; the vault still says so",
        )
        findings = [{"what": what, "severity": "warning"} for what in archive.findings]
        if not result.made:
            what = f"the year was archived already: {archive.id}, by {archive.run}"
            findings.append({"what": what, "severity": "info"})
        self.contribute(
            context,
            recovery_point_ids=archive.backup_ids,
            measurements={
                "objects": len(archive.objects),
                "stored_bytes": archive.stored_bytes,
                "copied_bytes": result.copied_bytes,
            },
            facts={
                "archive": archive.id,
                "vault": archive.location,
                "storage_class": archive.storage_class,
                "locked_until": archive.locked_until.isoformat(),
            },
            findings=findings,
        )
