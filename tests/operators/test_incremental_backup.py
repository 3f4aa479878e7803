"""The tasks of an incremental backup: what they leave as evidence, and what Airflow may retry."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import OperationRunning
from ledgerkeep.operators.full_backup import RecordBackupOperator
from ledgerkeep.operators.incremental_backup import IncrementalBackupOperator
from tests.operators.conftest import Protected, database_connection

pytestmark = pytest.mark.integration

POINTS = Asset(name="points", uri="x-ledgerkeep://points")


def stream() -> IncrementalBackupOperator:
    return IncrementalBackupOperator(task_id="stream", environment="production")


def taken(run_id: str) -> tuple[Run, str]:
    """Both tasks of one run."""
    run = Run("production_database_incremental_backup", run_id=run_id)
    backup_id = run.do(stream())
    record = RecordBackupOperator(
        task_id="record", environment="production", backup_id=backup_id, outlets=[POINTS]
    )
    assert run.do(record) == backup_id
    return run, backup_id


def test_evidence_says_why_the_first_is_full_and_what_the_next_builds_on(
    protected: Protected,
) -> None:
    first, parent_id = taken("scheduled__1")
    protected.cluster.execute("CREATE TABLE IF NOT EXISTS late AS SELECT 1 AS n")
    second, backup_id = taken("scheduled__2")

    full, increment = protected.catalog.backups(protected.catalog.system_identifiers()[0])
    assert (full.id, increment.id) == (parent_id, backup_id)
    assert (full.run, increment.run) == (first.name, second.name)
    left = first.contribution("record")
    assert left["facts"] == {"method": "full"}
    assert left["findings"] == [
        {
            "what": "full backup instead of an incremental one: there is no backup to build on yet",
            "severity": "warning",
        }
    ]
    assert "changed_bytes" not in left["measurements"]
    left = second.contribution("record")
    assert left["facts"] == {"method": "incremental", "parent": parent_id}
    assert left["findings"] == []
    assert 0 < left["measurements"]["changed_bytes"] < increment.raw_bytes < full.raw_bytes
    assert second.events[POINTS].extra == {
        "recovery_point": backup_id,
        "method": "incremental",
        "stored_bytes": increment.stored_bytes,
    }


def test_backup_under_way_is_left_to_the_retries(protected: Protected) -> None:
    with (
        operation_lock(protected.cluster.address, "production/base backup"),
        pytest.raises(OperationRunning),
    ):
        Run("r").do(stream())


def test_wrong_password_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE",
        database_connection(protected.cluster, password="wrong"),
    )
    with pytest.raises(AirflowFailException, match="password authentication failed"):
        Run("r").do(stream())
