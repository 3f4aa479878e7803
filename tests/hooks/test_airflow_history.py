"""Airflow's run history over its REST API; the server here answers as the documentation says.

The end-to-end test asks a real one.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow

from ledgerkeep.evidence.history import AirflowRun
from ledgerkeep.hooks.airflow_history import HistoryUnavailable, airflow_runs

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2026, 12, 1, tzinfo=UTC)
STEM = "Airflow's history could not be read over the connection history: "


def run(number: int, **other: Any) -> dict[str, Any]:
    """A DAG run as the API shows it."""
    return {
        "dag_run_id": f"manual__{number}",
        "dag_id": "production_database_full_backup",
        "logical_date": None,
        "queued_at": "2026-11-02T01:00:00Z",
        "start_date": "2026-11-02T01:00:01Z",
        "end_date": "2026-11-02T01:00:30Z",
        "duration": 29.0,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": "2026-11-02T01:00:00Z",
        "last_scheduling_decision": None,
        "run_type": "manual",
        "state": "success",
        "triggered_by": "ui",
        "triggering_user_name": "dana",
        "conf": {},
        "note": None,
        "dag_versions": [],
        "bundle_version": None,
        "dag_display_name": "production_database_full_backup",
        "partition_key": None,
        "partition_date": None,
        **other,
    }


class Api(ThreadingHTTPServer):
    """Airflow's API: a login, and DAG runs by pages."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs = runs
        self.asked: list[dict[str, list[str]]] = []
        self.token: dict[str, str] | str = {"access_token": "a-token"}


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/auth/token" or login != {"username": "viewer", "password": "let-me"}:
            self._answer(401, {"detail": "Invalid credentials"})
        else:
            self._answer(201, self.server.token)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self.headers["Authorization"] != "Bearer a-token":
            self._answer(403, {"detail": "Forbidden"})
            return
        assert parts.path == "/api/v2/dags/~/dagRuns"
        asked = parse_qs(parts.query)
        self.server.asked.append(asked)
        start = int(asked["offset"][0])
        page = self.server.runs[start : start + int(asked["limit"][0])]
        self._answer(200, {"dag_runs": page, "total_entries": len(self.server.runs)})

    def _answer(self, status: int, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api([])
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def connection(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, api.server_port)


def connect(monkeypatch: pytest.MonkeyPatch, port: int, password: str = "let-me") -> None:
    fields = {
        "conn_type": "http",
        "schema": "http",
        "host": "127.0.0.1",
        "port": port,
        "login": "viewer",
        "password": password,
    }
    monkeypatch.setenv("AIRFLOW_CONN_HISTORY", json.dumps(fields))


def read() -> list[AirflowRun]:
    return airflow_runs("history", environment="production", since=SINCE, until=UNTIL)


def test_run_is_told_in_airflows_own_words(api: Api) -> None:
    api.runs = [run(1), run(2, state="running", run_type="scheduled", end_date=None)]
    first, second = read()
    assert first == AirflowRun(
        dag_id="production_database_full_backup",
        run_id="manual__1",
        state="success",
        run_type="manual",
        start_date=datetime(2026, 11, 2, 1, 0, 1, tzinfo=UTC),
        end_date=datetime(2026, 11, 2, 1, 0, 30, tzinfo=UTC),
        triggering_user_name="dana",
    )
    assert (second.state, second.run_type, second.end_date) == ("running", "scheduled", None)


def test_only_the_environments_runs_of_the_time_are_asked_for(api: Api) -> None:
    assert read() == []
    (asked,) = api.asked
    assert asked["dag_id_prefix_pattern"] == ["production_"]
    assert asked["run_after_gte"] == ["2026-11-01T00:00:00.000000+0000"]
    assert asked["run_after_lt"] == ["2026-12-01T00:00:00.000000+0000"]
    assert asked["order_by"] == ["run_after"]


@pytest.mark.parametrize("count", [99, 100, 250])
def test_every_page_is_read(api: Api, count: int) -> None:
    api.runs = [run(number) for number in range(count)]
    assert [one.run_id for one in read()] == [f"manual__{number}" for number in range(count)]


def test_connection_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_HISTORY")
    with pytest.raises(HistoryUnavailable) as caught:
        read()
    assert str(caught.value) == STEM + "The conn_id `history` isn't defined"


def test_wrong_password_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, api.server_port, password="wrong")
    with pytest.raises(HistoryUnavailable) as caught:
        read()
    assert str(caught.value) == STEM + "HTTP Error 401: Unauthorized"


def test_account_that_may_not_see_runs_is_told(api: Api) -> None:
    api.token = {"access_token": "another-token"}
    with pytest.raises(HistoryUnavailable, match=r"\(403\) Reason: Forbidden"):
        read()


def test_airflow_that_does_not_answer_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, 1)
    with pytest.raises(HistoryUnavailable) as caught:
        read()
    assert str(caught.value) == STEM + "<urlopen error [Errno 111] Connection refused>"


def test_something_that_is_not_airflow_is_told(api: Api) -> None:
    """A wrong port must not cost the report."""
    api.token = "<html>"
    with pytest.raises(HistoryUnavailable, match="Expecting value: line 1 column 1"):
        read()


def test_login_without_a_token_is_told(api: Api) -> None:
    api.token = {"detail": "welcome"}
    with pytest.raises(HistoryUnavailable) as caught:
        read()
    assert str(caught.value) == (
        STEM + f"what answers at http://127.0.0.1:{api.server_port} gives no token"
    )


def test_run_in_words_of_a_later_airflow_is_told(api: Api) -> None:
    api.runs = [run(1, state="parked")]
    with pytest.raises(HistoryUnavailable, match="'queued', 'running', 'success' or 'failed'"):
        read()
