"""The verification's tasks: findings go into the evidence, and what is critical fails the task."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from ledgerkeep.catalog import keys
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.operators.base import CONTRIBUTION
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.operators.verification import (
    CheckCompletenessOperator,
    CheckSizeTrendOperator,
    CheckWalContinuityOperator,
    RereadBackupsOperator,
)
from ledgerkeep.operators.wal import ShipWalOperator
from tests.operators.conftest import Protected

pytestmark = pytest.mark.integration

PARTS: dict[str, Any] = {
    "completeness": CheckCompletenessOperator,
    "reread": RereadBackupsOperator,
    "wal_continuity": CheckWalContinuityOperator,
    "size_trend": CheckSizeTrendOperator,
}


def protect_once(protected: Protected) -> None:
    """A full backup and one stretch of WAL."""
    run = Run("production_database_full_backup")
    backup_id = run.do(BaseBackupOperator(task_id="stream", environment="production"))
    run.do(RecordBackupOperator(task_id="record", environment="production", backup_id=backup_id))
    protected.cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'more')")
    Run("production_database_wal_shipping").do(
        ShipWalOperator(task_id="ship", environment="production")
    )


def verify(run: Run, part: str) -> Any:
    return run.do(PARTS[part](task_id=part, environment="production"))


def findings(run: Run, part: str) -> list[tuple[str, str]]:
    return [(one["severity"], one["what"]) for one in run.contribution(part)["findings"]]


def test_verification_of_a_fresh_environment_passes(protected: Protected) -> None:
    protect_once(protected)
    run = Run("production_database_backup_verification")
    for part in PARTS:
        verify(run, part)
    run.do(VerdictOperator(task_id="verdict", environment="production", kind="check"))

    assert findings(run, "completeness") == []
    assert findings(run, "reread") == []
    ((severity, window),) = findings(run, "wal_continuity")
    assert severity == "info"
    assert window.startswith("the database can be recovered to any moment from ")
    ((severity, history),) = findings(run, "size_trend")
    assert severity == "info"
    assert "not enough history" in history
    now = datetime.now(UTC)
    records = EvidenceLog(protected.catalog.store, protected.catalog.policy).read(
        now - timedelta(hours=1), now + timedelta(minutes=1)
    )
    assert records[-1].outcome == "success"
    assert records[-1].measurements["damaged_recovery_points"] == 0
    assert records[-1].measurements["wal_holes"] == 0


def test_lost_segment_fails_its_part_and_no_other(protected: Protected) -> None:
    protect_once(protected)
    (system_identifier,) = protected.catalog.system_identifiers()
    (stretch,) = protected.catalog.stretches(system_identifier)
    key = keys.wal_segment("production", system_identifier, stretch.first_segment)
    bucket = protected.catalog.policy.storage.bucket
    objectstore.admin_client(protected.s3).delete_object(Bucket=bucket, Key=key)

    run = Run("production_database_backup_verification")
    with pytest.raises(AirflowFailException) as caught:
        verify(run, "wal_continuity")
    for part in ("completeness", "reread", "size_trend"):
        verify(run, part)

    lost = (
        f"WAL segment {stretch.first_segment} is gone from the object store; it belongs to the "
        f"stretch {stretch.id}"
    )
    assert str(caught.value) == (
        f"the verification found what makes a recovery doubtful:\n- {lost}\n"
        "Hint: see to the first of them; the next verification looks at all of it again"
    )
    assert ("critical", lost) in findings(run, "wal_continuity")
    assert run.states == {
        "wal_continuity": "failed",
        "completeness": "success",
        "reread": "success",
        "size_trend": "success",
    }


def test_error_of_the_core_is_a_finding_too(protected: Protected) -> None:
    """Another cluster's directory with a history that nobody can read."""
    protect_once(protected)
    store = protected.catalog.store
    (system_identifier,) = protected.catalog.system_identifiers()
    store.put(keys.wal_history("production", system_identifier, 2), b"one two three\n")
    run = Run("production_database_backup_verification")
    with pytest.raises(AirflowFailException, match="the history of timeline 2"):
        verify(run, "wal_continuity")
    ((severity, what),) = [
        (one["severity"], one["what"])
        for one in run.left["wal_continuity", CONTRIBUTION]["findings"]
    ]
    assert severity == "critical"
    assert "the history of timeline 2" in what
