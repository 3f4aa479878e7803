"""A run's record is put together from its tasks' contributions."""

import pytest

from ledgerkeep.errors import EvidenceError
from ledgerkeep.evidence.collect import collect_record
from ledgerkeep.evidence.records import EvidenceRecord, Finding, Target
from tests.evidence.support import NOON, policy_of


def collect(*contributions: dict) -> EvidenceRecord:
    return collect_record(
        policy=policy_of("production"),
        dag_id="production_test_point_in_time_recovery",
        run_id="manual__1",
        kind="restore-test",
        outcome="success",
        started_at=NOON,
        triggered_by="auditor",
        tasks={"restore": "success"},
        contributions=contributions,
    )


def test_contributions_are_joined_in_the_order_of_the_tasks() -> None:
    made = collect(
        {"recovery_point_ids": ["b1"], "measurements": {"restored_bytes": 7}, "scenario": "To X."},
        {
            "recovery_point_ids": ["w1", "b1"],
            "measurements": {"rto_seconds": 12.5},
            "objective": "database_failure",
            "versions": {"server": "18.6"},
            "findings": [
                {"what": "slow", "severity": "warning"},
                {"what": "odd", "severity": "info", "owner": "dba"},
            ],
        },
    )
    assert made.recovery_point_ids == ["b1", "w1"]
    assert made.measurements == {"restored_bytes": 7, "rto_seconds": 12.5}
    assert made.scenario == "To X."
    assert made.target == Target(name="database_failure", rto_seconds=3600, rpo_seconds=900)
    assert made.findings == [
        Finding(what="slow", severity="warning", owner="backup-operations"),
        Finding(what="odd", severity="info", owner="dba"),
    ]
    assert made.versions["server"] == "18.6"
    assert {"ledgerkeep", "python", "airflow"} <= set(made.versions)


def test_misspelt_contribution_is_refused() -> None:
    with pytest.raises(EvidenceError) as caught:
        collect({"measurement": {"seconds": 1}})
    assert caught.value.message == "a task contributed evidence that does not fit: measurement"
    assert caught.value.hint == (
        "a contribution has these fields: recovery_point_ids, measurements, findings, scenario, "
        "objective, criteria, facts, not_taken, passed_over, versions"
    )


def test_unknown_objective_is_refused() -> None:
    with pytest.raises(EvidenceError) as caught:
        collect({"objective": "db_failure"})
    assert caught.value.message == (
        "a task measured against the objective 'db_failure', which no policy has"
    )


def test_reason_for_which_nothing_was_taken_is_in_the_record() -> None:
    reason = {"backup_id": "b1", "run": "full/1", "since": "2026-11-22T01:00:00Z"}
    record = collect({"facts": {}}, {"not_taken": reason})
    assert record.not_taken is not None
    assert record.not_taken.words == "a full backup of full/1 is running since 2026-11-22 01:00:00Z"
    assert collect({"facts": {}}).not_taken is None
