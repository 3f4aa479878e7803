"""Deployments: the backups taken before them, and whether somebody has said that they work.

A backup before a deployment is kept until the deployment has been verified, and some time after.
A deployment may be backed up more than once (it was put off, or tried again): each of these
backups is kept, and one verification speaks for all of them, since it is the deployment that
works. A verification is final: the record is written once, and asking again changes nothing. So
nothing is backed up before a deployment that has been verified: that backup could go at once.

A deployment's id becomes part of a key, so it is checked before anything is touched.
"""

import re
from dataclasses import dataclass

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, DeploymentVerified
from ledgerkeep.errors import CatalogError, ObjectConflict, RecoveryPointMissing
from ledgerkeep.model import utc_now

DEPLOYMENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""As release names and build numbers are: `2026.11.3`, `loan-api_v4.2-rc1`."""

_NAMED = 5
"""Deployments that a hint lists."""


@dataclass(frozen=True)
class Verification:
    """What `mark_verified` found or made."""

    record: DeploymentVerified
    backups: list[BaseBackup]
    """The backups that the deployment was taken with; they may go some time after."""
    already: bool
    """Whether it had been verified before."""


def check_deployment_id(deployment_id: str) -> str:
    """The id, if it is one.

    :raises CatalogError:
    """
    if re.fullmatch(DEPLOYMENT_ID, deployment_id) is None:
        shown = deployment_id if len(deployment_id) <= 100 else f"{deployment_id[:100]}…"
        raise CatalogError(
            f"{shown!r} is not a deployment id",
            hint="1 to 100 letters, digits, dots, hyphens and underscores, beginning with a "
            "letter or a digit, such as 2026.11.3",
        )
    return deployment_id


def refuse_verified(catalog: Catalog, system_identifier: str, deployment_id: str) -> None:
    """Look whether a backup may be taken before this deployment.

    :raises CatalogError: it is not an id, or that deployment has been verified.
    """
    check_deployment_id(deployment_id)
    record = _record(catalog, system_identifier, deployment_id)
    if record is not None:
        raise CatalogError(
            f"deployment {deployment_id} was verified on {record.verified_at:%Y-%m-%d} by "
            f"{record.verified_by}; a backup before it would not be kept",
            hint="give the next deployment an id of its own",
        )


def deployed_backups(catalog: Catalog, system_identifier: str) -> dict[str, list[BaseBackup]]:
    """Deployment id → the backups taken before it, oldest first."""
    found: dict[str, list[BaseBackup]] = {}
    for backup in catalog.backups(system_identifier):
        if backup.deployment is not None:
            found.setdefault(backup.deployment.id, []).append(backup)
    return found


def verified_deployments(catalog: Catalog, system_identifier: str) -> dict[str, DeploymentVerified]:
    """Deployment id → the record that it works, for those that were verified."""
    prefix = keys.deployments(catalog.environment, system_identifier)
    records = catalog.read_all(prefix, DeploymentVerified)
    return {record.deployment_id: record for record in records}


def mark_verified(
    catalog: Catalog, system_identifier: str, deployment_id: str, *, by: str
) -> Verification:
    """Record that a deployment works; its backups are kept some time longer and may then go.

    :param by: the person, where known, and the run.
    :raises CatalogError: it is not an id.
    :raises RecoveryPointMissing: no backup was taken before such a deployment.
    """
    check_deployment_id(deployment_id)
    known = deployed_backups(catalog, system_identifier)
    if deployment_id not in known:
        raise _unknown(catalog, deployment_id, known)
    earlier = _record(catalog, system_identifier, deployment_id)
    if earlier is not None:
        return Verification(earlier, known[deployment_id], already=True)
    record = DeploymentVerified(deployment_id=deployment_id, verified_by=by, verified_at=utc_now())
    key = keys.deployment_verified(catalog.environment, system_identifier, deployment_id)
    try:
        catalog.write(key, record, catalog.retention("backups"))
    except ObjectConflict:
        # Somebody else was quicker; what they recorded holds.
        first = _record(catalog, system_identifier, deployment_id)
        if first is None:
            raise
        return Verification(first, known[deployment_id], already=True)
    return Verification(record, known[deployment_id], already=False)


def _record(
    catalog: Catalog, system_identifier: str, deployment_id: str
) -> DeploymentVerified | None:
    key = keys.deployment_verified(catalog.environment, system_identifier, deployment_id)
    return next(iter(catalog.read_all(key, DeploymentVerified)), None)


def _unknown(
    catalog: Catalog, deployment_id: str, known: dict[str, list[BaseBackup]]
) -> RecoveryPointMissing:
    newest = sorted(known, key=lambda one: known[one][-1].stopped_at, reverse=True)[:_NAMED]
    listed = f"the newest are {', '.join(newest)}" if newest else "there is none so far"
    return RecoveryPointMissing(
        f"no backup was taken before a deployment {deployment_id}",
        hint=f"check the id ({listed}); backups before deployments are taken by the DAG "
        f"{catalog.environment}_database_pre_deployment_backup",
    )
