"""Programs that a source runs, such as git and terraform: none of them outlives the task.

A child runs in a process group of its own, and with it a watcher that waits on a pipe whose other
end only this process holds. When this process ends, by whatever way, SIGKILL included, the kernel
closes the pipe and the watcher kills the group: the child and whatever it has started itself.

A child sees nothing of this process's environment but what is handed to it, and reads no input, so
that it can ask nobody for a password.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from ledgerkeep.errors import ConfigurationError, WorkerError
from ledgerkeep.policy.values import format_duration

_SCRIPT = """
exec 3<&0 </dev/null
( read -r _ <&3; kill -s KILL 0 ) >/dev/null 2>&1 &
watch=$!
exec 3<&-
"$@"
status=$?
kill "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
exit "$status"
"""
_CHUNK = 1024 * 1024
_TOLD = 2000
"""Characters of what a program said last that are kept for a message."""


@dataclass(frozen=True)
class Said:
    """What a program that has ended said."""

    code: int
    output: str
    errors: str
    """The end of it, in one line."""


@dataclass(frozen=True)
class Program:
    """A program on this worker, and how it is run."""

    path: str
    environment: Mapping[str, str]
    patience: timedelta
    """Longest that one run may take."""

    def run(self, *arguments: str, directory: Path, **more: str) -> Said:
        """Run it to its end.

        :param more: environment variables of this run alone.
        :raises ConfigurationError: it took too long, and was killed.
        """
        with self._running(arguments, directory, more) as (child, errors):
            output = child.stdout.read() if child.stdout else b""
            code = child.wait()
            return Said(code, output.decode(errors="replace"), _end_of(errors))

    def stream(self, *arguments: str, directory: Path, what: str) -> Iterator[bytes]:
        """What it writes, while it runs; it is killed when nobody reads on.

        :param what: for the message when it fails: "bundle the repository code".
        :raises ConfigurationError: it failed, or took too long.
        """
        with self._running(arguments, directory, {}) as (child, errors):
            while child.stdout and (chunk := child.stdout.read(_CHUNK)):
                yield chunk
            if child.wait() != 0:
                raise ConfigurationError(
                    f"{Path(self.path).name} could not {what}: {_end_of(errors)}",
                    hint="look at what it says; nothing was stored",
                )

    @contextmanager
    def _running(
        self, arguments: Sequence[str], directory: Path, more: Mapping[str, str]
    ) -> Iterator[tuple["subprocess.Popen[bytes]", BinaryIO]]:
        theirs, ours = os.pipe()
        late = threading.Event()
        with tempfile.TemporaryFile() as errors:
            try:
                child = subprocess.Popen(
                    ["/bin/sh", "-c", _SCRIPT, "watched", self.path, *arguments],
                    stdin=theirs,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=directory,
                    start_new_session=True,
                    env={**self.environment, **more},
                )
            except BaseException:
                os.close(ours)
                raise
            finally:
                os.close(theirs)
            timer = threading.Timer(self.patience.total_seconds(), _kill, (child, late))
            timer.daemon = True
            timer.start()
            try:
                yield child, errors
            finally:
                timer.cancel()
                _kill(child)
                os.close(ours)
                if child.stdout:
                    child.stdout.close()
                if late.is_set():
                    raise self._too_long(arguments[0])

    def _too_long(self, verb: str) -> ConfigurationError:
        return ConfigurationError(
            f"{Path(self.path).name} {verb} took longer than {format_duration(self.patience)} "
            "and was ended",
            hint="find out what it waits for, or raise the source's patience in the policy",
        )


def program(name: str, environment: Mapping[str, str], patience: timedelta) -> Program:
    """A program of the worker's PATH.

    :raises WorkerError: it is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise WorkerError(
            f"{name} is not on this worker's PATH",
            hint=f"install {name} on the workers, or take its source out of the policy",
        )
    return Program(path, environment, patience)


def inherited(names: Sequence[str]) -> dict[str, str]:
    """Those of this process's environment variables that a child may see."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _kill(child: "subprocess.Popen[bytes]", late: threading.Event | None = None) -> None:
    if child.poll() is not None:
        return
    if late is not None:
        late.set()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end_of(errors: BinaryIO) -> str:
    errors.seek(0)
    return " ".join(errors.read().decode(errors="replace").split())[-_TOLD:]
