"""Waiting for runs of a real Airflow, and what to say when one does not end."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from ledgerkeep.cli.airflow_api import FINISHED, AirflowApi, DagRun

PATIENCE = 300
"""Seconds for runs side by side, on a busy machine."""


def wait_until(what: str, holds: Callable[[], Any], found: Callable[[], str]) -> None:
    """Return when it holds; `found` says how things stand when it does not."""
    deadline = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < deadline, f"not within {PATIENCE} s: {what}\n{found()}"
        sleep(0.5)


def standing(api: AirflowApi, *runs: DagRun) -> str:
    """Where each task of the runs stands, and the log of what neither passed nor waits its turn."""
    lines = []
    for run in runs:
        for task in api.tasks(run):
            lines.append(f"{run.name} {task.task_id}: {task.state}, try {task.try_number}")
            if task.try_number and task.state not in ("success", "upstream_failed"):
                lines += [f"    {line}" for line in api.log(run, task)[-20:]]
    return "\n".join(lines)


def finish(api: AirflowApi, *runs: DagRun, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Return when all runs have ended."""

    def ended() -> bool:
        meanwhile()
        return all(api.state(run) in FINISHED for run in runs)

    wait_until("the runs end", ended, lambda: standing(api, *runs))
