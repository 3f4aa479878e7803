"""The verdict: evidence first, then the judgement."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.errors import EvidenceError
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.operators.base import CONTRIBUTION
from ledgerkeep.operators.verdict import VerdictOperator
from tests.operators.conftest import Protected

pytestmark = pytest.mark.integration


def verdict() -> VerdictOperator:
    return VerdictOperator(task_id="verdict", environment="production", kind="restore-test")


def evidence(protected: Protected) -> list[EvidenceRecord]:
    now = datetime.now(UTC)
    log = EvidenceLog(protected.catalog.store, protected.catalog.policy)
    return log.read(now - timedelta(days=1), now + timedelta(minutes=1))


def test_run_whose_tasks_all_succeeded_passes(protected: Protected) -> None:
    run = Run("production_test")
    run.states |= {"scenario": "success", "restore": "success"}
    run.left["scenario", CONTRIBUTION] = {
        "scenario": "It is lost.",
        "objective": "database_failure",
    }
    run.left["restore", CONTRIBUTION] = {
        "recovery_point_ids": ["b1"],
        "measurements": {"rto_seconds": 4.5},
        "findings": [{"what": "slow", "severity": "info"}],
    }

    left = run.do(verdict())

    (record,) = evidence(protected)
    assert left == {
        "evidence": left["evidence"],
        "recovery_point_ids": ["b1"],
        "measurements": {"rto_seconds": 4.5},
    }
    assert left["evidence"].startswith("production/evidence/")
    assert (record.run, record.outcome, record.kind) == (run.name, "success", "restore-test")
    assert record.tasks == {"scenario": "success", "restore": "success"}
    assert record.triggered_by == "dana"
    assert record.scenario == "It is lost."
    assert record.target is not None
    assert (record.target.rto_seconds, record.target.rpo_seconds) == (3600, 900)
    assert [(one.what, one.owner) for one in record.findings] == [("slow", "backup-operations")]


def test_failed_run_leaves_its_evidence_before_it_fails(protected: Protected) -> None:
    """What was skipped did not pass either."""
    run = Run("production_test")
    run.states |= {"plan": "success", "restore": "failed", "prove": "upstream_failed"}

    with pytest.raises(AirflowFailException) as caught:
        run.do(verdict())

    assert str(caught.value) == (
        "the run did not pass: prove upstream_failed, restore failed\n"
        "Hint: the log of the first task that failed says what happened and what to do"
    )
    (record,) = evidence(protected)
    assert record.outcome == "failed"
    assert record.tasks == {"plan": "success", "restore": "failed", "prove": "upstream_failed"}


def test_task_without_a_state_did_not_succeed(protected: Protected) -> None:
    run = Run("production_test")
    run.states["plan"] = None  # type: ignore[assignment] - as Airflow says it
    with pytest.raises(AirflowFailException, match="the run did not pass: plan none\n"):
        run.do(verdict())


def test_verdict_that_is_tried_again_writes_one_record(protected: Protected) -> None:
    run = Run("production_test")
    run.states["plan"] = "success"
    task = verdict()
    context = run.context(task)
    assert task.execute(context) == task.execute(context)
    assert len(evidence(protected)) == 1
    assert EvidenceLog(protected.catalog.store, protected.catalog.policy).verify().sequence == 1


def test_contribution_that_does_not_fit_is_refused(protected: Protected) -> None:
    """A figure must not get lost by a misspelt name."""
    run = Run("production_test")
    run.states["plan"] = "success"
    run.left["plan", CONTRIBUTION] = {"measurement": {"x": 1}}
    with pytest.raises(EvidenceError, match="measurement"):
        run.do(verdict())
    assert evidence(protected) == []


def test_skipped_task_passes_only_with_the_reason_that_nothing_was_to_be_taken(
    protected: Protected,
) -> None:
    run = Run("production_test")
    run.states |= {"stream": "skipped"}
    with pytest.raises(AirflowFailException, match="the run did not pass: stream skipped\n"):
        run.do(verdict())
    reason = {"backup_id": "b1", "run": "full/1", "since": "2026-11-22T01:00:00Z"}
    run.left["stream", CONTRIBUTION] = {"not_taken": reason}
    run.states |= {"stream": "skipped", "other": "failed"}
    with pytest.raises(AirflowFailException, match="the run did not pass: other failed\n"):
        run.do(verdict())
    run.states["other"] = "skipped"
    assert run.do(verdict())["not_taken"] == (
        "a full backup of full/1 is running since 2026-11-22 01:00:00Z"
    )
