"""The main job through a real scheduler: backed up, killed, shipped, restored, proven, reported.

The runs are carried out once, while a write load goes on; each test then asks one question of what
they left behind.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

import httpx
import psutil
import pytest
from psycopg.sql import SQL, Identifier
from rich.console import Console

from include.sandbox import environment, processes, sandbox
from include.sandbox.database import DatabaseServer
from include.sandbox.load import write_load
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, ProofLevel
from ledgerkeep.cli.airflow_api import FINISHED, AirflowApi, DagRun, TaskState
from ledgerkeep.cli.watch import Watcher
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings

pytestmark = pytest.mark.end_to_end

FULL_BACKUP = "production_database_full_backup"
WAL_SHIPPING = "production_database_wal_shipping"
RESTORE_TEST = "production_test_point_in_time_recovery"
REPORT = "production_compliance_report"
PATIENCE = 180
"""Seconds for one run, on a busy machine."""


@dataclass(frozen=True)
class Story:
    """The runs, and everything they left."""

    ours: Sandbox
    api: AirflowApi
    backup: DagRun
    shipping: DagRun
    restore: DagRun
    hopeless: DagRun
    """A restore test against a fingerprint that there is not."""
    report: DagRun

    @property
    def runs(self) -> list[DagRun]:
        """All of them."""
        return [self.backup, self.shipping, self.restore, self.hopeless, self.report]

    @property
    def url(self) -> str:
        """Of Airflow."""
        return environment.airflow_url(self.ours.state().ports)

    @property
    def source(self) -> DatabaseServer:
        """The protected server."""
        return protected_server(self.ours.state(), self.ours.place())

    @property
    def catalog(self) -> Catalog:
        """What is stored."""
        state = self.ours.state()
        policy = load_environment("production")
        access = StoreAccess(
            endpoint_url=environment.store_url(state.ports),
            access_key=state.secrets.store_key,
            secret_key=state.secrets.store_secret,
        )
        return Catalog(open_store(policy.storage, WorkerSettings(), access), policy)

    @property
    def system_identifier(self) -> str:
        """Of the one cluster in the catalog."""
        (found,) = self.catalog.system_identifiers()
        return found

    @property
    def made(self) -> BaseBackup:
        """The one backup of the backup's run; a schedule may have made others meanwhile."""
        backups = self.catalog.backups(self.system_identifier)
        (found,) = [one for one in backups if one.run == self.backup.name]
        return found

    @property
    def report_model(self) -> dict[str, Any]:
        """The newest report's JSON."""
        store = self.catalog.store
        listed = [one.key for one in store.list(keys.reports("production"))]
        newest = max(key for key in listed if key.endswith(".json"))
        assert newest.removesuffix(".json") + ".html" in listed
        found: dict[str, Any] = json.loads(store.get(newest))
        return found

    def task(self, run: DagRun, task_id: str) -> TaskState:
        """A task of a run, as it ended."""
        return next(task for task in self.api.tasks(run) if task.task_id == task_id)


def wait_until(what: str, holds: Callable[[], Any], *, every: float = 0.5) -> Any:
    """The first truth that `holds` returns."""
    deadline = monotonic() + PATIENCE
    while not (found := holds()):
        assert monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        sleep(every)
    return found


def end_of(api: AirflowApi, run: DagRun) -> str:
    """The state in which a run ends."""
    wait_until(f"{run.name} ends", lambda: api.state(run) in FINISHED)
    return api.state(run)


@contextmanager
def switched_on(api: AirflowApi) -> Iterator[None]:
    """The DAGs of the main job, for a block."""
    dags = [FULL_BACKUP, WAL_SHIPPING, RESTORE_TEST, REPORT]
    api.wait_for_dags(dags)
    for dag_id in dags:
        api.switch(dag_id, on=True)
    yield
    for dag_id in dags:
        api.switch(dag_id, on=False)


def kill_the_stream(source: ServerAddress) -> None:
    """SIGKILL the task that streams a base backup, while it does."""
    streaming = SQL(
        "SELECT client_port FROM pg_stat_progress_basebackup JOIN pg_stat_activity USING (pid)"
    )
    with connect(source) as connection:
        (port,) = wait_until(
            "the backup streams", lambda: connection.execute(streaming).fetchone(), every=0.01
        )
    (pid,) = {
        one.pid
        for one in psutil.net_connections("tcp")
        if one.laddr.port == port and one.raddr and one.raddr.port == source.port
    }
    psutil.Process(pid).kill()


@pytest.fixture(scope="module")
def story(ours: Sandbox) -> Story:
    """Carry out the main job."""
    state = ours.state()
    api = AirflowApi(environment.airflow_url(state.ports), "admin", state.secrets.airflow_admin)
    watcher = Watcher(api, Console())
    source = protected_server(state, ours.place()).address
    with (
        switched_on(api),
        write_load(source.to(environment.DATABASE), clients=2, rate=20),
    ):
        backup = api.trigger(FULL_BACKUP)
        kill_the_stream(source)
        # While the killed task waits for its second try, the others go on.
        shipping = api.trigger(WAL_SHIPPING)
        hopeless = api.trigger(RESTORE_TEST, {"fingerprint": "fingerprint-that-never-was"})
        watcher.follow(shipping)
        assert end_of(api, hopeless) == "failed"
        watcher.follow(backup)
        restore = api.trigger(RESTORE_TEST)
        watcher.follow(restore)
        report = api.trigger(REPORT)
        watcher.follow(report)
    return Story(ours, api, backup, shipping, restore, hopeless, report)


# -- Airflow


def test_every_file_of_ours_is_read_without_error(story: Story) -> None:
    for path in ("importErrors", "plugins/importErrors"):
        found = httpx.get(f"{story.url}/api/v2/{path}", headers=login(story), trust_env=False)
        assert found.json()["total_entries"] == 0


def test_runs_pass_exactly_when_their_verdict_does(story: Story) -> None:
    verdicts = {run: story.task(run, "verdict").state for run in story.runs}
    assert verdicts == {
        story.backup: "success",
        story.shipping: "success",
        story.restore: "success",
        story.hopeless: "failed",
        story.report: "success",
    }


def test_killed_backup_is_made_by_its_second_try(story: Story) -> None:
    assert story.task(story.backup, "stream").try_number == 2
    assert story.made.file_count > 500


def test_kill_leaves_nothing_half(story: Story) -> None:
    """No backup that does not count, no slot but the policy's, nobody at it, no room."""
    assert story.catalog.unfinished_backups(story.system_identifier) == []
    with connect(story.source.address) as connection:
        slots = connection.execute("SELECT slot_name, active FROM pg_replication_slots").fetchall()
    assert slots == [("ledgerkeep_production", False)]
    assert list(story.ours.place().rooms.iterdir()) == []


def test_hopeless_run_says_what_to_do_and_is_not_tried_again(story: Story) -> None:
    task = story.task(story.hopeless, "fingerprint")
    assert (task.state, task.try_number) == ("failed", 1)
    log = "\n".join(story.api.log(story.hopeless, task))
    assert "no fingerprint fingerprint-that-never-was" in log
    assert "Hint: " in log
    assert story.task(story.hopeless, "restore").state == "upstream_failed"


# -- what is stored


def test_backup_is_proven(story: Story) -> None:
    snapshot = story.catalog.snapshot(story.system_identifier)
    assert snapshot.level(story.made.id) == ProofLevel.PROVEN
    proof = snapshot.proofs[story.made.id][-1]
    assert proof.run == story.restore.name
    assert proof.tables_compared >= 9
    assert proof.rows_compared > 10_000


def test_evidence_is_whole_and_has_every_run(story: Story) -> None:
    log = EvidenceLog(story.catalog.store, story.catalog.policy)
    assert log.verify().sequence >= len(story.runs)
    now = utc_now()
    records = {record.run: record for record in log.read(now - timedelta(days=1), now)}
    for run in story.runs:
        outcome = "failed" if run is story.hopeless else "success"
        assert records[run.name].outcome == outcome
        assert records[run.name].triggered_by == "admin"
    assert records[story.hopeless.name].tasks["fingerprint"] == "failed"


def test_report_agrees_with_airflow(story: Story) -> None:
    report = story.report_model
    assert report["history"]["why_not"] == ""
    assert report["history"]["runs"] >= 4
    assert report["history"]["agreeing"] == report["history"]["runs"]
    assert report["chain"]["verified"]


def test_report_shows_the_restore_test_and_its_figures(story: Story) -> None:
    rows = {row["run"]: row for row in story.report_model["restore_tests"]}
    row = rows[story.restore.name]
    assert (row["level"], row["outcome"]) == ("proven", "success")
    assert row["rto_met"]
    assert row["rpo_met"]
    assert rows[story.hopeless.name]["outcome"] == "failed"


def test_command_lists_the_catalog(story: Story) -> None:
    """With `.sandbox/env` sourced, as the README says."""
    done = subprocess.run(
        [
            "sh",
            "-c",
            '. "$1" && exec ledgerkeep list --environment production --json',
            "sh",
            str(story.ours.env_file),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)
    assert story.made.id in done.stdout


# -- who may see what


def login(story: Story) -> dict[str, str]:
    """A viewer's header."""
    answer = httpx.post(
        f"{story.url}/auth/token",
        json={"username": "viewer", "password": story.ours.state().secrets.airflow_viewer},
        trust_env=False,
    )
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_pages_need_a_login(story: Story) -> None:
    page = f"{story.url}/ledgerkeep/"
    assert httpx.get(page, trust_env=False).status_code == 401
    seen = httpx.get(page, headers=login(story), trust_env=False, timeout=60)
    assert seen.status_code == 200
    assert "<td class='proven'>proven</td>" in seen.text


def secrets_of(story: Story) -> list[str]:
    known = story.ours.state().secrets
    return [
        known.database_password,
        known.store_secret,
        known.store_admin_secret,
        known.metadata_password,
        known.airflow_viewer,
    ]


def test_no_log_holds_a_secret(story: Story) -> None:
    home = story.ours.home
    logs = [path for path in (home / "airflow" / "logs").rglob("*") if path.is_file()]
    logs += (home / "logs").iterdir()
    assert any("task_id=restore" in str(path) for path in logs)
    for path in logs:
        text = path.read_text(errors="replace")
        assert not any(secret in text for secret in secrets_of(story)), path


def test_nothing_stored_holds_a_secret(story: Story) -> None:
    """Records, evidence and reports; the backup itself is the database's own affair."""
    store = story.catalog.store
    readable = [
        one.key for one in store.list("production/") if one.key.endswith((".json", ".html"))
    ]
    assert len(readable) > 10
    for key in readable:
        text = store.get(key).decode()
        assert not any(secret in text for secret in secrets_of(story)), key


def test_airflow_remembers_no_secret(story: Story) -> None:
    """XComs, rendered fields, asset events, audit log: every table of its database."""
    state = story.ours.state()
    address = ServerAddress(
        host="127.0.0.1",
        port=state.ports.metadata,
        password=state.secrets.metadata_password,
        database=environment.METADATA,
    )
    with connect(address) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        assert ("xcom",) in names
        for (name,) in names:
            found = connection.execute(
                SQL(
                    "SELECT count(*) FROM {} AS one, unnest(%s::text[]) AS secret "
                    "WHERE position(secret IN one::text) > 0"
                ).format(Identifier(name)),
                [secrets_of(story)],
            ).fetchone()
            assert found == (0,), name


# -- the end; keep it last


def test_going_down_leaves_no_process(story: Story) -> None:
    state = story.ours.state()
    servers = story.ours.place().servers
    sandbox.down(story.ours)
    assert processes.leftovers(story.ours.home, servers, state.servers.values()) == []
    assert not story.ours.env_file.exists()
