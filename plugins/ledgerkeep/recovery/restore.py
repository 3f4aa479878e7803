"""A recovery plan carried out: from an empty directory to a copy that waits at its target.

Look first (preflight), write and check every file (extract), let the server replay the WAL up to
the target and stop it there. What is left is a room, ready for whatever comes next: comparing,
validating, promoting. `open_copy(room)` takes it up again, in this process or another.

A restore may be killed at any moment and run again by the same run: its half-made room is removed
and everything starts over. A room of another run is never touched.

Public, and stable: `restore_cluster(catalog, plan, room_directory, *, settings, run, purpose,
progress=no_progress, patience=300.0) -> RestoreResult`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import LedgerkeepError
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.extract import Extracted, extract_backup
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.preflight import Worker, preflight
from ledgerkeep.recovery.replay import open_copy
from ledgerkeep.recovery.room import Purpose, Room, RoomRecord
from ledgerkeep.recovery.settings import prepare_data
from ledgerkeep.worker import WorkerSettings


class RestoreResult(Record):
    """What a restore did, and how long it took."""

    room: str
    """The room's directory on the worker."""
    run: str
    backup_id: str
    target: str
    """In words."""
    started_at: UtcDatetime
    finished_at: UtcDatetime
    seconds: dict[str, float]
    """Per phase: preflight, extract, replay (until the server answered at the target)."""
    recovery_seconds: float
    """From the start until the copy answered at its target: to be held against the RTO."""
    bytes_fetched: int
    bytes_written: int
    files: int
    segments_replayed: int
    """WAL segments that were fetched for the server."""
    replayed_lsn: Lsn
    recovered_to: UtcDatetime | None
    """Commit time of the last transaction in the copy; None: no WAL was replayed."""


def restore_cluster(
    catalog: Catalog,
    plan: RecoveryPlan,
    room_directory: Path,
    *,
    settings: WorkerSettings,
    run: str,
    purpose: Purpose,
    progress: Progress = no_progress,
    patience: float = 300.0,
) -> RestoreResult:
    """Restore into a clean room and leave the copy there, stopped at its target.

    :param run: who restores (`dag_id/run_id`, `cli`): only the same run may start over.
    :param purpose: `test`: disposable; `recovery`: it must survive a power cut.
    :param patience: seconds without any progress after which replay is given up.
    :raises PreflightFailed: it would fail; nothing was written.
    :raises ObjectCorrupt, RestoreFailed, RecoveryStopped: it failed.
    """
    started_at, clock = utc_now(), _Clock()
    backup = catalog.find_backup(plan.backup_id)

    # What an interrupted attempt of this run left would only be in the way.
    remove_own_room(room_directory, run)

    with clock.phase("preflight"):
        worker = preflight(catalog, plan, backup, room_directory, settings)

    record = RoomRecord(
        run=run,
        purpose=purpose,
        created_at=started_at,
        plan=plan,
        server_settings={
            **backup.server_settings,
            "shared_preload_libraries": ", ".join(catalog.policy.database.preload_libraries),
        },
    )
    with clock.phase("extract"):
        room = Room.create(room_directory, record, worker.account)
        extracted = _extract(catalog, backup, room, worker, progress)

    # The server must have answered at the target before this restore has succeeded.
    with (
        clock.phase("replay") as replay_ends,
        open_copy(catalog, room, settings=settings, progress=progress, patience=patience) as copy,
    ):
        replay_ends()

    return RestoreResult(
        room=str(room_directory),
        run=run,
        backup_id=plan.backup_id,
        target=str(plan.target),
        started_at=started_at,
        finished_at=utc_now(),
        seconds=clock.seconds,
        recovery_seconds=round(sum(clock.seconds.values()), 3),
        bytes_fetched=plan.bytes_to_fetch,
        bytes_written=extracted.raw_bytes + copy.segments_served * plan.segment_size,
        files=extracted.files,
        segments_replayed=copy.segments_served,
        replayed_lsn=copy.replayed_lsn,
        recovered_to=copy.recovered_to,
    )


def remove_own_room(directory: Path, run: str) -> None:
    """Remove the room if this run made it; anything else is left for the preflight to refuse.

    :raises OperationRunning: another process still works in it.
    """
    room = Room.find(directory)
    if room is not None and room.record.run == run:
        room.remove()


def _extract(
    catalog: Catalog, backup: BaseBackup, room: Room, worker: Worker, progress: Progress
) -> Extracted:
    try:
        with room.held():
            extracted = extract_backup(catalog.store, backup, room, worker.account, progress)
            prepare_data(room, worker.account)
    except LedgerkeepError:
        room.remove()
        raise
    return extracted


class _Clock:
    """Seconds per phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator["_Stop"]:
        """Measure a block, or up to the moment that it says it is done."""
        stop = _Stop()
        yield stop
        stop()
        self.seconds[name] = round(stop.seconds, 3)


class _Stop:
    def __init__(self) -> None:
        self._start = time.monotonic()
        self.seconds = -1.0

    def __call__(self) -> None:
        """The phase is over; only the first call counts."""
        if self.seconds < 0:
            self.seconds = time.monotonic() - self._start
