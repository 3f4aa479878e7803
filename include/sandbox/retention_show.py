"""Retention over simulated months: what the policy would keep if its schedule went on.

The recovery points are made up, as large as this sandbox's own; the policy and the decision are the
real ones. Once a month retention is applied to what is left, as its DAG does every day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.catalog.retention import Stored, plan_retention
from ledgerkeep.policy.model import FullBackup, IncrementalBackup, Policy
from ledgerkeep.policy.schedule import firings

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_MONTH = timedelta(days=30)
_WAL_PER_SECOND = 1000


@dataclass(frozen=True)
class Month:
    """How things stand after some months."""

    number: int
    taken: int
    taken_bytes: int
    kept: int
    kept_full: int
    kept_bytes: int


def simulated_months(policy: Policy, like: list[BaseBackup], *, months: int) -> Iterator[Month]:
    """Month by month, what was taken and what is left of it.

    :param like: real backups, whose sizes the simulated ones have; a full one, at least.
    """
    full = next(one for one in like if one.method == "full")
    increment = next((one for one in like if one.method == "incremental"), full)
    left: list[BaseBackup] = []
    taken = taken_bytes = 0
    for number in range(1, months + 1):
        until = _BEGIN + number * _MONTH
        new = list(_month(policy, full, increment, until - _MONTH, until, left))
        taken += len(new)
        taken_bytes += sum(one.stored_bytes for one in new)
        left = _kept(policy, full, left + new, until)
        yield Month(
            number=number,
            taken=taken,
            taken_bytes=taken_bytes,
            kept=len(left),
            kept_full=sum(one.method == "full" for one in left),
            kept_bytes=sum(one.stored_bytes for one in left),
        )


def _month(
    policy: Policy,
    full: BaseBackup,
    increment: BaseBackup,
    since: datetime,
    until: datetime,
    before: list[BaseBackup],
) -> Iterator[BaseBackup]:
    database = policy.database
    fulls = set(_times(database.full_backup, since, until))
    others = set(_times(database.incremental_backup, since, until))
    parent = before[-1] if before else None
    for at in sorted(fulls | others):
        if at in fulls or parent is None:
            parent = _at(full, at, None)
        else:
            parent = _at(increment, at, parent.id)
        yield parent


def _times(
    section: FullBackup | IncrementalBackup | None, since: datetime, until: datetime
) -> list[datetime]:
    return firings(section.schedule, since, until) if section and section.schedule else []


def _at(like: BaseBackup, at: datetime, parent_id: str | None) -> BaseBackup:
    position = int((at - _BEGIN).total_seconds() + 86_400) * _WAL_PER_SECOND
    return like.model_copy(
        update={
            "id": f"{at:%Y%m%dT%H%M%SZ}-{'I' if parent_id else 'F'}-simulated",
            "method": "incremental" if parent_id else "full",
            "parent_id": parent_id,
            "deployment": None,
            "created_at": at,
            "started_at": at,
            "stopped_at": at,
            "timeline": 1,
            "start_lsn": position,
            "stop_lsn": position + 1,
        }
    )


def _kept(
    policy: Policy, full: BaseBackup, backups: list[BaseBackup], now: datetime
) -> list[BaseBackup]:
    snapshot = CatalogSnapshot(policy.environment, full.system_identifier, backups=backups)
    plan = plan_retention(
        Stored(snapshot), policy.database.retention, policy.database.pre_deployment, now=now
    )
    kept = plan.kept_ids("full backup", "incremental backup")
    return [one for one in backups if one.id in kept]
