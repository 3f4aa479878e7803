"""A recovery plan carried out: from an empty directory to a copy that waits at its target.

Look first (preflight), write and check every file (extract), put the backups of a chain together
(combine), let the server replay the WAL up to the target and stop it there. What is left is a room,
ready for whatever comes next: comparing, validating, promoting. `open_copy(room)` takes it up
again, in this process or another.

A restore may be killed at any moment and run again by the same run: its half-made room is removed
and everything starts over. A room of another run is never touched.

Public, and stable: `restore_cluster(catalog, plan, room_directory, *, settings, run, purpose,
progress=no_progress, patience=300.0) -> RestoreResult`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import LedgerkeepError
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.combine import (
    SHARING,
    Method,
    choose_method,
    combine_chain,
    prepare_chain,
)
from ledgerkeep.recovery.extract import Extracted, extract_backup
from ledgerkeep.recovery.extract_chain import extract_chain
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
    chain: list[str]
    """Ids of what was restored, from a full backup to `backup_id`."""
    combined_by: Method | None
    """How the files of a chain came together; None: a full backup stands alone."""
    target: str
    """In words."""
    started_at: UtcDatetime
    finished_at: UtcDatetime
    seconds: dict[str, float]
    """Per phase: preflight, extract, combine (a chain only), replay (until the server answered at
    the target)."""
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

    # What an interrupted attempt of this run left would only be in the way.
    remove_own_room(room_directory, run)

    with clock.phase("preflight"):
        prepared = preflight(catalog, plan, room_directory, settings)
        worker, chain = prepared.worker, prepared.chain

    record = RoomRecord(
        run=run,
        purpose=purpose,
        created_at=started_at,
        plan=plan,
        server_settings={
            **chain[-1].server_settings,
            "shared_preload_libraries": ", ".join(catalog.policy.database.preload_libraries),
        },
    )
    room = Room.create(room_directory, record, worker.account)
    method = choose_method(room_directory, plan.major) if len(chain) > 1 else None

    with _removed_on_failure(room), room.held() as lock:
        with clock.phase("extract"):
            extracted = _extract(catalog, chain, room, worker, method, progress)
        # A full backup is in its place already.
        if method is not None:
            with clock.phase("combine"):
                prepare_chain(chain, room, extracted.changed, progress)
                combine_chain(chain, room, worker.programs, worker.account, method, lock, progress)
        prepare_data(room, worker.account)

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
        chain=[backup.id for backup in chain],
        combined_by=method,
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
    catalog: Catalog,
    chain: Sequence[BaseBackup],
    room: Room,
    worker: Worker,
    method: Method | None,
    progress: Progress,
) -> Extracted:
    """Write the backups' files: a full one's where the server wants them, a chain's beside it."""
    lasting = room.record.purpose == "recovery"
    if method is None:
        (backup,) = chain
        return extract_backup(
            catalog.store, backup, room.destination, worker.account, progress, lasting=lasting
        )
    # Files that will be written anew are not worth a flush.
    lasting = lasting and method in SHARING
    return extract_chain(catalog.store, chain, room, worker.account, progress, lasting=lasting)


@contextmanager
def _removed_on_failure(room: Room) -> Iterator[None]:
    try:
        yield
    except LedgerkeepError:
        room.remove()
        raise


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
