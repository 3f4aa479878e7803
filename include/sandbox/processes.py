"""The sandbox's servers as processes that outlive the command which started them.

Each runs in a session of its own, with its output in a log, and carries the sandbox's directory in
the environment variable `LEDGERKEEP_SANDBOX`. Children inherit it, so whatever a server leaves
behind can be found by that mark, by whatever way the server ended. A process is known by its id
*and* its start: after a reboot an id alone could be anybody's.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import psutil
from pydantic import BaseModel, ConfigDict

from ledgerkeep.database.postgres.programs import Account

MARK = "LEDGERKEEP_SANDBOX"

_NOT_INHERITED = (
    "AIRFLOW_",
    "AWS_",
    "LEDGERKEEP_",
    "PG",
    "PYTHON",
    "VIRTUAL_ENV",
    "MOTO_",
    "WEED_",
)


class ServerFailed(Exception):
    """A server of the sandbox ended, or did not answer in time; with the end of its log.

    It is read at once: the log itself may be removed together with what went down.
    """

    def __init__(self, name: str, log: Path, what: str) -> None:
        super().__init__(f"{name} {what}")
        self.name = name
        self.log = log
        self.end_of_log = _tail(log)
        self.add_note(f"the end of {log}:\n{self.end_of_log}")


def _tail(log: Path, lines: int = 25) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


class Daemon(BaseModel):
    """A process that was started: its id and when."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @property
    def process(self) -> psutil.Process | None:
        """The process while it runs; None when it ended or the id is somebody else's by now."""
        try:
            found = psutil.Process(self.pid)
            # The kernel's boot time, which start times are counted from, is rounded to seconds.
            if abs(found.create_time() - self.started) > 2:
                return None
            return None if found.status() == psutil.STATUS_ZOMBIE else found
        except psutil.NoSuchProcess:
            return None


def start(
    command: Sequence[str],
    *,
    home: Path,
    log: Path,
    directory: Path,
    environment: Mapping[str, str],
    account: Account | None = None,
) -> Daemon:
    """Start a server and return at once.

    :param home: the sandbox's directory, which becomes the mark.
    :param environment: the whole environment; nothing is inherited.
    :param account: whose process it is, when not ours.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            account.command(command) if account else list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**environment, MARK: str(home)},
            start_new_session=True,
        )
    return daemon(process.pid)


def daemon(pid: int) -> Daemon:
    """A process that runs now, as a `Daemon`."""
    try:
        return Daemon(pid=pid, started=psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return Daemon(pid=pid, started=0)


def inherited_environment() -> dict[str, str]:
    """The caller's environment without what would lead a server to another account or project."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }


def wait_until(
    ready: Callable[[], bool], server: Daemon, *, name: str, log: Path, timeout: float
) -> None:
    """Return when `ready` says so.

    :param timeout: seconds.
    :raises ServerFailed: the server ended first, or the time is over.
    """
    deadline = monotonic() + timeout
    while not ready():
        if server.process is None:
            raise ServerFailed(name, log, "ended before it answered")
        if monotonic() > deadline:
            raise ServerFailed(name, log, f"did not answer within {timeout:.0f} s")
        sleep(0.1)


def leftovers(home: Path, servers: Path, known: Iterable[Daemon]) -> list[psutil.Process]:
    """Every process of this sandbox that still runs.

    :param servers: where its PostgreSQL data lie; a restored copy's server carries no mark, but
        its data directory is below.
    :param known: servers that were started; whatever is left of their sessions counts.
    """
    sessions = {server.pid: server.started for server in known}
    return [
        process
        for process in psutil.process_iter()
        if process.pid != os.getpid() and _belongs(process, str(home), str(servers), sessions)
    ]


def _belongs(
    process: psutil.Process, home: str, servers: str, sessions: Mapping[int, float]
) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # The id of a session is not given out again while a process is in it.
        begun = sessions.get(os.getsid(process.pid))
        if begun is not None and process.create_time() > begun - 2:
            return True
        return process.environ().get(MARK) == home or _serves(process.cmdline(), servers)
    except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError):
        return False


def _serves(command: Sequence[str], servers: str) -> bool:
    """Whether it is a PostgreSQL program on a data directory below `servers`."""
    return any(
        option == "-D" and directory.startswith(f"{servers}/")
        for option, directory in pairwise(command)
    )


def end(
    processes: Iterable[psutil.Process], *, first: signal.Signals | None = None, grace: float
) -> None:
    """Ask processes to end, wait up to `grace` seconds, and kill those that still run.

    :param first: the signal that asks; none when they were asked before.
    """
    asked = list(processes)
    if first is not None:
        for process in asked:
            send(process, first)
    _, still_there = psutil.wait_procs(asked, timeout=grace)
    for process in still_there:
        send(process, signal.SIGKILL)
    psutil.wait_procs(still_there, timeout=10)


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal; a process that has ended by now is as good."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
