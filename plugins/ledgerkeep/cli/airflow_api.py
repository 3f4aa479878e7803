"""Airflow's REST API as a script needs it: start a run, watch it, read what it returned.

Everything goes the way an operator's script would go, with a user's password and the public API;
nothing reads Airflow's database.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

import httpx

from ledgerkeep.errors import AirflowRefused

_HINTS = {
    401: "the user or the password is wrong: AIRFLOW_USERNAME, AIRFLOW_PASSWORD",
    403: "this user may not do that; ask for the role that may trigger DAGs",
    404: "does the policy of that environment enable it? look at the DAGs in Airflow",
}

_ROUNDS = 4
"""Heartbeats to wait for: the first that is seen may be an old one, and the round of the next may
have begun before the question."""

FINISHED = frozenset({"success", "failed"})


@dataclass(frozen=True)
class TaskState:
    """A task of a run, as it stands."""

    task_id: str
    state: str
    """`none` before the scheduler has looked at it."""
    try_number: int
    started_at: str | None
    map_index: int = -1
    """Which one of a mapped task's instances; -1: the task is not mapped."""

    @property
    def waits_for_a_person(self) -> bool:
        """Whether somebody has to answer before it goes on."""
        return self.state == "awaiting_input"

    @property
    def failed(self) -> bool:
        """Whether it failed itself (and not because one before it did)."""
        return self.state == "failed"


@dataclass(frozen=True)
class DagRun:
    """A run that was started."""

    dag_id: str
    run_id: str

    @property
    def name(self) -> str:
        """As evidence and reports name it."""
        return f"{self.dag_id}/{self.run_id}"


class AirflowApi:
    """A session of one user."""

    def __init__(self, url: str, username: str, password: str) -> None:
        """Log in.

        :raises AirflowRefused: the password is wrong, or there is no Airflow.
        """
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)
        login = {"username": username, "password": password}
        token = self._call("POST", "/auth/token", json=login)["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def wait_for_dags(self, dag_ids: list[str], *, timeout: float = 90) -> None:
        """Return when all these DAGs have been read.

        :raises AirflowRefused: one cannot be imported, or the time (seconds) is over.
        """
        deadline = monotonic() + timeout
        while missing := [name for name in dag_ids if not self._knows(name)]:
            problems = self._call("GET", "/api/v2/importErrors")["import_errors"]
            if problems or monotonic() > deadline:
                why = "\n".join(f"{one['filename']}: {one['stack_trace']}" for one in problems)
                raise AirflowRefused(f"Airflow has no DAG {', '.join(missing)}\n{why}".rstrip())
            sleep(0.5)

    def switch(self, dag_id: str, *, on: bool) -> bool:
        """Switch a DAG on or off; returns whether it was on before."""
        was_on = self.is_on(dag_id)
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": not on})
        return was_on

    def watch_events(self, dag_id: str) -> None:
        """Have what starts the DAG watched from now on, which was just switched on.

        Airflow notes the events of DAGs that are on whenever it reads their files (3.3): without
        being asked, `min_file_process_interval` later.
        """
        token = self._call("GET", f"/api/v2/dags/{dag_id}")["file_token"]
        self._call("PUT", f"/api/v2/parseDagFile/{token}")

    def is_on(self, dag_id: str) -> bool:
        """Whether the DAG is switched on (not paused).

        :raises AirflowRefused: there is no such DAG.
        """
        return not self._call("GET", f"/api/v2/dags/{dag_id}")["is_paused"]

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, *, prefix: str = "script"
    ) -> DagRun:
        """Start a run.

        :param prefix: what the run's id begins with, so that a person sees where it came from.
        """
        run_id = f"{prefix}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f%z}"
        asked = {"logical_date": None, "dag_run_id": run_id, "conf": conf or {}}
        self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=asked)
        return DagRun(dag_id, run_id)

    def run_ids(self, dag_id: str) -> list[str]:
        """Ids of the newest runs of a DAG, whoever started them, newest first."""
        asked = {"order_by": "-run_after", "limit": 100}
        found = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns", params=asked)
        return [str(one["dag_run_id"]) for one in found["dag_runs"]]

    def state(self, run: DagRun) -> str:
        """State of the run: queued, running, success or failed."""
        return str(self._call("GET", self._path(run))["state"])

    def tasks(self, run: DagRun) -> list[TaskState]:
        """The run's tasks, in the order in which they started; those that did not, last."""
        found = self._call("GET", f"{self._path(run)}/taskInstances")["task_instances"]
        tasks = [
            TaskState(
                task_id=one["task_id"],
                state=one["state"] or "none",
                try_number=one["try_number"],
                started_at=one["start_date"],
                map_index=one["map_index"],
            )
            for one in found
        ]
        return sorted(tasks, key=lambda task: (task.started_at is None, task.started_at or ""))

    def returned(self, run: DagRun, task_id: str) -> Any:
        """What a task returned (its XCom); None when it returned nothing."""
        path = f"{self._path(run)}/taskInstances/{task_id}/xcomEntries/return_value"
        answer = self._client.get(path, params={"stringify": "false"})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._understood("GET", path, answer)["value"]

    def answer(self, run: DagRun, task_id: str, option: str) -> None:
        """Answer a task that waits for a person, as the user of this session.

        Not at once: a task that is resumed before the scheduler has seen it leave its worker is
        taken for a killed one, and asks again (Airflow 3.3). So the scheduler may go round first.

        :param option: `Approve` or `Reject`, for an approval.
        :raises AirflowRefused: it does not wait, was answered already, or the user may not.
        """
        self.let_the_scheduler_go_round()
        path = f"{self._path(run)}/taskInstances/{task_id}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def log(self, run: DagRun, task: TaskState) -> list[str]:
        """The lines of a task's log, as far as it is written."""
        path = f"{self._path(run)}/taskInstances/{task.task_id}/logs/{task.try_number}"
        answer = self._call(
            "GET",
            path,
            params={"map_index": task.map_index},
            headers={"Accept": "application/json"},
        )
        return [_line(one) for one in answer["content"]]

    def let_the_scheduler_go_round(self) -> None:
        """Return after some of its heartbeats; each is sent at the end of a round."""
        before = ""
        for _ in range(_ROUNDS):
            while (beat := self._heartbeat()) == before:
                sleep(0.2)
            before = beat

    def _heartbeat(self) -> str:
        scheduler = self._call("GET", "/api/v2/monitor/health")["scheduler"]
        if scheduler["status"] != "healthy":
            raise AirflowRefused(
                "airflow's scheduler is down, so nothing would come of an answer",
                hint="start the scheduler, then answer",
            )
        return str(scheduler["latest_scheduler_heartbeat"])

    def _knows(self, dag_id: str) -> bool:
        return self._client.get(f"/api/v2/dags/{dag_id}").status_code == httpx.codes.OK

    def _path(self, run: DagRun) -> str:
        return f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"

    def _call(self, method: str, path: str, **how: Any) -> Any:
        try:
            answer = self._client.request(method, path, **how)
        except httpx.TransportError as problem:
            raise AirflowRefused(
                f"no answer from Airflow at {self._client.base_url}: {problem}",
                hint="is its API server up, and is AIRFLOW_API_URL its address?",
            ) from problem
        return self._understood(method, path, answer)

    def _understood(self, method: str, path: str, answer: httpx.Response) -> Any:
        if answer.is_error:
            hint = _HINTS.get(answer.status_code, "the API server's log says more")
            raise AirflowRefused(
                f"airflow refused {method} {path}: {answer.status_code} {_detail(answer)}",
                hint=hint,
            )
        return answer.json()


def _detail(answer: httpx.Response) -> str:
    """What a refusal says, on one line."""
    try:
        said = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        said = answer.text
    return " ".join(str(said).split())[:500]


def _line(content: Any) -> str:
    """A line of a log: structured where Airflow could read it, otherwise as it is."""
    if isinstance(content, str):
        return content
    text = str(content["event"])
    for error in content.get("error_detail") or []:
        text += f"\n{error.get('exc_type')}: {error.get('exc_value')}"
    return text
