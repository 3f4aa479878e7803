"""Faults for restores: a process of its own that hangs and can be killed, and a full disk."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from include.sandbox.objectstore import Credentials, ObjectStore
from ledgerkeep.policy.model import Policy
from ledgerkeep.recovery import combine
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.conftest import ROOT
from tests.database.postgres.backup_support import make_catalog
from tests.recovery.conftest import History


def start_restore(
    history: History, target: RecoveryTarget, room: Path, settings: WorkerSettings, *, hang_in: str
) -> "subprocess.Popen[bytes]":
    """Start a restore; it writes a line and hangs when its progress speaks of `hang_in`.

    What combines a chain then hangs with it, see `hanging_combination`.
    """
    task = {
        "endpoint": history.s3.endpoint,
        "access_key": history.s3.user.access_key,
        "secret_key": history.s3.user.secret_key,
        "policy": history.catalog.policy.model_dump_json(),
        "plan": history.plan(target).to_json().decode(),
        "room": str(room),
        "programs": os.pathsep.join(map(str, settings.postgres_programs)),
        "hang_in": hang_in,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdin.write(json.dumps(task).encode())
    process.stdin.close()
    return process


def processes_in(room: Path) -> list[psutil.Process]:
    """Everything that works in the room's directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(room)) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def little_space(directory: Path, megabytes: int = 24) -> Iterator[None]:
    """A file system of so many MB there for a block; without root, files of at most 4 MB."""
    if os.geteuid() == 0:
        options = f"size={megabytes}m,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", directory], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def hanging_combination(room: Path) -> Callable[..., list[str]]:
    """In place of pg_combinebackup: a program of its name that has begun to write, and hangs.

    The real one may have ended before anybody could stop it.
    """
    program = room.parent.parent / combine.PROGRAM
    program.write_text('#!/bin/sh\nmkdir -p "$1/base"\n: > "$1/base/begun"\nkill -s STOP $$\n')
    program.chmod(0o755)
    return lambda *_: [str(program), str(room / "data")]


def combines(process: psutil.Process) -> bool:
    """Whether it is that program; its name is cut off in the process table."""
    return any(Path(word).name == combine.PROGRAM for word in process.cmdline()[:2])


def has_begun() -> bool:
    """Whether the program hangs that combines the chain of this process."""
    children = psutil.Process().children(recursive=True)
    return any(combines(child) and child.status() == psutil.STATUS_STOPPED for child in children)


def main() -> None:
    """The process."""
    task = json.load(sys.stdin)
    user = Credentials(task["access_key"], task["secret_key"])
    server = ObjectStore(task["endpoint"], user, user)

    def hang(done: int, total: int | None, what: str) -> None:
        if not what.startswith(task["hang_in"]):
            return
        if what.startswith("combining"):
            wait_until(has_begun)
        elif done == 0:
            return
        print("hanging", flush=True)
        time.sleep(600)

    if task["hang_in"] == "combining":
        combine._command = hanging_combination(Path(task["room"]))
    restore_cluster(
        make_catalog(server, Policy.model_validate_json(task["policy"])),
        RecoveryPlan.from_json(task["plan"]),
        Path(task["room"]),
        settings=WorkerSettings(postgres_programs=task["programs"]),
        run="test/run",
        purpose="test",
        progress=hang,
    )


if __name__ == "__main__":
    main()
