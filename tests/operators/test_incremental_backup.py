"""The tasks of an incremental backup: what they leave as evidence, and what Airflow may retry."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import BackupMethod
from ledgerkeep.database.postgres.backup_turn import full_under_way
from ledgerkeep.database.postgres.base_backup import BEGUN, BackupBegun
from ledgerkeep.database.postgres.description import describe
from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import OperationRunning
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import NotTaken
from ledgerkeep.model import utc_now
from ledgerkeep.operators.full_backup import RecordBackupOperator
from ledgerkeep.operators.incremental_backup import IncrementalBackupOperator
from ledgerkeep.operators.verdict import VerdictOperator
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


@contextmanager
def turn_of(protected: Protected, *, method: BackupMethod | None) -> Iterator[BackupBegun]:
    """Somebody has the turn, and has begun a backup of that method; None: no backup at all."""
    address = protected.cluster.address
    with operation_lock(address, "production/base backup") as connection:
        server = describe(connection)
        begun = BackupBegun(id="begun", run="other/1", at=server.clock, method=method or "full")
        prefix = keys.backup("production", server.system_identifier, begun.id)
        if method is not None:
            protected.catalog.write(prefix + BEGUN, begun, None)
        yield begun
    protected.catalog.store.delete_prefix(prefix)


def test_full_backup_under_way_is_a_reason_to_take_none(protected: Protected) -> None:
    """Nothing failed: the run is green, and its record says why it has no backup."""
    run = Run("production_database_incremental_backup")
    with turn_of(protected, method="full") as full, pytest.raises(AirflowSkipException) as skipped:
        run.do(stream())
    words = f"not taken: a full backup of other/1 is running since {full.at:%Y-%m-%d %H:%M:%S}Z"
    assert str(skipped.value) == words

    # As the scheduler leaves it for the verdict.
    run.states |= {"stream": "skipped", "record": "skipped"}
    verdict = VerdictOperator(task_id="verdict", environment="production", kind="backup")
    left = run.do(verdict)

    assert left["not_taken"] == words.removeprefix("not taken: ")
    log = EvidenceLog(protected.catalog.store, protected.catalog.policy)
    record = log.read(utc_now() - timedelta(hours=1), utc_now() + timedelta(minutes=1))[-1]
    assert (record.run, record.outcome, record.recovery_point_ids) == (run.name, "success", [])
    assert record.not_taken == NotTaken(backup_id="begun", run="other/1", since=full.at)
    assert [(one.severity, one.what) for one in record.findings] == [("info", words)]


@pytest.mark.parametrize("method", ["incremental", None])
def test_what_takes_no_time_is_left_to_the_retries(
    protected: Protected, method: BackupMethod | None
) -> None:
    """Another incremental, or retention: over when the task is tried again."""
    with turn_of(protected, method=method), pytest.raises(OperationRunning):
        Run("r").do(stream())


def test_what_a_killed_full_backup_left_is_none_under_way(protected: Protected) -> None:
    """It was begun before whoever has the turn now had connected."""
    with turn_of(protected, method="full") as dead:
        prefix = keys.backup("production", cluster_of(protected), "dead")
        protected.catalog.write(prefix + BEGUN, dead, None)
    with turn_of(protected, method=None), pytest.raises(OperationRunning):
        Run("r").do(stream())
    protected.catalog.store.delete_prefix(prefix)


def test_nobody_is_named_when_nobody_has_the_turn(protected: Protected) -> None:
    assert full_under_way(protected.cluster.address, protected.catalog) is None


def cluster_of(protected: Protected) -> str:
    return protected.catalog.system_identifiers()[0]


def test_wrong_password_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE",
        database_connection(protected.cluster, password="wrong"),
    )
    with pytest.raises(AirflowFailException, match="password authentication failed"):
        Run("r").do(stream())
