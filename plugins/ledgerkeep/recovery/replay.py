"""A restored copy, running, with its replay held at a target.

`open_copy` starts the room's server, feeds it WAL and returns when replay has reached the target
and is paused there, in hot standby: whoever holds the block may read the content as it was at
exactly that point. At the end of the block the server stops. A later block, also one of another
process, starts it again and goes on from where it was, to the same target or a later one: so the
databases of a cluster, each with a consistent point of its own, are compared one after the other.

The server recovers as a standby (see `settings`). Replay has reached its target when the server
pauses there; or when all WAL that the plan can give has been replayed, if the target is one that
the end of the WAL satisfies: nothing was committed between that end and the target.

Public, and stable:
`open_copy(catalog, room, *, settings, target=None, progress=no_progress, patience=300.0)`
yields `Copy`; `promote_copy(copy, *, timeout=120.0)` ends recovery, so that it can be written to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn, parse_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.postmaster import Postmaster
from ledgerkeep.errors import RestoreFailed, TargetUnreachable
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.preflight import Worker, find_worker
from ledgerkeep.recovery.replay_watch import Replayed, ReplayWatch
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.settings import configure
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.wal_feeder import WalFeeder
from ledgerkeep.worker import WorkerSettings


@dataclass
class Copy:
    """A running restored copy."""

    room: Room
    address: ServerAddress
    """Of its superuser, over the Unix socket."""
    replayed_lsn: int
    """End of the last record that was replayed."""
    recovered_to: datetime | None
    """Commit time of the last transaction replayed in this block; None when there was none."""
    segments_served: int
    """WAL segments fetched for it in this block."""


@contextmanager
def open_copy(
    catalog: Catalog,
    room: Room,
    *,
    settings: WorkerSettings,
    target: RecoveryTarget | None = None,
    progress: Progress = no_progress,
    patience: float = 300.0,
) -> Iterator[Copy]:
    """Run the copy for a block, recovered to its target.

    :param target: another target than the plan's, within the plan's WAL: a time, lsn or xid.
    :param patience: seconds without any progress after which replay is given up.
    :raises RecoveryStopped: replay ended, or stood still, before the target.
    :raises TargetUnreachable: the target lies behind the plan's WAL.
    :raises OperationRunning: another process works in the room.
    """
    worker = find_worker(settings, room.record.plan.major)
    with room.held():
        if room.promoted:
            with _open_promoted(room, worker, target) as copy:
                yield copy
            return
        plan = room.record.plan
        recovery_settings, ends_itself = _towards(plan, target)
        words = str(target or plan.target)
        with WalFeeder(catalog.store, plan, room.spool, worker.account) as feeder:
            server, reached = _recover(
                room, worker, feeder, recovery_settings, ends_itself, words, progress, patience
            )
            try:
                yield Copy(room, server.address, reached.lsn, reached.at, feeder.served)
            finally:
                server.stop()


def _recover(
    room: Room,
    worker: Worker,
    feeder: WalFeeder,
    settings: dict[str, str],
    ends_itself: bool,
    target: str,
    progress: Progress,
    patience: float,
) -> tuple[Postmaster, Replayed]:
    """Start the server and follow it to the target, again where the source's settings grew."""
    plan = room.record.plan
    while True:
        configure(room, settings, worker.account)
        server = _start(room, worker)
        try:
            watch = ReplayWatch(server, feeder, plan, ends_itself=ends_itself)
            reached = watch.wait(target, progress, patience)
        except BaseException:
            server.stop()
            raise
        if not reached.too_low:
            return server, reached
        server.stop()
        settings = {**settings, **reached.too_low}


def promote_copy(copy: Copy, *, timeout: float = 120.0) -> None:
    """End the recovery of a copy: it becomes a database that can be written to, for good.

    :param timeout: seconds until the promotion is given up.
    :raises RestoreFailed: it did not end within the time.
    """
    with connect(copy.address) as connection:
        row = connection.execute("SELECT pg_promote(true, %s)", [int(timeout)]).fetchone()
    if row is None or not row[0]:
        raise RestoreFailed(
            f"the copy in {copy.room.directory} was not promoted within {timeout:.0f} s",
            hint=f"its log is {copy.room.log}",
        )


def _towards(plan: RecoveryPlan, target: RecoveryTarget | None) -> tuple[dict[str, str], bool]:
    """The server's settings for the plan's target or another one, and whether WAL may run out."""
    if target is None:
        return plan.recovery_settings, plan.ends_itself
    if target.name or (target.lsn is not None and target.lsn > plan.available_until):
        raise TargetUnreachable(
            f"{target} cannot be reached in this room: its plan has WAL until "
            f"{format_lsn(plan.available_until)}",
            hint="make a plan for that target and restore to another directory",
        )
    return target.server_settings(), target.xid is None


@contextmanager
def _open_promoted(room: Room, worker: Worker, target: RecoveryTarget | None) -> Iterator[Copy]:
    if target is not None:
        raise RestoreFailed(
            f"the copy in {room.directory} was promoted: it cannot recover to {target} any more",
            hint="restore to another directory",
        )
    configure(room, {}, worker.account)
    server = _start(room, worker)
    try:
        server.wait_until_ready()
        with connect(server.address) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        yield Copy(room, server.address, parse_lsn(row[0] if row else "0/0"), None, 0)
    finally:
        server.stop()


def _start(room: Room, worker: Worker) -> Postmaster:
    room.make_sockets(worker.account)
    return Postmaster.start(
        worker.programs,
        worker.account,
        room.data,
        sockets=room.sockets,
        log=room.log,
        settings={"config_file": _plain(room.configuration)},
    )


def _plain(path: Path) -> str:
    return str(path.resolve())
