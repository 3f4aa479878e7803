"""A DAG run in memory: what Airflow hands to a task, and what it keeps of it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.sdk import BaseOperator

from ledgerkeep.operators.base import CONTRIBUTION

_SMALL = 10_000
"""Bytes of JSON that a task may leave in XCom."""


@dataclass
class Run:
    """One run; `do` carries out a task as the scheduler would."""

    dag_id: str
    run_id: str = "manual__1"
    run_type: str = "manual"
    params: dict[str, Any] = field(default_factory=dict)
    triggered_by: str | None = "dana"
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    states: dict[str, str] = field(default_factory=dict)
    left: dict[tuple[str, str], Any] = field(default_factory=dict)
    returned: dict[str, Any] = field(default_factory=dict)
    events: dict[Any, SimpleNamespace] = field(default_factory=dict)
    triggering: dict[Any, list[SimpleNamespace]] = field(default_factory=dict)
    """Asset → the events that started the run."""

    @property
    def name(self) -> str:
        return f"{self.dag_id}/{self.run_id}"

    def do(self, task: BaseOperator) -> Any:
        """Execute a task and note its state; its error comes through."""
        self.states[task.task_id] = "running"
        self.events |= {asset: SimpleNamespace(extra=None) for asset in task.outlets}
        try:
            result = task.execute(self.context(task))
        except BaseException:
            self.states[task.task_id] = "failed"
            raise
        self.states[task.task_id] = "success"
        assert len(json.dumps(result)) < _SMALL
        self.returned[task.task_id] = result
        return result

    def contribution(self, task_id: str) -> dict[str, Any]:
        """What a task left for the evidence."""
        return self.left[task_id, CONTRIBUTION]

    def context(self, task: BaseOperator) -> Any:
        dag_run = SimpleNamespace(
            dag_id=self.dag_id,
            run_id=self.run_id,
            run_type=self.run_type,
            start_date=self.start_date,
            triggering_user_name=self.triggered_by,
        )
        instance = _TaskInstance(self, task.task_id)
        return {
            "dag_run": dag_run,
            "ti": instance,
            "task_instance": instance,
            "outlet_events": self.events,
            "triggering_asset_events": self.triggering,
            "params": self.params,
        }


@dataclass
class _TaskInstance:
    run: Run
    task_id: str
    id: str = "a-task-instance"

    def xcom_push(self, *, key: str, value: Any) -> None:
        assert len(json.dumps(value)) < _SMALL
        self.run.left[self.task_id, key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self.run.left.get((task_ids, key))

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        assert (dag_id, run_ids) == (self.run.dag_id, [self.run.run_id])
        return {self.run.run_id: dict(self.run.states)}
