"""A run is followed to its end, and passes only if every task of it succeeded."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from ledgerkeep.cli.airflow_api import DagRun, TaskState
from ledgerkeep.cli.watch import RunFailed, Watcher

RUN = DagRun("backup", "run")


def task(name: str, state: str, *, tried: int = 1) -> TaskState:
    return TaskState(name, state, tried, None if state == "none" else f"2026-01-01 {name}")


class FakeAirflow:
    """Plays a run, moment by moment."""

    def __init__(self, *moments: tuple[str, list[TaskState]], logs: dict[str, list[str]]) -> None:
        self._moments: Iterator[tuple[str, list[TaskState]]] = iter(moments)
        self._logs = logs
        self._tasks: list[TaskState] = []

    def state(self, run: DagRun) -> str:
        assert run == RUN
        state, self._tasks = next(self._moments)
        return state

    def tasks(self, run: DagRun) -> list[TaskState]:
        return self._tasks

    def log(self, run: DagRun, task: TaskState) -> list[str]:
        return self._logs.get(task.task_id, [])


def follow(airflow: FakeAirflow) -> list[str]:
    said = io.StringIO()
    Watcher(airflow, Console(file=said, width=200)).follow(RUN)
    return [" ".join(line.split()[2:]) for line in said.getvalue().splitlines()]


def test_each_change_is_a_line_with_task_and_bytes() -> None:
    logs = {"a": ["begin", "base backup: 12.0 MB of 20.0 MB (60 %), 2 s, 6.0 MB/s", "still"]}
    running = ("running", [task("a", "running"), task("verdict", "none")])
    airflow = FakeAirflow(
        ("queued", [task("a", "none"), task("verdict", "none")]),
        running,
        running,
        ("success", [task("a", "success"), task("verdict", "success")]),
        logs=logs,
    )
    progress = "base backup: 12.0 MB of 20.0 MB (60 %), 2 s, 6.0 MB/s"
    assert follow(airflow) == [
        "backup queued",
        f"backup running a (0/2) {progress}",
        f"backup success verdict (2/2) {progress}",
    ]


def test_the_task_that_failed_first_is_shown_with_the_end_of_its_log() -> None:
    tasks = [
        task("a", "success"),
        task("b", "failed"),
        task("c", "upstream_failed"),
        task("verdict", "failed"),
    ]
    airflow = FakeAirflow(("failed", tasks), logs={"b": ["the disk is full", "Hint: make room"]})
    with pytest.raises(RunFailed) as caught:
        follow(airflow)
    assert caught.value.message == "backup failed in its task b:\nthe disk is full\nHint: make room"
    assert caught.value.hint == "the whole log is in Airflow, run run"


def test_a_green_run_whose_verdict_was_skipped_did_not_pass() -> None:
    tasks = [task("a", "success"), task("verdict", "skipped")]
    with pytest.raises(RunFailed) as caught:
        follow(FakeAirflow(("success", tasks), logs={}))
    assert caught.value.message == "backup did not pass: verdict skipped"
    assert caught.value.hint == "look at the run run in Airflow"


def test_a_task_that_the_verdict_passed_over_is_no_failure() -> None:
    """The verdict fails a run in which something was skipped that should not have been."""
    tasks = [task("a", "skipped"), task("b", "success"), task("verdict", "success")]
    assert follow(FakeAirflow(("success", tasks), logs={})) == ["backup success verdict (2/3)"]


def test_what_is_skipped_without_a_verdict_did_not_pass() -> None:
    with pytest.raises(RunFailed) as caught:
        follow(FakeAirflow(("success", [task("a", "skipped"), task("b", "success")]), logs={}))
    assert caught.value.message == "backup did not pass: a skipped"


def test_a_second_try_is_announced() -> None:
    airflow = FakeAirflow(
        ("running", [task("a", "up_for_retry")]),
        ("success", [task("a", "success", tried=2)]),
        logs={},
    )
    assert follow(airflow) == [
        "backup running a (0/1) try 1 failed, waiting for the next",
        "backup success a (1/1)",
    ]
