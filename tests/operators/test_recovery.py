"""A recovery on demand task by task, against the real servers; and its runbook, followed."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.evidence.collect import Contribution
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.operators.application import CheckApplicationOperator
from ledgerkeep.operators.approval import ApproveOperator
from ledgerkeep.operators.full_backup import BaseBackupOperator
from ledgerkeep.operators.proof import ValidateCopyOperator
from ledgerkeep.operators.recovery import (
    READABLE,
    REQUEST,
    HandOverOperator,
    PlanFullRestoreOperator,
    PlanPointInTimeOperator,
    PrepareRecoveryRoomOperator,
    RestoreApprovedOperator,
    SettleRoomOperator,
    WriteRunbookOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.wal import ShipWalOperator
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.room import Room
from ledgerkeep.worker import worker_settings
from tests.operators.conftest import Protected, database_connection
from tests.operators.test_restore import back_up
from tests.recovery.test_room import record as room_record

pytestmark = pytest.mark.integration

ENVIRONMENT = {"environment": "production"}
FORM = {
    "target_kind": "latest",
    "target_value": "",
    "stop_at": "after",
    "scenario": "database_failure",
    "reason": "the disk is gone, INC-1",
    "destination": "",
    "afterwards": "stopped",
    "backup": "",
    "timeline": "",
}
FULL = {name: FORM[name] for name in ("scenario", "reason", "destination", "afterwards")}


def recovery(**form: str) -> Run:
    return Run("production_database_point_in_time_recovery", params={**FORM, **form})


@pytest.fixture
def saved(protected: Protected) -> Iterator[str]:
    """A backup, and WAL after it; what recoveries leave is removed."""
    backup_id = back_up()
    Run("production_database_wal_shipping").do(ShipWalOperator(task_id="ship", **ENVIRONMENT))
    yield backup_id
    for room in worker_settings().rooms.iterdir():
        stop(room)
        shutil.rmtree(room)


def stop(room: Path) -> None:
    """Stop a server that was left running in a room."""
    found = Room.find(room)
    if found is not None and found.server_pid() is not None:
        assert found.handover.exists()
        program = worker_settings().postgres_programs[0] / "pg_ctl"
        command = [program, "-D", found.data, "-m", "immediate", "stop"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=owner(room))


def owner(path: Path) -> int:
    return path.stat().st_uid


def carry_out(run: Run, plan: Any, **hand_over: Any) -> tuple[dict[str, Any], str]:
    """The tasks after the plan but the approval; returns the handover and the runbook's key."""
    common = {"plan": plan, "destination": run.params.get("destination", ""), **ENVIRONMENT}
    run.do(PrepareRecoveryRoomOperator(task_id="prepare_room", **common))
    restored = run.do(RestoreApprovedOperator(task_id="restore", approval_required=False, **common))
    run.do(ValidateCopyOperator(task_id="validate", restored=restored, proven=None, **common))
    run.do(CheckApplicationOperator(task_id="check_application", slow_fails=False, **common))
    handover = run.do(
        HandOverOperator(task_id="hand_over", restored=restored, **hand_over, **common)
    )
    key: str = run.do(
        WriteRunbookOperator(
            task_id="runbook",
            request=run.left["plan", REQUEST],
            handover=handover,
            approval={"answered_by": "bea", "answered_at": "2026-03-01T03:10:00+00:00"},
            **common,
        )
    )
    return handover, key


def blocks(runbook: str) -> list[str]:
    """The commands of a runbook, in their order."""
    return re.findall(r"```sh\n(.*?)```", runbook, re.DOTALL)


def section(runbook: str, title: str) -> list[str]:
    (text,) = (part for part in runbook.split("\n## ") if part.startswith(title))
    return blocks(text)


def follow(command: str, room: Path, **more: str) -> str:
    """Do what the runbook says, as the account that it says."""
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        user=owner(room),
        env={"PATH": "/usr/bin:/bin", **more},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def test_recovery_ends_with_a_runbook_that_can_be_followed(
    protected: Protected, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the form to the switched application and back, by the commands as they stand."""
    run = recovery()
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    handover, key = carry_out(run, plan)
    run.do(SettleRoomOperator(task_id="settle", **ENVIRONMENT))

    room = Path(handover["services"]).parent
    assert room.parent == worker_settings().rooms
    runbook = (room / "runbook.md").read_text()
    assert protected.catalog.store.get(key).decode() == runbook
    assert "| approved by | bea at 2026-03-01T03:10:00+00:00 |" in runbook
    assert "| reason | the disk is gone, INC-1 |" in runbook
    assert "sandbox-password" not in runbook

    password = {"PGPASSWORD": "sandbox-password"}
    _, start = section(runbook, "1. Start")
    assert "server started" in follow(start, room)
    in_recovery, *checks, _ = section(runbook, "2. Check it")
    assert follow(in_recovery, room) == "f\n"
    assert ["(0 rows)" in follow(check, room) for check in checks] == [True, True]

    close, listen = section(runbook, "3. Switch")
    follow(close, room, **password)
    assert accepts(protected.cluster.address.to("postgres")) == [("loan_management", False)]
    # An address of its own: 127.0.0.1 may have a server on that port.
    follow(listen.replace("10.0.0.0/8", "127.0.0.0/8").replace("*", "127.0.0.77"), room)
    copy = replace(
        protected.cluster.address,
        host="127.0.0.77",
        port=handover["port"],
        database="loan_management",
    )
    with connect(copy) as connection:
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        connection.execute("CREATE TABLE written_after_the_switch (id int)")

    (backup,) = section(runbook, "4. Protect it")
    assert backup.strip() == (
        "airflow dags trigger production_database_full_backup "
        """--conf '{"adopt_timeline": "2"}'"""
    )
    with monkeypatch.context() as patched:
        moved = database_connection(protected.cluster, host=copy.host, port=copy.port)
        patched.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE", moved)
        first = Run("production_database_full_backup", "after the switch")
        stream = BaseBackupOperator(task_id="stream", adopt_timeline="2", **ENVIRONMENT)
        adopted = protected.catalog.streamed_backup(plan["system_identifier"], first.do(stream))
        assert adopted is not None
        assert adopted.timeline == 2
    (back,) = section(runbook, "Going back")
    follow(back, room, **password)
    assert accepts(protected.cluster.address) == [("loan_management", True)]
    (remove,) = section(runbook, "When it is over")
    follow(remove.replace(str(room), f"{room}/data"), room)


def accepts(address: ServerAddress) -> list[tuple]:
    with connect(address) as connection:
        return connection.execute(
            "SELECT datname, datallowconn FROM pg_database WHERE datname = 'loan_management'"
        ).fetchall()


def test_evidence_states_the_four_criteria_and_who_asked(protected: Protected, saved: str) -> None:
    run = recovery()
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    carry_out(run, plan)
    verdict = run.do(VerdictOperator(task_id="verdict", kind="recovery", **ENVIRONMENT))

    evidence = EvidenceRecord.from_json(protected.catalog.store.get(verdict["evidence"]))
    assert [(one.name, one.met) for one in evidence.criteria] == [
        ("data integrity", True),
        ("application works", True),
        ("performance within range", True),
        ("recovery within RTO and RPO", True),
    ]
    assert evidence.criteria[0].words.startswith("validated; pg_amcheck: 1 hold, loan_management: ")
    assert "open_loans_of_a_customer" in evidence.criteria[2].words
    assert evidence.target is not None
    assert evidence.target.name == "database_failure"
    assert evidence.facts["requested_by"] == "dana"
    assert evidence.facts["reason"] == "the disk is gone, INC-1"
    assert evidence.facts["runbook"].startswith("production/reports/")
    assert evidence.scenario == "the disk is gone, INC-1 (database failure)"
    assert evidence.recovery_point_ids == [saved]
    assert 0 < evidence.measurements["restore_seconds"] < evidence.measurements["rto_seconds"]
    assert 0 <= evidence.measurements["rpo_seconds"] < 600


def test_copy_that_was_handed_over_is_never_touched_again(protected: Protected, saved: str) -> None:
    """It may be the production database by now: whatever task is cleared, it goes on running."""
    run = recovery()
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    handover, key = carry_out(run, plan, afterwards="running")
    room = Path(handover["services"]).parent
    pid = Room.open(room).server_pid()
    assert pid is not None

    again = {"plan": plan, **ENVIRONMENT}
    restored = run.returned["restore"]
    for task in (
        PrepareRecoveryRoomOperator(task_id="prepare_room", **again),
        RestoreApprovedOperator(task_id="restore", approval_required=False, **again),
        ValidateCopyOperator(task_id="validate", restored=restored, proven=None, **again),
        CheckApplicationOperator(task_id="check_application", **again),
    ):
        with pytest.raises(AirflowFailException) as caught:
            run.do(task)
        assert str(caught.value) == (
            f"the copy in {room} was handed over, and may be in use\n"
            "Hint: restore to another directory; remove this one by hand when nobody needs it"
        )
    repeated, same = carry_on(run, plan, restored)
    assert (repeated, same) == (handover, key)
    run.do(SettleRoomOperator(task_id="settle", **ENVIRONMENT))
    assert Room.open(room).server_pid() == pid


def carry_on(run: Run, plan: Any, restored: Any) -> tuple[dict[str, Any], str]:
    """The two tasks that may be repeated after the handover."""
    common = {"plan": plan, **ENVIRONMENT}
    handover = run.do(
        HandOverOperator(task_id="hand_over", restored=restored, afterwards="running", **common)
    )
    key: str = run.do(
        WriteRunbookOperator(
            task_id="runbook",
            request=run.left["plan", REQUEST],
            handover=handover,
            approval={"answered_by": "bea", "answered_at": "2026-03-01T03:10:00+00:00"},
            **common,
        )
    )
    return handover, key


def test_copy_that_breaks_a_check_is_kept_and_its_run_says_where(
    protected: Protected, saved: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is lost: once the reason is gone, the failed task goes on with the same copy."""
    run = recovery(destination=str(worker_settings().rooms / "mine"))
    common = {"destination": run.params["destination"], **ENVIRONMENT}
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    run.do(PrepareRecoveryRoomOperator(task_id="prepare_room", plan=plan, **common))
    restored = run.do(
        RestoreApprovedOperator(task_id="restore", approval_required=False, plan=plan, **common)
    )
    run.do(
        ValidateCopyOperator(
            task_id="validate", restored=restored, proven=None, plan=plan, **common
        )
    )
    check = CheckApplicationOperator(task_id="check_application", plan=plan, **common)
    sql = tmp_path / "sql"
    shutil.copytree(worker_settings().sql, sql)
    (sql / "checks" / "ledger_is_balanced.sql").write_text("-- It is\nSELECT 7 AS entry")
    with monkeypatch.context() as patched:
        patched.setenv("LEDGERKEEP_SQL", str(sql))
        with pytest.raises(AirflowFailException, match=r'It is \(rows: 1, \{"entry":7\}\)'):
            run.do(check)
    told = Contribution.model_validate(run.contribution("check_application"))
    assert [(one.name, one.met, one.words) for one in told.criteria] == [
        ("application works", False, "checks that did not hold: ledger_is_balanced")
    ]

    words = run.do(SettleRoomOperator(task_id="settle", **common))
    assert words == (
        f"the copy in {run.params['destination']} is kept, and was not handed over: clear the "
        "failed task to try it again, mark it as success and clear what follows to take the copy "
        f"over all the same, or remove it: rm -r {run.params['destination']}"
    )
    run.do(CheckApplicationOperator(task_id="check_application", plan=plan, **common))


def test_restore_that_was_killed_starts_over_and_what_it_left_is_removed(
    protected: Protected, saved: str
) -> None:
    run = recovery()
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    room = Path(
        run.do(PrepareRecoveryRoomOperator(task_id="prepare_room", plan=plan, **ENVIRONMENT))
    )
    restore = RestoreApprovedOperator(
        task_id="restore", approval_required=False, plan=plan, **ENVIRONMENT
    )
    run.do(restore)
    (room / "complete").unlink()
    assert run.do(SettleRoomOperator(task_id="settle", **ENVIRONMENT)) == (
        f"what was begun in {room} is removed"
    )
    assert not room.exists()
    run.do(restore)
    run.do(restore)


def test_form_that_is_wrong_is_refused_before_anything(protected: Protected, saved: str) -> None:
    run = recovery(target_kind="time", target_value="2026-03-01T14:30:00")
    with pytest.raises(AirflowFailException) as caught:
        run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    assert str(caught.value) == (
        "the recovery target '2026-03-01T14:30:00' has no offset from UTC\n"
        "Hint: say which clock is meant: 2026-03-01T14:30:00+00:00 if it is UTC"
    )
    assert list(worker_settings().rooms.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"target_kind": "time", "target_value": "2099-01-01T00:00:00Z"}, "lies in the future"),
        ({"target_kind": "time", "target_value": "2020-01-01T00:00:00Z"}, "lies before the end"),
        ({"target_kind": "name", "target_value": "never"}, "has no restore point 'never'"),
        ({"backup": "20200101T000000Z-F-00000000"}, "no base backup 20200101T000000Z-F-00000000"),
    ],
)
def test_target_that_cannot_be_reached_is_refused(
    protected: Protected, saved: str, form: dict[str, str], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message) as caught:
        recovery(**form).do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    assert "\nHint: " in str(caught.value)


def test_destination_among_other_copies_is_refused(protected: Protected, saved: str) -> None:
    rooms = worker_settings().rooms
    run = recovery(destination=str(rooms))
    plan = run.do(PlanPointInTimeOperator(task_id="plan", **ENVIRONMENT))
    prepare = PrepareRecoveryRoomOperator(
        task_id="prepare_room", plan=plan, destination=str(rooms), **ENVIRONMENT
    )
    with pytest.raises(AirflowFailException) as caught:
        run.do(prepare)
    assert str(caught.value) == (
        f"{rooms} holds the rooms of this worker's other copies\n"
        f"Hint: name a directory of its own, such as {rooms}/recovery"
    )


def test_full_restore_needs_a_proven_backup_or_a_name(protected: Protected, saved: str) -> None:
    run = Run("production_database_full_restore", params={**FULL})
    with pytest.raises(AirflowFailException, match="is proven\nHint: name one by its id"):
        run.do(PlanFullRestoreOperator(task_id="plan", **ENVIRONMENT))
    run.params |= {"recovery_point": saved, "through": "backup"}
    plan = run.do(PlanFullRestoreOperator(task_id="plan", **ENVIRONMENT))
    assert (plan["backup_id"], plan["segment_count"]) == (saved, 0)
    assert f"| base backup | {saved}, ended " in run.left["plan", READABLE]
    handover, _ = carry_out(run, plan)
    assert Path(handover["services"]).read_text() == (
        f"[loan_management]\nhost={handover['socket_directory']}\nport=5432\n"
        "dbname=loan_management\nuser=postgres\n"
    )


# -- the approval


PLAN = room_record().plan.model_dump(mode="json")


def approval(**more: Any) -> ApproveOperator:
    return ApproveOperator(
        task_id="approve",
        subject="Recover?",
        body="facts",
        response_timeout=timedelta(hours=4),
        plan_digest=RecoveryPlan.model_validate(PLAN).digest(),
        **more,
        **ENVIRONMENT,
    )


def event(user: str | None, chosen: str = "Approve") -> dict[str, Any]:
    return {
        "chosen_options": [chosen],
        "params_input": {},
        "responded_at": datetime(2026, 3, 1, 3, 10, tzinfo=UTC),
        "responded_by_user": user and {"id": user, "name": user},
    }


def test_second_persons_approval_is_evidence(protected: Protected) -> None:
    run, task = recovery(), approval()
    told = task.execute_complete(run.context(task), event("bea"))
    assert told == {
        "answer": "Approve",
        "answered_by": "bea",
        "answered_at": "2026-03-01T03:10:00+00:00",
        "approved_plan": RecoveryPlan.model_validate(PLAN).digest(),
    }
    restore = RestoreApprovedOperator(
        task_id="restore",
        approval=told,
        approval_required=True,
        plan={**PLAN, "timeline": 2},
        **ENVIRONMENT,
    )
    with pytest.raises(AirflowFailException, match="another than the one that was approved"):
        run.do(restore)
    assert run.contribution("approve")["facts"] == told


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (event("bea", "Reject"), "bea rejected the recovery"),
        (event(None, "Reject"), "nobody answered within 4h, so the recovery is rejected"),
        (
            event("dana"),
            "dana asked for the recovery and approved it too: that takes a second person",
        ),
    ],
)
def test_rejection_fails_the_task_for_good_and_is_evidence(
    protected: Protected, answer: dict[str, Any], message: str
) -> None:
    run, task = recovery(), approval()
    with pytest.raises(AirflowFailException, match=message):
        task.execute_complete(run.context(task), answer)
    told = run.contribution("approve")
    assert told["findings"] == [{"what": message, "severity": "warning"}]
    assert told["facts"]["answer"] == answer["chosen_options"][0]


def test_airflow_asks_the_approvers_but_not_who_asked(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail",
        lambda **what: asked.update(what),
    )
    run, task = recovery(), approval(approvers=["bea", "dana"])
    with pytest.raises(TaskAwaitingInput) as parked:
        task.execute(run.context(task))
    assert asked["assigned_users"] == [{"id": "bea", "name": "bea"}]
    assert asked["defaults"] == ["Reject"]
    assert parked.value.timeout == timedelta(hours=4)


@pytest.mark.parametrize(
    ("run", "approvers", "message"),
    [
        (recovery(), ["dana"], "nobody but dana, who asked for this recovery, may approve it"),
        (Run("dag", triggered_by=None), [], "nobody is named as the one who asked"),
    ],
)
def test_approval_that_nobody_could_give_is_refused_at_once(
    protected: Protected, run: Run, approvers: list[str], message: str
) -> None:
    task = approval(approvers=approvers)
    with pytest.raises(AirflowFailException, match=message):
        run.do(task)
