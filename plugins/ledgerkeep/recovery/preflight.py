"""Everything that would make a restore fail, looked for before it starts, and told at once.

A restore that breaks off after forty minutes because the last gigabyte did not fit has cost forty
minutes of an outage. So all of it is checked first, and all findings come in one refusal: whoever
must act can mend them together.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.programs import (
    Account,
    Programs,
    find_programs,
    server_account,
)
from ledgerkeep.errors import PreflightFailed, RecoveryPointMissing, StorageError, WorkerError
from ledgerkeep.progress import format_bytes
from ledgerkeep.recovery.combine import PROGRAM
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.space import bytes_needed
from ledgerkeep.recovery.wal_index import load_wal_index, segment_on
from ledgerkeep.worker import WorkerSettings

_READERS = 8
"""Backups of a chain that are looked at at the same time."""

_Findings = list[tuple[str, str]]
"""What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Worker:
    """What a restore needs of this worker."""

    programs: Programs
    account: Account


def find_worker(settings: WorkerSettings, major: int) -> Worker:
    """The programs of that major version, and the account servers run under.

    :raises WorkerError: one of them is not there.
    """
    return Worker(find_programs(settings, major), server_account(settings))


@dataclass(frozen=True)
class Prepared:
    """What a restore that can succeed will use."""

    worker: Worker
    chain: list[BaseBackup]
    """The plan's backups, from the full one to the last incremental; a full one is alone."""


def preflight(
    catalog: Catalog, plan: RecoveryPlan, directory: Path, settings: WorkerSettings
) -> Prepared:
    """Check everything, and return what the restore will use.

    :raises PreflightFailed: with all findings in the message, and what to do about each in the
        hint.
    """
    findings: _Findings = []
    worker = _worker(settings, plan, findings)
    findings += _destination(directory)
    chain, lost = _chain(catalog, plan)
    if not lost:
        findings += _space(directory, catalog, plan, chain)
    if worker is not None:
        findings += _reachable(directory, worker)
    findings += lost
    findings += _wal(catalog, plan)
    if findings or worker is None:
        raise PreflightFailed(
            f"the restore to {directory} would fail: " + "; ".join(what for what, _ in findings),
            hint="; ".join(todo for _, todo in findings),
        )
    return Prepared(worker, chain)


def _worker(settings: WorkerSettings, plan: RecoveryPlan, findings: _Findings) -> Worker | None:
    try:
        worker = find_worker(settings, plan.major)
        if len(plan.chain) > 1:
            worker.programs.path(PROGRAM)
    except WorkerError as problem:
        findings.append((problem.message, problem.hint))
        return None
    return worker


def _destination(directory: Path) -> Iterator[tuple[str, str]]:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        yield f"{directory} is not a directory", "name another destination"
    elif directory.exists() and any(directory.iterdir()):
        yield (
            f"{directory} is not empty",
            "name an empty or new directory: a restore never writes over anything",
        )
    elif not os.access(existing_part(directory), os.W_OK | os.X_OK):
        yield (
            f"{existing_part(directory)} cannot be written to",
            "give this worker's account the permission, or name another destination",
        )


def _space(
    directory: Path, catalog: Catalog, plan: RecoveryPlan, chain: Sequence[BaseBackup]
) -> Iterator[tuple[str, str]]:
    place = existing_part(directory)
    free = shutil.disk_usage(place).free
    try:
        needed = bytes_needed(catalog, plan, chain, place, free)
    except StorageError as problem:
        yield problem.message, problem.hint
        return
    if free < needed:
        yield (
            f"the file system of {place} has {format_bytes(free)} free, "
            f"{format_bytes(needed)} are needed",
            f"free {format_bytes(needed - free)} there, or name another destination",
        )


def _reachable(directory: Path, worker: Worker) -> Iterator[tuple[str, str]]:
    places: list[tuple[str, Path, Callable[[], bool]]] = [
        (
            "destination",
            directory,
            lambda: worker.account.can_enter(existing_part(directory.parent)),
        ),
        ("programs", worker.programs.directory, lambda: _can_enter_programs(worker)),
    ]
    for what, place, reachable in places:
        if not reachable():
            yield (
                f"the account {worker.account.name} cannot reach the {what} {place}",
                f"let {worker.account.name} enter every directory on the way, "
                "or use a place that it can reach",
            )


def _can_enter_programs(worker: Worker) -> bool:
    return worker.account.can_enter(worker.programs.directory)


def _chain(catalog: Catalog, plan: RecoveryPlan) -> tuple[list[BaseBackup], _Findings]:
    """The records of the plan's backups, and what is no longer stored of them."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="preflight") as readers:
        looked = list(readers.map(lambda one: _member(catalog, plan, one.id), plan.chain))
    findings = [finding for _, lost in looked for finding in lost]
    return [backup for backup, _ in looked if backup is not None], findings


def _member(
    catalog: Catalog, plan: RecoveryPlan, backup_id: str
) -> tuple[BaseBackup | None, _Findings]:
    another = f"plan with another base backup than {plan.backup_id}"
    try:
        backup = catalog.find_backup(backup_id)
    except RecoveryPointMissing:
        return None, [(f"backup {backup_id} is gone since the recovery was planned", another)]
    prefix = keys.backup(backup.environment, backup.system_identifier, backup.id)
    sizes = {listed.key: listed.size for listed in catalog.store.list(prefix)}
    expected = [backup.manifest, *(one for part in backup.archives for one in part.volumes)]
    lost = []
    for stored in expected:
        if sizes.get(stored.key) != stored.size:
            found = sizes.get(stored.key)
            words = "is gone" if found is None else f"has {found} bytes instead of {stored.size}"
            lost.append((f"{catalog.store.location}/{stored.key} {words}", another))
    return backup, lost


def _wal(catalog: Catalog, plan: RecoveryPlan) -> Iterator[tuple[str, str]]:
    """Look once more: the plan may be hours old, and retention runs meanwhile."""
    first = plan.first_number
    needed = [
        segment_on(plan.lineage, number, plan.segment_size)
        for number in range(first, first + plan.segment_count)
    ]
    for branch in plan.lineage:
        names = [name for name in needed if int(name[:8], 16) == branch.timeline]
        if not names:
            continue
        listed = load_wal_index(
            catalog, plan.system_identifier, branch.timeline, names[0], names[-1]
        )
        missing = [name for name in names if name not in listed.segments]
        if missing:
            yield (
                f"{len(missing)} WAL segments are gone since the recovery was planned, "
                f"the first is {missing[0]}",
                "plan again: the refusal names the nearest targets that can be reached",
            )


def existing_part(directory: Path) -> Path:
    """The nearest directory on the way that exists."""
    while not directory.exists():
        directory = directory.parent
    return directory
