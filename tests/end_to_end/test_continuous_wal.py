"""WAL shipped without end through a real scheduler: run after run, by itself, until switched off.

Staging does so here, beside production and its schedule. The server is written to while the runs
are carried out, once; each test then asks one question of what they left behind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from include.sandbox import environment
from include.sandbox.load import write_load
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.cli.airflow_api import AirflowApi, DagRun
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings

pytestmark = pytest.mark.end_to_end

SHIPPING = "staging_database_wal_shipping"
SLOT = "ledgerkeep_staging"
SEGMENT = 16 << 20
PATIENCE = 240
"""Seconds for two runs of five, on a busy machine."""


@dataclass(frozen=True)
class Airflow:
    """What a script may ask of it."""

    ours: Sandbox

    @cached_property
    def api(self) -> AirflowApi:
        """A session of the administrator's."""
        return AirflowApi(self._url, "admin", self.ours.state().secrets.airflow_admin)

    def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first."""
        found = self._get(f"/api/v2/dags/{SHIPPING}/dagRuns")["dag_runs"]
        return sorted(found, key=lambda run: run["run_after"])

    def tasks(self, run_id: str = "~") -> list[dict[str, Any]]:
        """The tasks of a run, or of all."""
        path = f"/api/v2/dags/{SHIPPING}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = self._get(path)["task_instances"]
        return found

    @property
    def _url(self) -> str:
        return environment.airflow_url(self.ours.state().ports)

    @cached_property
    def _viewer(self) -> httpx.Client:
        """A session of somebody who may only look."""
        session = httpx.Client(base_url=self._url, trust_env=False, timeout=60)
        login = {"username": "viewer", "password": self.ours.state().secrets.airflow_viewer}
        token = session.post("/auth/token", json=login).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        return session

    def _get(self, path: str) -> Any:
        return self._viewer.get(path).raise_for_status().json()


@dataclass(frozen=True)
class Stream:
    """What there was when shipping had been switched off again."""

    airflow: Airflow
    source: ServerAddress
    catalog: Catalog
    passed: list[dict[str, Any]]
    """The first runs that passed, by Airflow's word."""

    @property
    def stretches(self) -> list[WalStretch]:
        """All that were recorded, in their order."""
        (system_identifier,) = self.catalog.system_identifiers()
        return self.catalog.stretches(system_identifier)

    def evidence(self, run: dict[str, Any]) -> EvidenceRecord:
        """What a run left."""
        log, now = EvidenceLog(self.catalog.store, self.catalog.policy), utc_now()
        records = {one.run_id: one for one in log.read(now - timedelta(days=1), now)}
        return records[run["dag_run_id"]]

    def stretch(self, run: dict[str, Any]) -> WalStretch:
        """What a run has recorded, by its evidence."""
        (stretch_id,) = self.evidence(run).recovery_point_ids
        return next(one for one in self.stretches if one.id == stretch_id)

    def shipped(self, run: dict[str, Any]) -> tuple[datetime, datetime]:
        """When its task began and ended."""
        (task,) = [one for one in self.airflow.tasks(run["dag_run_id"]) if one["task_id"] == "ship"]
        return moment(task["start_date"]), moment(task["end_date"])

    def slots(self) -> list[tuple[Any, ...]]:
        """Name, whether somebody reads it, and the bytes of WAL that it holds."""
        with connect(self.source) as connection:
            return connection.execute(
                "SELECT slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)"
                f" FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
            ).fetchall()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def wait_until(what: str, holds: Callable[[], Any]) -> None:
    deadline = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        sleep(0.5)


def catalog_of(ours: Sandbox) -> Catalog:
    state, policy = ours.state(), load_environment("staging", ours.policies)
    access = StoreAccess(
        endpoint_url=environment.store_url(state.ports),
        access_key=state.secrets.store_key,
        secret_key=state.secrets.store_secret,
    )
    return Catalog(open_store(policy.storage, WorkerSettings(), access), policy)


@pytest.fixture(scope="module")
def stream(ours: Sandbox) -> Stream:
    """Switch it on, write, wait for two runs, and switch it off in the middle of another."""
    airflow = Airflow(ours)
    source = protected_server(ours.state(), ours.place()).address
    api = airflow.api
    api.wait_for_dags([SHIPPING])

    def passed() -> list[dict[str, Any]]:
        return [run for run in airflow.runs() if run["state"] == "success"]

    def working() -> list[dict[str, Any]]:
        """Not those that are only scheduled: switched off, none of them is begun any more."""
        return [task for task in airflow.tasks() if task["state"] in ("queued", "running")]

    api.switch(SHIPPING, on=True)
    try:
        with write_load(source.to(environment.DATABASE), clients=1, rate=20):
            wait_until("two runs have passed", lambda: len(passed()) >= 2)
    finally:
        api.switch(SHIPPING, on=False)
    api.let_the_scheduler_go_round()
    wait_until("the run under way has ended its interval", lambda: not working())
    return Stream(airflow, source, catalog_of(ours), passed()[:2])


def test_runs_follow_each_other_by_themselves(stream: Stream) -> None:
    """Nobody triggered any; a run begins when the one before has ended, and not before."""
    first, second = stream.passed
    assert [run["run_type"] for run in stream.passed] == ["scheduled", "scheduled"]
    assert moment(second["start_date"]) >= moment(first["end_date"])
    assert first["logical_date"] != second["logical_date"]


def test_each_run_moves_the_recovery_window_on(stream: Stream) -> None:
    """Without a gap; its evidence names what it has recorded."""
    stretches = stream.stretches
    assert len(stretches) >= 2
    for before, after in pairwise(stretches):
        assert after.start_lsn == before.end_lsn
        assert after.covered_until > before.covered_until
    for run in stream.passed:
        assert stream.evidence(run).outcome == "success"
        began, ended = stream.shipped(run)
        assert began < stream.stretch(run).covered_until <= ended


def test_what_waited_between_two_runs_is_in_the_second_ones_figure(stream: Stream) -> None:
    """The server was written to all the time, so something was committed as the first run ended."""
    first, second = stream.passed
    alone = stream.shipped(second)[0] - stream.shipped(first)[1]
    lag = stream.stretch(second).durable_after
    assert lag is not None
    assert lag.max_seconds > alone.total_seconds() - 1
    measured = stream.evidence(second).measurements
    assert measured["commit_to_durable_max_seconds"] == lag.max_seconds


def test_log_says_what_can_be_recovered_and_how_soon_it_was_durable(stream: Stream) -> None:
    run = DagRun(SHIPPING, stream.passed[1]["dag_run_id"])
    api = stream.airflow.api
    (task,) = [one for one in api.tasks(run) if one.task_id == "ship"]
    log = "\n".join(api.log(run, task))
    until = stream.stretch(stream.passed[1]).covered_until
    assert f"every transaction before {until:%Y-%m-%d %H:%M:%S} UTC can be recovered" in log
    assert "from commit to durable: half within " in log


def test_switched_off_it_leaves_nobody_behind(stream: Stream) -> None:
    """The run under way ended its interval and recorded it; the slot holds what came since."""
    assert len(stream.stretches) >= 2
    ((_, active, held),) = stream.slots()
    assert not active
    assert held < 2 * SEGMENT
    with connect(stream.source) as connection:
        assert connection.execute("SELECT pid FROM pg_stat_replication").fetchall() == []
        (position,) = connection.execute(
            f"SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        ).fetchall()
    assert parse_lsn(position[0]) == stream.stretches[-1].end_lsn


def test_who_ends_it_for_good_drops_the_slot(stream: Stream) -> None:
    """Or it would hold WAL for ever; keep this one last."""
    with connect(stream.source) as connection:
        connection.execute(f"SELECT pg_drop_replication_slot('{SLOT}')")
    assert stream.slots() == []
