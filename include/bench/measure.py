"""One measured command: a process of its own, its wall time and its peak memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

Row = tuple[str, str, str, str]
"""What was measured, ours, the peer's, and the ratio."""


@dataclass(frozen=True)
class Measured:
    """What the operating system says about a finished process."""

    seconds: float
    peak_mb: float
    """Largest resident set of the process itself (MB)."""


class CommandFailed(Exception):
    """A measured command did not succeed; with the end of what it printed."""


def measure(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Run a command to its end.

    :raises CommandFailed:
    """
    settle()
    with log.open("ab") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        measured, process.returncode = awaited(process.pid, started)
    if process.returncode != 0:
        raise CommandFailed(f"{' '.join(command[:8])} …\n{log.read_text()[-3000:]}")
    return measured


def settle() -> None:
    """Let the disk finish what earlier commands left it to write, so that nobody pays for another.

    Whoever flushes a file waits for the disk, also for what the store was given minutes ago.
    """
    os.sync()


def awaited(pid: int, started: float) -> tuple[Measured, int]:
    """Wait for a child to end: what it took, and its exit code.

    :param started: `time.monotonic()` when it began.
    """
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    return Measured(seconds, usage.ru_maxrss / 1024), os.waitstatus_to_exitcode(status)


def measure_apart(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Measured:
    """Run a command to its end, begun by a small process.

    Linux counts to a process what the one that began it had taken: where that is much, the peak
    would be ours and not the command's.

    :raises CommandFailed:
    """
    apart = [sys.executable, "-m", __name__, str(log), *command]
    done = subprocess.run(apart, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise CommandFailed(done.stderr[-3000:])
    return Measured(**json.loads(done.stdout))


def middle(runs: Sequence[Measured]) -> Measured:
    """Median of each figure."""
    return Measured(median(run.seconds for run in runs), median(run.peak_mb for run in runs))


def compared(what: str, ours: Measured, theirs: Measured) -> Row:
    """A row of two times and their ratio."""
    ratio = ours.seconds / theirs.seconds
    return what, f"{ours.seconds:.1f} s", f"{theirs.seconds:.1f} s", f"{ratio:.2f}"


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[2:], log=Path(sys.argv[1])))))
