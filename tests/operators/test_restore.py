"""A restore test task by task: with its source, without it, and without a fingerprint."""

import secrets
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from include.sandbox.place import Place
from ledgerkeep.catalog.holds import active_holds
from ledgerkeep.catalog.models import Hold, Proof
from ledgerkeep.errors import DatabaseUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.operators.fingerprint import FingerprintOperator, ProvableFingerprintOperator
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from ledgerkeep.operators.proof import ProveCopyOperator, ValidateCopyOperator
from ledgerkeep.operators.restore import (
    PlanRecoveryOperator,
    PrepareRoomOperator,
    RemoveRoomOperator,
    RestoreClusterOperator,
    RestoreJanitorOperator,
)
from ledgerkeep.operators.scenario import StateScenarioOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.wal import ShipWalOperator, ShipWalPastOperator
from tests.conftest import Cluster, make_cluster
from tests.operators.conftest import Protected, protect
from tests.recovery.loans import make_loans

pytestmark = pytest.mark.integration

ENVIRONMENT = {"environment": "production"}


def back_up(run: str = "backup") -> str:
    """A full backup, both tasks of it."""
    backup = Run("production_database_full_backup", run)
    backup_id = backup.do(BaseBackupOperator(task_id="stream", **ENVIRONMENT))
    return backup.do(RecordBackupOperator(task_id="record", backup_id=backup_id, **ENVIRONMENT))


def restore_test(
    run: Run,
    *,
    stored: str = "",
    planner: type[PlanRecoveryOperator] = PlanRecoveryOperator,
) -> str:
    """All tasks of the restore test, in order; returns the level that was shown."""
    run.do(
        StateScenarioOperator(
            task_id="scenario", scenario="It is lost.", objective="database_failure", **ENVIRONMENT
        )
    )
    fingerprint_id = run.do(
        ProvableFingerprintOperator(task_id="fingerprint", stored=stored, **ENVIRONMENT)
    )
    run.do(ShipWalPastOperator(task_id="ship_wal", fingerprint_id=fingerprint_id, **ENVIRONMENT))
    plan = run.do(planner(task_id="plan", fingerprint_id=fingerprint_id, **ENVIRONMENT))
    room = run.do(PrepareRoomOperator(task_id="prepare_room", plan=plan, **ENVIRONMENT))
    restored = run.do(RestoreClusterOperator(task_id="restore", plan=plan, **ENVIRONMENT))
    proven = run.do(
        ProveCopyOperator(task_id="prove", plan=plan, fingerprint_id=fingerprint_id, **ENVIRONMENT)
    )
    level: str = run.do(
        ValidateCopyOperator(
            task_id="validate", plan=plan, restored=restored, proven=proven, **ENVIRONMENT
        )
    )
    assert Path(room).is_dir()
    run.do(RemoveRoomOperator(task_id="remove_room", plan=plan, **ENVIRONMENT))
    assert not Path(room).exists()
    return level


def proof_of(protected: Protected, backup_id: str) -> Proof:
    """The last proof of a backup."""
    (system_identifier,) = protected.catalog.system_identifiers()
    return protected.catalog.proofs(system_identifier)[backup_id][-1]


def test_restore_test_proves_the_backup(protected: Protected) -> None:
    backup_id = back_up()
    protected.cluster.execute(
        "INSERT INTO customers (name, email, country, created_at) "
        "VALUES ('Later', 'later@example.com', 'IT', now())",
        "loan_management",
    )
    run = Run("production_test_point_in_time_recovery")

    assert restore_test(run) == "proven"

    proof = proof_of(protected, backup_id)
    assert (proof.level, proof.stops_because, proof.run) == ("proven", "", run.name)
    assert set(run.states.values()) == {"success"}
    assert run.contribution("scenario")["objective"] == "database_failure"
    assert 0 <= run.contribution("scenario")["measurements"]["rpo_seconds"] < 600
    assert run.contribution("restore")["measurements"]["rto_seconds"] > 0
    assert run.contribution("prove")["measurements"]["tables_compared"] == 10
    assert run.contribution("validate")["recovery_point_ids"] == [backup_id]
    assert run.contribution("validate")["measurements"]["expectations"] > 20
    (integrity,) = run.contribution("validate")["criteria"]
    assert integrity["met"]
    assert "identical to the source in 10 tables, " in integrity["words"]
    assert protected.slots == ["ledgerkeep_production"]
    # What it reads is held from the plan to the verdict.
    (hold,) = holds(protected)
    assert (hold.recovery_point_id, hold.reason) == (backup_id, f"a recovery reads it: {run.name}")
    assert hold.wal is not None
    run.do(VerdictOperator(task_id="verdict", kind="restore-test", **ENVIRONMENT))
    assert holds(protected) == []


def holds(protected: Protected) -> list[Hold]:
    (system_identifier,) = protected.catalog.system_identifiers()
    return active_holds(protected.catalog, system_identifier)


def test_stored_fingerprint_proves_the_backup_while_the_source_is_gone(
    protected: Protected,
) -> None:
    """This is what the fingerprints are stored for."""
    backup_id = back_up()
    fingerprint_id = Run("production_database_fingerprint").do(
        FingerprintOperator(task_id="take", **ENVIRONMENT)
    )
    Run("production_database_wal_shipping").do(ShipWalOperator(task_id="ship", **ENVIRONMENT))
    run = Run("production_test_point_in_time_recovery")
    protected.cluster.stop(immediate=True)
    try:
        level = restore_test(run, stored=fingerprint_id)
    finally:
        protected.cluster.start()

    assert level == "proven"
    assert proof_of(protected, backup_id).fingerprint_id == fingerprint_id
    assert run.contribution("fingerprint") == {"recovery_point_ids": [fingerprint_id]}
    # The WAL was there already, so nothing was shipped and nothing asked of the source.
    assert ("ship_wal", "ledgerkeep_contribution") not in run.left


@pytest.fixture
def plain_source(place: Place) -> Iterator[Cluster]:
    """A source whose WAL is not logical."""
    data = place.servers / f"o{secrets.token_hex(4)}"
    made = make_cluster(place, data, initdb=("--wal-segsize=1",), wal_level="replica")
    made.execute("CREATE DATABASE loan_management")
    make_loans(made.address.to("loan_management"))
    yield made
    made.stop(immediate=True)
    shutil.rmtree(data, ignore_errors=True)


def test_source_without_logical_wal_is_validated_and_the_proof_says_why(
    plain_source: Cluster,
    s3: objectstore.ObjectStoreServer,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    protected = protect(plain_source, s3, place, tmp_path)
    for name, value in protected.variables.items():
        monkeypatch.setenv(name, value)
    backup_id = back_up()
    run = Run("production_test_point_in_time_recovery")

    assert restore_test(run) == "validated"

    proof = proof_of(protected, backup_id)
    assert proof.level == "validated"
    assert proof.stops_because == (
        "wal_level is replica and not logical, so the source's content cannot be tied to an "
        "exact LSN"
    )
    assert run.contribution("fingerprint")["findings"] == [
        {"what": proof.stops_because, "severity": "info"}
    ]


def test_copy_is_validated_although_its_source_went_down_meanwhile(protected: Protected) -> None:
    """What was shown counts; that nothing was compared is said."""
    backup_id = back_up()
    run = Run("production_test_point_in_time_recovery")
    plan = run.do(PlanRecoveryOperator(task_id="plan", **ENVIRONMENT))
    run.do(PrepareRoomOperator(task_id="prepare_room", plan=plan, **ENVIRONMENT))
    restored = run.do(RestoreClusterOperator(task_id="restore", plan=plan, **ENVIRONMENT))
    validate = ValidateCopyOperator(
        task_id="validate", plan=plan, restored=restored, proven=None, **ENVIRONMENT
    )
    protected.cluster.stop(immediate=True)
    try:
        assert run.do(validate) == "validated"
    finally:
        protected.cluster.start()
    run.do(RemoveRoomOperator(task_id="remove_room", plan=plan, **ENVIRONMENT))
    proof = proof_of(protected, backup_id)
    assert proof.stops_because == "there was no fingerprint of the source to compare with"


def test_copy_that_breaks_an_expectation_is_recorded_as_restored(protected: Protected) -> None:
    """The task fails for good, and the proof names what is broken."""
    backup_id = back_up()
    database = "loan_management"
    loans = "UPDATE loans SET principal = principal {} 1 WHERE id = 1"
    protected.cluster.execute(loans.format("+"), database)
    run = Run("production_test_point_in_time_recovery")
    try:
        with pytest.raises(AirflowFailException) as caught:
            restore_test(run)
    finally:
        protected.cluster.execute(loans.format("-"), database)
    assert run.states["prove"] == "success"
    assert run.states["validate"] == "failed"
    proof = proof_of(protected, backup_id)
    assert proof.level == "restored"
    assert str(caught.value).startswith(f"{proof.stops_because}\nHint: ")
    assert run.contribution("validate") == {
        "recovery_point_ids": [backup_id],
        "findings": [{"what": proof.stops_because, "severity": "critical"}],
    }
    run.do(RemoveRoomOperator(task_id="remove_room", plan=run.returned["plan"], **ENVIRONMENT))


def test_copy_that_differs_from_its_source_is_a_critical_finding(protected: Protected) -> None:
    """The fingerprint here is of another moment than it says, as if rows had been lost."""
    backup_id = back_up()
    run = Run("production_test_point_in_time_recovery")
    taken = run.do(FingerprintOperator(task_id="take", **ENVIRONMENT))
    fingerprint = protected.catalog.find_fingerprint(taken)
    (database,) = fingerprint.databases
    tables = [
        table.model_copy(update={"rows": table.rows + 1}) if table.name == "loans" else table
        for table in database.tables
    ]
    forged = fingerprint.model_copy(
        update={
            "id": f"{taken}-forged",
            "databases": [database.model_copy(update={"tables": tables})],
        }
    )
    protected.catalog.commit_fingerprint(forged)

    with pytest.raises(AirflowFailException, match="is not identical to the source: ") as caught:
        restore_test(run, stored=forged.id)

    assert run.states["prove"] == "failed"
    left = run.contribution("prove")
    assert left["recovery_point_ids"] == [backup_id]
    (finding,) = left["findings"]
    assert finding["severity"] == "critical"
    assert str(caught.value).startswith(f"{finding['what']}\nHint: ")
    run.do(RemoveRoomOperator(task_id="remove_room", plan=run.returned["plan"], **ENVIRONMENT))


# -- single steps


def test_plan_without_any_backup_is_final(protected: Protected) -> None:
    with pytest.raises(AirflowFailException) as caught:
        Run("r").do(PlanRecoveryOperator(task_id="plan", **ENVIRONMENT))
    (system_identifier,) = protected.cluster.execute(
        "SELECT system_identifier FROM pg_control_system()"
    )[0]
    assert str(caught.value) == (
        "the latest position cannot be reached: there is no base backup of the cluster "
        f"{system_identifier}\nHint: take a full backup, or name another environment or timeline"
    )


def test_source_that_never_was_is_waited_for(protected: Protected) -> None:
    """Without a server and without a catalog nobody knows which cluster is meant."""
    protected.cluster.stop(immediate=True)
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            Run("r").do(PlanRecoveryOperator(task_id="plan", **ENVIRONMENT))
    finally:
        protected.cluster.start()
    assert caught.value.message.startswith("no connection to postgres@127.0.0.1:")


def test_removing_a_room_that_was_never_made_is_fine(protected: Protected) -> None:
    """The teardown runs also when the setup was the last thing that happened."""
    plan: dict[str, Any] = {}
    Run("r").do(RemoveRoomOperator(task_id="remove_room", plan=plan, **ENVIRONMENT))


def test_janitor_removes_what_a_killed_run_left(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up()
    killed = Run("production_test_point_in_time_recovery", "killed")
    plan = killed.do(PlanRecoveryOperator(task_id="plan", **ENVIRONMENT))
    room = Path(killed.do(PrepareRoomOperator(task_id="prepare_room", plan=plan, **ENVIRONMENT)))
    killed.do(RestoreClusterOperator(task_id="restore", plan=plan, **ENVIRONMENT))
    janitor = Run("production_restore_janitor")
    assert janitor.do(RestoreJanitorOperator(task_id="sweep", **ENVIRONMENT)) == []
    assert room.exists()

    tomorrow = utc_now() + timedelta(hours=25)
    monkeypatch.setattr("ledgerkeep.model.utc_now", lambda: tomorrow)
    swept = janitor.do(RestoreJanitorOperator(task_id="sweep", **ENVIRONMENT))

    assert swept == [str(room)]
    assert not room.exists()
    assert janitor.contribution("sweep")["findings"] == [
        {
            "what": f"a restored copy of {killed.name} was left behind and has been removed",
            "severity": "warning",
        }
    ]
