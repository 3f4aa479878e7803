"""Recovery on demand through a real scheduler: asked for by one person, decided by another.

Three recoveries wait at the same time: one is approved, one rejected, and one approved by the very
person who asked for it.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.sandbox import Sandbox
from include.sandbox.servers import protected_server
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.cli.airflow_api import AirflowApi, AirflowRefused, DagRun
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.end_to_end.waiting import finish, standing, wait_until

pytestmark = pytest.mark.end_to_end

FULL_BACKUP = "production_database_full_backup"
WAL_SHIPPING = "production_database_wal_shipping"
RECOVERY = "production_database_point_in_time_recovery"


@dataclass(frozen=True)
class Recoveries:
    """The three of them, as they ended."""

    ours: Sandbox
    api: AirflowApi
    approved: DagRun
    rejected: DagRun
    own: DagRun
    """Approved by the person who asked for it."""

    @property
    def catalog(self) -> Catalog:
        """What is stored."""
        state, policy = self.ours.state(), load_environment("production")
        access = StoreAccess(
            endpoint_url=environment.store_url(state.ports),
            access_key=state.secrets.store_key,
            secret_key=state.secrets.store_secret,
        )
        return Catalog(open_store(policy.storage, WorkerSettings(), access), policy)

    def evidence(self, run: DagRun) -> EvidenceRecord:
        """What a run left as evidence."""
        log = EvidenceLog(self.catalog.store, self.catalog.policy)
        now = utc_now()
        return {one.run: one for one in log.read(now - timedelta(days=1), now)}[run.name]

    def states(self, run: DagRun) -> dict[str, str]:
        """Each task's state."""
        return {task.task_id: task.state for task in self.api.tasks(run)}

    def log(self, run: DagRun, task_id: str) -> str:
        """A task's log."""
        task = next(task for task in self.api.tasks(run) if task.task_id == task_id)
        return "\n".join(self.api.log(run, task))


def waits(api: AirflowApi, run: DagRun) -> bool:
    """Whether the run waits for its approval.

    It can do so twice: Airflow takes a task that is resumed before its scheduler has seen it leave
    its worker for a killed one, and tries it again. Answers here come at once, on a busy machine.
    """
    return any(task.state == "awaiting_input" for task in api.tasks(run))


def make_and_lose_a_row(source: ServerAddress) -> str:
    """A customer who is deleted again; returns the WAL position in between."""
    with connect(source) as connection:
        connection.execute(
            "INSERT INTO customers (name, email, country, created_at) "
            "VALUES ('Lost', 'lost@example.com', 'DE', now())"
        )
        row = connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        connection.execute("DELETE FROM customers WHERE email = 'lost@example.com'")
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def recoveries(ours: Sandbox) -> Iterator[Recoveries]:
    """Back up, lose a row, and ask three times for the moment before."""
    state = ours.state()
    url, secrets = environment.airflow_url(state.ports), state.secrets
    admin = AirflowApi(url, "admin", secrets.airflow_admin)
    approver = AirflowApi(url, "approver", secrets.airflow_approver)
    dags = [FULL_BACKUP, WAL_SHIPPING, RECOVERY]
    admin.wait_for_dags(dags)
    for dag_id in dags:
        admin.switch(dag_id, on=True)
    finish(admin, admin.trigger(FULL_BACKUP))
    source = protected_server(state, ours.place()).address.to(environment.DATABASE)
    position = make_and_lose_a_row(source)
    finish(admin, admin.trigger(WAL_SHIPPING))

    asked = {
        "target_kind": "lsn",
        "target_value": position,
        "scenario": "accidental_deletion",
        "reason": "customer deleted by mistake, INC-7",
    }
    runs = [admin.trigger(RECOVERY, asked) for _ in range(3)]
    wait_until(
        "all three wait",
        lambda: all(waits(admin, run) for run in runs),
        lambda: standing(admin, *runs),
    )
    approved, rejected, own = runs

    def answer() -> None:
        for run, who, said in (
            (rejected, approver, "Reject"),
            (own, admin, "Approve"),
            (approved, approver, "Approve"),
        ):
            if waits(admin, run):
                who.answer(run, "approve", said)

    finish(admin, *runs, meanwhile=answer)
    yield Recoveries(ours, admin, approved, rejected, own)
    for dag_id in dags:
        admin.switch(dag_id, on=False)
    for room in ours.place().rooms.iterdir():
        shutil.rmtree(room)


def test_approved_recovery_passes_and_every_task_did(recoveries: Recoveries) -> None:
    assert recoveries.states(recoveries.approved) == dict.fromkeys(
        [
            "plan",
            "prepare_room",
            "approve",
            "restore",
            "validate",
            "check_application",
            "check_documents",
            "hand_over",
            "runbook",
            "settle",
            "verdict",
        ],
        "success",
    )


def test_copy_has_the_row_that_was_lost(recoveries: Recoveries) -> None:
    """Started with the very command that the run gave."""
    handover = recoveries.api.returned(recoveries.approved, "hand_over")
    account = recoveries.ours.place().account

    def do(command: list[str]) -> str:
        return subprocess.run(
            account.command(command), check=True, capture_output=True, text=True, cwd="/"
        ).stdout

    with_services = ["env", f"PGSERVICEFILE={handover['services']}"]
    psql = str(Path(handover["start"][0]).with_name("psql"))
    lost = "SELECT name FROM customers WHERE email = 'lost@example.com'"
    subprocess.run(
        account.command(handover["start"]), check=True, stdout=subprocess.DEVNULL, cwd="/"
    )
    try:
        found = do([*with_services, psql, "service=loan_management", "-Atc", lost])
    finally:
        do(handover["stop"])
    assert found == "Lost\n"


def test_who_asked_who_approved_and_what_was_shown_is_evidence(recoveries: Recoveries) -> None:
    record = recoveries.evidence(recoveries.approved)
    assert (record.kind, record.outcome, record.triggered_by) == ("recovery", "success", "admin")
    assert record.facts["requested_by"] == "admin"
    assert record.facts["answered_by"] == "approver"
    assert record.facts["answer"] == "Approve"
    assert record.facts["reason"] == "customer deleted by mistake, INC-7"
    assert record.target is not None
    assert record.target.name == "accidental_deletion"
    met = {one.name: one.met for one in record.criteria}
    assert met["data integrity"]
    assert met["application works"]
    assert met["recovery within RTO and RPO"]
    assert record.measurements["approval_wait_seconds"] > 0
    assert "query_open_loans_of_a_customer_source_seconds" in record.measurements


def test_runbook_is_stored_and_shown(recoveries: Recoveries) -> None:
    key = recoveries.api.returned(recoveries.approved, "runbook")
    runbook = recoveries.catalog.store.get(key).decode()
    assert "| approved by | approver at " in runbook
    assert "## 3. Switch the application over" in recoveries.log(recoveries.approved, "runbook")


def test_progress_is_told_while_it_restores(recoveries: Recoveries) -> None:
    log = recoveries.log(recoveries.approved, "restore")
    assert "restore of the base backup: " in log
    assert "replay at " in log
    assert " s left" in log


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("rejected", "approver rejected the recovery"),
        ("own", "admin asked for the recovery and approved it too: that takes a second person"),
    ],
)
def test_recovery_that_no_second_person_approved_fails_and_restores_nothing(
    recoveries: Recoveries, which: str, message: str
) -> None:
    run: DagRun = getattr(recoveries, which)
    states = recoveries.states(run)
    assert recoveries.api.state(run) == "failed"
    assert (states["approve"], states["restore"]) == ("failed", "upstream_failed")
    assert (states["settle"], states["verdict"]) == ("success", "failed")
    assert message in recoveries.log(run, "approve")
    record = recoveries.evidence(run)
    assert message in [finding.what for finding in record.findings]
    assert {one.words for one in record.criteria} == {"not shown"}


def test_only_the_approved_recovery_left_a_copy(recoveries: Recoveries) -> None:
    handover = recoveries.api.returned(recoveries.approved, "hand_over")
    rooms = list(recoveries.ours.place().rooms.iterdir())
    assert rooms == [Path(handover["services"]).parent]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (
            {"target_value": "2026-03-01T14:30:00", "reason": "rows deleted, INC-8"},
            "a time without its offset from UTC; add +00:00 if it is UTC",
        ),
        ({"target_kind": "latest"}, "reason"),
        ({"target_kind": "yesterday", "reason": "rows deleted, INC-8"}, "is not one of"),
        ({"target_kind": "latest", "reason": "oops"}, "too short"),
    ],
)
def test_wrong_form_is_refused_before_there_is_a_run(
    recoveries: Recoveries, form: dict[str, str], words: str
) -> None:
    with pytest.raises(AirflowRefused, match=words.replace("+", r"\+")):
        recoveries.api.trigger(RECOVERY, form)
