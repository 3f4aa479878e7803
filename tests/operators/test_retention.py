"""The tasks of retention: what they remove, what they say about it, and when they touch nothing."""

from datetime import timedelta

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.catalog.removal import RemovalRecord
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import DatabaseUnavailable, OperationRunning
from ledgerkeep.model import utc_now
from ledgerkeep.operators.retention import ApplyRetentionOperator, PlanRetentionOperator
from tests.catalog.stored import store_all, store_stretch
from tests.operators.conftest import Protected, database_connection
from tests.recovery.samples import NOON, SYSTEM, backup, stretch

pytestmark = pytest.mark.integration

DATABASE = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE"
_THEN = (utc_now() - timedelta(days=20)).replace(hour=12, minute=0, second=0, microsecond=0)
AGO = (_THEN - NOON) / timedelta(minutes=1)
"""At noon twenty days ago, in minutes of the samples' clock."""


@pytest.fixture(autouse=True)
def old_points(protected: Protected) -> None:
    """A full backup with two incrementals and their WAL, and newer ones that replace them."""
    full = backup("full", stop=1, at=AGO)
    first, second = (
        backup(name, stop=stop, at=AGO + stop).model_copy(
            update={"method": "incremental", "parent_id": parent}
        )
        for name, stop, parent in (("first", 2, "full"), ("second", 3, "first"))
    )
    new = backup("new", stop=9, at=AGO + 10 * 24 * 60)
    store_all(protected.catalog, full, first, second, new)
    # Under the lock of the policy, as shipping leaves them.
    store_stretch(protected.catalog, stretch(2, 3, until=AGO + 3))
    store_stretch(protected.catalog, stretch(9, 10, until=AGO + 10 * 24 * 60))


def ids(protected: Protected) -> set[str]:
    snapshot = protected.catalog.snapshot(SYSTEM)
    return {one.id for one in (*snapshot.backups, *snapshot.stretches)}


EVERYTHING = {"full", "first", "second", "new", "s1-2", "s1-9"}


def plan(run: Run) -> dict:
    return run.do(PlanRetentionOperator(task_id="plan", environment="production"))


def apply(run: Run, planned: dict, dry_run: str = "False") -> dict:
    return run.do(
        ApplyRetentionOperator(
            task_id="apply", environment="production", planned=planned, dry_run=dry_run
        )
    )


def test_what_was_planned_is_removed_and_what_is_locked_stays(protected: Protected) -> None:
    run = Run("production_database_retention")
    planned = plan(run)
    assert (planned["kept"], planned["to_remove"]) == (3, 3)
    assert ids(protected) == EVERYTHING
    assert run.contribution("plan")["measurements"]["points_to_remove"] == 3

    assert apply(run, planned) == {"removed": 2, "locked": 1}

    assert ids(protected) == EVERYTHING - {"first", "second"}
    left = run.contribution("apply")
    assert left["measurements"] == {
        "points_removed": 2,
        "bytes_removed": 20 * (1 << 20),
        "objects_removed": 10,
        "points_locked": 1,
    }
    until = utc_now() + timedelta(days=7)
    removed, locked, where = (finding["what"] for finding in left["findings"])
    assert removed == (
        "2 incremental backups removed (first to second): older than 1w; stands for no day, "
        "week, month or year that is kept"
    )
    assert locked == f"1 stretch of WAL under Object Lock until {until:%Y-%m-%d} (s1-2)"
    record = protected.catalog.read(where.removeprefix("each of them is named in "), RemovalRecord)
    assert record.run == run.name
    assert {point.id for point in record.points} == {"first", "second"}


def test_a_second_try_finds_nothing_more_to_do(protected: Protected) -> None:
    run = Run("production_database_retention")
    planned = plan(run)
    apply(run, planned)
    assert apply(run, planned) == {"removed": 0, "locked": 1}


def test_a_dry_run_shows_the_same_plan_and_removes_nothing(protected: Protected) -> None:
    run = Run("production_database_retention")
    planned = plan(run)
    assert planned["to_remove"] == 3
    assert apply(run, planned, dry_run="True") == {"removed": 0, "locked": 0}
    assert ids(protected) == EVERYTHING


def test_nothing_is_removed_when_the_server_does_not_answer(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be lost: then this is all there is."""
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, port=1))
    run = Run("production_database_retention")
    planned = plan(run)
    with pytest.raises(DatabaseUnavailable):
        apply(run, planned)
    assert ids(protected) == EVERYTHING


def test_nothing_is_removed_while_a_backup_is_taken(protected: Protected) -> None:
    run = Run("production_database_retention")
    planned = plan(run)
    with (
        operation_lock(protected.cluster.address, "production/base backup"),
        pytest.raises(OperationRunning),
    ):
        apply(run, planned)
    assert ids(protected) == EVERYTHING


def test_a_wrong_password_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("production_database_retention")
    planned = plan(run)
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, password="wrong"))
    with pytest.raises(AirflowFailException, match="password authentication failed"):
        apply(run, planned)
    assert ids(protected) == EVERYTHING
