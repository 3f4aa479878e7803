"""A DAG run on the terminal while it works: which task, how many bytes, how long.

On a terminal one line per run is kept up to date; elsewhere (a pipe, a CI log) a line is printed
whenever something changed.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from ledgerkeep.cli.airflow_api import FINISHED, AirflowApi, DagRun, TaskState
from ledgerkeep.errors import RunFailed

_BYTES = re.compile(r"\d ?(?:B|kB|MB|GB|TB)\b")
_INTERVAL = 0.7
_VERDICT = "verdict"
_SHOWN = frozenset({"running", "up_for_retry", "deferred", "awaiting_input"})


@dataclass(frozen=True)
class Moment:
    """What is to be seen of a run at one moment."""

    state: str
    task: str
    detail: str


class Watcher:
    """Follows runs to their end."""

    def __init__(self, api: AirflowApi, console: Console) -> None:
        self._api = api
        self._console = console

    def follow(self, run: DagRun) -> float:
        """Show a run until it ends; returns how long it took, in seconds.

        :raises RunFailed: it did not pass.
        """
        began = monotonic()
        with self._display(run, began) as show:
            while True:
                state = self._api.state(run)
                tasks = self._api.tasks(run)
                show(self._moment(run, state, tasks))
                if state in FINISHED:
                    break
                sleep(_INTERVAL)
        self._judge(run, state, tasks)
        return monotonic() - began

    def _moment(self, run: DagRun, state: str, tasks: list[TaskState]) -> Moment:
        ended = [task for task in tasks if task.state in FINISHED]
        current = next((task for task in tasks if task.state in _SHOWN), None)
        shown = current or (ended[-1] if ended else None)
        if shown is None:
            return Moment(state, "", "")
        name = f"{shown.task_id} ({len(ended)}/{len(tasks)})"
        if shown.state == "up_for_retry":
            return Moment(state, name, f"try {shown.try_number} failed, waiting for the next")
        if shown.waits_for_a_person:
            return Moment(state, name, "waits for a person, see Required Actions in Airflow")
        return Moment(state, name, self._bytes(run, tasks if state in FINISHED else [shown]))

    def _bytes(self, run: DagRun, tasks: list[TaskState]) -> str:
        """The last line with a size in the logs of these tasks."""
        for task in reversed(tasks):
            if task.started_at is None:
                continue
            for line in reversed(self._api.log(run, task)):
                if _BYTES.search(line):
                    return line.splitlines()[0]
        return ""

    @contextmanager
    def _display(self, run: DagRun, began: float) -> Iterator["_Display"]:
        if not self._console.is_terminal:
            yield _Plain(self._console, run, began)
            return
        with Live(console=self._console, auto_refresh=False) as live:
            yield _Line(live, run, began)

    def _judge(self, run: DagRun, state: str, tasks: list[TaskState]) -> None:
        # Airflow may call a run successful whose verdict task was never reached.
        bad = [task for task in tasks if task.state not in _good(tasks)]
        if state == "success" and not bad:
            return
        guilty = next((task for task in tasks if task.failed), None)
        if guilty is None:
            states = ", ".join(f"{task.task_id} {task.state}" for task in bad)
            raise RunFailed(
                f"{run.dag_id} did not pass: {states}",
                hint=f"look at the run {run.run_id} in Airflow",
            )
        tail = "\n".join("\n".join(self._api.log(run, guilty)).splitlines()[-30:])
        raise RunFailed(
            f"{run.dag_id} failed in its task {guilty.task_id}:\n{tail}",
            hint=f"the whole log is in Airflow, run {run.run_id}",
        )


def _good(tasks: list[TaskState]) -> set[str]:
    """States of tasks that passed: whether one was rightly skipped is for the verdict to say."""
    judged = any(task.task_id == _VERDICT and task.state == "success" for task in tasks)
    return {"success", "skipped"} if judged else {"success"}


class _Display(ABC):
    """Shows one run."""

    def __init__(self, run: DagRun, began: float) -> None:
        self._run = run
        self._began = began

    @abstractmethod
    def __call__(self, moment: Moment) -> None:
        """Show what is now."""

    def _text(self, moment: Moment) -> str:
        elapsed = f"{monotonic() - self._began:5.0f} s"
        return f"{elapsed}  {self._run.dag_id}  {moment.state:8} {moment.task:30} {moment.detail}"


class _Plain(_Display):
    def __init__(self, console: Console, run: DagRun, began: float) -> None:
        super().__init__(run, began)
        self._console = console
        self._before: Moment | None = None

    def __call__(self, moment: Moment) -> None:
        if moment != self._before:
            self._console.print(escape(self._text(moment)), soft_wrap=True, highlight=False)
        self._before = moment


class _Line(_Display):
    _STYLE = {"success": "green", "failed": "red"}

    def __init__(self, live: Live, run: DagRun, began: float) -> None:
        super().__init__(run, began)
        self._live = live

    def __call__(self, moment: Moment) -> None:
        style = self._STYLE.get(moment.state, "cyan")
        self._live.update(f"[{style}]{escape(self._text(moment))}[/]", refresh=True)
