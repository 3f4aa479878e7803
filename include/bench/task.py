"""Operations of ours as Airflow begins its tasks: forked from a process that has imported them.

    python -m include.bench.task        (asked through its standard input; see `TaskParent`)

The LocalExecutor forks every task from a scheduler that has imported Ledgerkeep
(`ledgerkeep.preload`, docs/operations.md), so a backup of a schedule does not begin with reading
Python files. The parent here is such a process without Airflow: what a fork of it spends from its
first moment on is measured, clients and connections of its own included. What the scheduler and
Airflow's supervisor of a task spend is the same for any program and is not measured.

The command line has no such parent; `Stage.ours_anew` measures that.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from include.bench.measure import CommandFailed, Measured, awaited, settle
from include.bench.ours import carry_out
from ledgerkeep.preload import preload


class TaskParent:
    """A process that has imported Ledgerkeep and waits to be told what to fork for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        # It answers once before anybody asks, when it has imported everything.
        self._answer()

    def measure(self, log: Path, *arguments: str) -> Measured:
        """Measure one operation, as `include.bench.ours` names them.

        :raises CommandFailed:
        """
        assert self._process.stdin is not None
        print(json.dumps([str(log), *arguments]), file=self._process.stdin, flush=True)
        answer = self._answer()
        if answer is None:
            raise CommandFailed(f"{' '.join(arguments)} …\n{log.read_text()[-3000:]}")
        return Measured(**answer)

    def _answer(self) -> dict[str, float] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CommandFailed("the process that forks for the measured operations has ended")
        answer: dict[str, float] | None = json.loads(line)
        return answer


@contextmanager
def task_parent(environment: Mapping[str, str]) -> Iterator[TaskParent]:
    """Such a process for a block; it ends when its standard input does."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        yield TaskParent(process)


def main() -> None:
    """Import, then fork for each line; an answer is null where the operation failed."""
    preload()
    print("{}", flush=True)
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        settle()
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _work(Path(log), arguments)
        measured, exit_code = awaited(child, started)
        print(json.dumps(asdict(measured) if exit_code == 0 else None), flush=True)


def _work(log: Path, arguments: list[str]) -> NoReturn:
    """The fork's life: its output goes to the log, and it ends without the parent's clean-up."""
    status = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        carry_out(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
