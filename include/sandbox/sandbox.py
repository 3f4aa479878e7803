"""The sandbox as a whole: bring it up, take it down, say how it stands.

A start that fails takes everything down again. State that is left of a crash or a reboot is told
by process ids that no longer mean what they meant; what still runs of it is ended first.

Going down asks first: Airflow's tasks end their children, PostgreSQL writes its checkpoint, the
object store closes its files. What does not answer is killed, and then the process table is
searched for whatever still carries the sandbox's mark.
"""

import fcntl
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from include.sandbox import environment, processes, replication
from include.sandbox.lender import infrastructure
from include.sandbox.place import Place, prepare_place
from include.sandbox.servers import SERVERS, Say, Start, start_everything
from include.sandbox.state import Ports, State, write_private
from ledgerkeep.policy.load import load_policies, refuse_broken_policies

DEFAULT_SIZE_MB = 200

_ENDS_ON = {
    "database": signal.SIGINT,  # PostgreSQL's fast shutdown
    "metadata": signal.SIGINT,
    "store": signal.SIGTERM,
    "replica": signal.SIGTERM,
    "aws": signal.SIGKILL,  # keeps nothing
    "saas": signal.SIGKILL,
}


@dataclass(frozen=True)
class Sandbox:
    """One sandbox; its directory decides what is remembered, its policies what it runs."""

    home: Path
    policies: Path = environment.POLICIES
    """Directory of the policy files that it runs."""

    @property
    def env_file(self) -> Path:
        """The file a shell can source while the sandbox runs."""
        return self.home / "env"

    def state(self) -> State:
        """What is remembered about it."""
        return State.load(self.home)

    def place(self) -> Place:
        """Where its PostgreSQL servers are; made if need be."""
        return prepare_place(self.home)


def default_sandbox() -> Sandbox:
    """The sandbox of this clone."""
    return Sandbox(environment.ROOT / ".sandbox")


def is_up(sandbox: Sandbox) -> bool:
    """Whether every server runs."""
    state = sandbox.state()
    return set(state.running) == _all(state)


def up(sandbox: Sandbox, *, size_mb: int = DEFAULT_SIZE_MB, say: Say = print) -> bool:
    """Start every server that the sandbox needs; False when it was up already.

    :param size_mb: size of the loan database when it has to be made.
    :raises ServerFailed: one did not come up; nothing of the sandbox runs then.
    """
    with _locked(sandbox):
        state = sandbox.state()
        if is_up(sandbox):
            say(f"the sandbox is up already: {environment.airflow_url(state.ports)}")
            return False
        refuse_broken_policies(sandbox.policies)
        shipped = load_policies(sandbox.policies)
        placed = infrastructure.place_policies(sandbox.policies, sandbox.home, shipped)
        place = sandbox.place()
        _end_everything(sandbox, place, state)
        if not state.ports.all_free():
            state = state.model_copy(update={"ports": Ports.choose()})
        try:
            start_everything(Start(sandbox.home, place, state, placed, size_mb, say))
            shell = environment.shell_lines(state, place, shipped, policies_in=placed)
            write_private(sandbox.env_file, shell)
        except BaseException:
            _end_everything(sandbox, place, state)
            raise
        return True


def down(sandbox: Sandbox, *, say: Say = print) -> None:
    """Stop everything; the data stay."""
    if not sandbox.home.exists():
        say("there is no sandbox")
        return
    with _locked(sandbox):
        ended = _end_everything(sandbox, sandbox.place(), sandbox.state())
        say("the sandbox is down" if ended else "the sandbox was not up")


def status(sandbox: Sandbox, *, say: Say = print) -> bool:
    """Say which servers run; True when all do."""
    state = sandbox.state() if sandbox.home.exists() else State()
    names, running = sorted(_all(state)), state.running
    width = max(map(len, names))
    for name in names:
        say(f"{name:{width}} {'runs' if name in running else 'is down'}")
    if set(running) == set(names):
        say(f"{environment.airflow_url(state.ports)}  source {sandbox.env_file}")
    return set(running) == set(names)


def clean(sandbox: Sandbox, *, say: Say = print) -> None:
    """Stop everything and remove the data."""
    down(sandbox, say=say)
    if not sandbox.home.exists():
        return
    shutil.rmtree(sandbox.place().servers)
    shutil.rmtree(sandbox.home)
    say("its data are removed")


def replicate(sandbox: Sandbox, *, backwards: bool, say: Say = print) -> None:
    """Let the documents flow from the primary to the replica, or backwards, as after a failover.

    What changing the replication rules of both buckets does on S3. The way is remembered.

    :raises ServerFailed: a store does not answer; nothing is replicated then.
    """
    with _locked(sandbox):
        state = sandbox.state()
        state.replicates_backwards = backwards
        for pair in replication.pairs(load_policies(sandbox.policies)):
            before = state.servers.pop(pair.name, None)
            if before and before.process:
                processes.end([before.process], first=signal.SIGTERM, grace=10)
            state.servers[pair.name] = replication.start(
                pair, state.ports, home=sandbox.home, backwards=backwards
            )
            state.save(sandbox.home)
            ends = (pair.replica, pair.primary) if backwards else (pair.primary, pair.replica)
            say("{} is replicated to {}".format(*ends))


def _all(state: State) -> frozenset[str]:
    """Names of the servers that have to run."""
    return SERVERS | state.servers.keys()


def _end_everything(sandbox: Sandbox, place: Place, state: State) -> int:
    """End every process of the sandbox; returns how many were found."""
    backing = {name: state.servers[name].process for name in _ENDS_ON if name in state.servers}
    ids = {process.pid for process in backing.values() if process}
    known = state.servers.values()
    ours = processes.leftovers(sandbox.home, place.servers, known)
    # Airflow and its tasks first, so that they can still say goodbye to the servers they use.
    processes.end(
        [process for process in ours if process.pid not in ids], first=signal.SIGTERM, grace=10
    )
    for name, process in backing.items():
        if process:
            processes.send(process, _ENDS_ON[name])
    processes.end([process for process in backing.values() if process], grace=30)
    still_there = processes.leftovers(sandbox.home, place.servers, known)
    processes.end(still_there, first=signal.SIGKILL, grace=5)
    sandbox.env_file.unlink(missing_ok=True)
    return len(ours)


@contextmanager
def _locked(sandbox: Sandbox) -> Iterator[None]:
    """One `up` or `down` at a time; a second one waits."""
    sandbox.home.mkdir(parents=True, exist_ok=True)
    with (sandbox.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
