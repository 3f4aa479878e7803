"""Operators around a deployment: the backup before it, and the word that it works.

Reading the backup back and recording it is the same as for any other:
`ledgerkeep.operators.full_backup.RecordBackupOperator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context


class PreDeploymentBackupOperator(LedgerkeepOperator):
    """Stream a full base backup that is kept until the deployment after it has been verified.

    Returns the backup's id. Nothing counts yet: `RecordBackupOperator` reads it back first.

    :param deployment_id: release or build that is about to be deployed (templated)
    :param description: what it changes, for whoever reads the record later (templated)
    """

    template_fields: Sequence[str] = (
        *LedgerkeepOperator.template_fields,
        "deployment_id",
        "description",
    )

    def __init__(self, *, deployment_id: str, description: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment_id = deployment_id
        self.description = description

    def execute(self, context: Context) -> str:
        """Check the deployment, then take the backup."""
        from ledgerkeep.catalog.deployments import check_deployment_id, refuse_verified
        from ledgerkeep.catalog.models import Deployment
        from ledgerkeep.database.postgres.base_backup import Origin
        from ledgerkeep.database.postgres.full_backup import take_full_backup

        with self.ending_well(context):
            check_deployment_id(self.deployment_id)
            refuse_verified(self.catalog, self.protected_cluster(), self.deployment_id)
            deployment = Deployment(id=self.deployment_id, description=self.description)
            backup_id = take_full_backup(
                self.address,
                self.catalog,
                origin=Origin(run_name(context), deployment=deployment),
                progress=self.progress(),
            )
        self.contribute(context, facts=_facts(self.deployment_id, self.description))
        self.log.info("streamed %s; it counts once it has been read back", backup_id)
        return backup_id


class VerifyDeploymentOperator(LedgerkeepOperator):
    """Record that a deployment works, so that its backups may go some time after.

    Returns the ids of those backups. A deployment that was verified before stays as it is: the
    first word counts, and the task succeeds.

    :param deployment_id: release or build that was deployed (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "deployment_id")

    def __init__(self, *, deployment_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deployment_id = deployment_id

    def execute(self, context: Context) -> list[str]:
        """Check, record."""
        from ledgerkeep.catalog.deployments import check_deployment_id, mark_verified

        with self.ending_well(context):
            check_deployment_id(self.deployment_id)
            done = mark_verified(
                self.catalog, self.protected_cluster(), self.deployment_id, by=_who(context)
            )
        backups = [backup.id for backup in done.backups]
        said = f"{done.record.verified_at:%Y-%m-%d %H:%M:%S}Z by {done.record.verified_by}"
        self.log.info(
            "deployment %s verified %s; its backups: %s", self.deployment_id, said, backups
        )
        what = f"deployment {self.deployment_id} was verified already, {said}"
        self.contribute(
            context,
            recovery_point_ids=backups,
            facts={"deployment": self.deployment_id, "verified": said},
            findings=[{"what": what, "severity": "info"}] if done.already else [],
        )
        return backups


def _facts(deployment_id: str, description: str) -> dict[str, str]:
    told = {"deployment": deployment_id}
    if description:
        told["description"] = description
    return told


def _who(context: Context) -> str:
    """The person, where Airflow knows one, and the run."""
    person = context["dag_run"].triggering_user_name
    return f"{person} ({run_name(context)})" if person else run_name(context)
