"""A restored copy handed over to a person: out of recovery, stopped, ready to be started.

As long as a copy is in recovery it depends on our process, which feeds it WAL. Whoever restores by
hand wants a database that stands on its own: so recovery is ended at the target, the server is shut
down cleanly, and its configuration no longer names anything of ours. It still archives nothing and
listens on its own socket only: what it may replace is for a person to decide.

`handover.json` is written last and is the line between ours and theirs: a room that has it is never
held, started over or removed again, whatever task is repeated, since its server may by then be the
production database.

Public: `hand_over(catalog, room, *, settings) -> Handover`, `start_copy(handover, *, settings)`,
`stop_copy(handover, *, settings)`, `Handover.find(room)`, `stands_at(plan, recovered_to)`,
`settle_room(directory, run)`.
"""

import shlex
import subprocess
from datetime import datetime
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import connect
from ledgerkeep.database.postgres.programs import Account, server_account
from ledgerkeep.errors import RestoreFailed
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.preflight import find_worker
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.settings import configure
from ledgerkeep.worker import WorkerSettings

_PORT = 5432
_USER = "postgres"


class Handover(Record):
    """How to use a copy that was handed over."""

    at: UtcDatetime
    account: str
    """Whose files they are, and who must start the server."""
    start: list[str]
    """The command that starts the server."""
    stop: list[str]
    """The command that stops it."""
    status: list[str]
    """The command that tells whether it runs."""
    socket_directory: str
    """What clients name as their host."""
    port: int = _PORT
    user: str = _USER
    timeline: int
    """Of the copy: it left the source's history when its recovery ended."""
    services: str
    """File with the connection parameters of each database, for libpq (PGSERVICEFILE)."""
    databases: list[str]
    """The services' names, too."""

    @classmethod
    def find(cls, room: Room) -> "Handover | None":
        """How the room's copy was handed over; None: it was not."""
        try:
            return cls.from_json(room.handover.read_bytes())
        except FileNotFoundError:
            return None

    def describe(self) -> list[str]:
        """The next steps, for people."""
        return [
            f"start it:      (as {self.account}) {shlex.join(self.start)}",
            f"reach it:      psql -h {shlex.quote(self.socket_directory)} -U {self.user}",
        ]


def hand_over(catalog: Catalog, room: Room, *, settings: WorkerSettings) -> Handover:
    """End the copy's recovery at its target and leave it stopped; repeatable.

    :raises RestoreFailed, RecoveryStopped: it did not come up, or could not be promoted.
    """
    if (made := Handover.find(room)) is not None:
        return made
    worker = find_worker(settings, room.record.plan.major)
    with open_copy(catalog, room, settings=settings) as copy:
        if not room.promoted:
            promote_copy(copy)
        with connect(copy.address) as connection:
            row = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
    timeline = int(row[0][:8], 16) if row else room.record.plan.timeline
    handover = _handover(
        room,
        catalog.policy.database.databases,
        timeline,
        worker.account.name,
        worker.programs.path("pg_ctl"),
    )
    with room.held():
        room.make_sockets(worker.account)
        configure(room, {"unix_socket_directories": str(room.sockets)}, worker.account)
        write_whole(Path(handover.services), _services(handover).encode(), worker.account)
        write_whole(room.handover, handover.to_json(), worker.account)
    return handover


def start_copy(handover: Handover, *, settings: WorkerSettings) -> None:
    """Start the server of a copy that was handed over, for good; one that runs is left alone.

    It outlives this process, on purpose.

    :raises RestoreFailed: it did not start.
    """
    account = server_account(settings)
    if _control(handover.status, account).returncode == 0:
        return
    done = _control(handover.start, account)
    if done.returncode != 0:
        raise RestoreFailed(
            f"the copy was handed over but did not start: {' '.join(done.stdout.split())}",
            hint="its log is named in the command that starts it: " + shlex.join(handover.start),
        )


def stop_copy(handover: Handover, *, settings: WorkerSettings) -> None:
    """Stop the server of a copy that was handed over; one that does not run is left alone.

    :raises RestoreFailed: it did not stop.
    """
    account = server_account(settings)
    if _control(handover.status, account).returncode != 0:
        return
    done = _control(handover.stop, account)
    if done.returncode != 0:
        raise RestoreFailed(
            f"the copy did not stop: {' '.join(done.stdout.split())}",
            hint="stop it with: " + shlex.join(handover.stop),
        )


def stands_at(plan: RecoveryPlan, recovered_to: datetime | None) -> datetime:
    """The moment whose data the copy holds; what was committed later is not in it.

    :param recovered_to: commit time of the last transaction that was replayed.
    """
    if plan.target.time is not None:
        return min(plan.target.time, plan.reaches_time)
    if plan.target.latest:
        return plan.reaches_time
    return recovered_to or plan.backup_stopped_at


class Settled(Record):
    """What became of the room of a recovery."""

    words: str
    needs_attention: bool
    """Whether something lies there that nobody was handed."""


def settle_room(directory: Path, run: str) -> Settled:
    """Remove the room of a recovery if no copy came into being in it, otherwise keep it.

    A copy that failed a check may still be the best there is: a person decides, not a clean-up.

    :raises OperationRunning: a task still works in it.
    """
    room = Room.find(directory)
    if room is None or room.record.run != run:
        return Settled(words="no copy was made", needs_attention=False)
    if room.handover.exists():
        return Settled(words=f"the copy in {directory} was handed over", needs_attention=False)
    if not room.complete:
        room.remove()
        return Settled(words=f"what was begun in {directory} is removed", needs_attention=False)
    return Settled(
        words=f"the copy in {directory} is kept, and was not handed over: clear the failed task to "
        "try it again, mark it as success and clear what follows to take the copy over all the "
        f"same, or remove it: rm -r {shlex.quote(str(directory))}",
        needs_attention=True,
    )


def _handover(
    room: Room, databases: list[str], timeline: int, account: str, pg_ctl: str
) -> Handover:
    data = ["-D", str(room.data)]
    return Handover(
        at=utc_now(),
        account=account,
        start=[
            pg_ctl,
            *data,
            *("-o", f"-c config_file={shlex.quote(str(room.configuration))}"),
            *("-l", str(room.log)),
            "start",
        ],
        stop=[pg_ctl, *data, "-m", "fast", "stop"],
        status=[pg_ctl, *data, "status"],
        socket_directory=str(room.sockets),
        timeline=timeline,
        services=str(room.directory / "pg_service.conf"),
        databases=databases,
    )


def _services(handover: Handover) -> str:
    """Connection parameters as libpq reads them; a password has no place in a file
    (PostgreSQL: "The Connection Service File").
    """
    return "\n".join(
        f"[{database}]\nhost={handover.socket_directory}\nport={handover.port}\n"
        f"dbname={database}\nuser={handover.user}\n"
        for database in handover.databases
    )


def _control(command: list[str], account: Account) -> "subprocess.CompletedProcess[str]":
    done: subprocess.CompletedProcess[str] = subprocess.run(
        account.command(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )
    return done


def write_whole(path: Path, body: bytes, account: Account) -> None:
    """Replace a file as a whole: a killed task leaves none that is half written."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(body)
    unfinished.chmod(0o600)
    account.own(unfinished)
    unfinished.replace(path)
