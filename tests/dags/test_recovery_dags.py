"""The recovery DAGs: their forms, their approval, and where their tasks run."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

from ledgerkeep.recovery.form import FULL_RESTORE_FIELDS, POINT_IN_TIME_FIELDS
from tests.conftest import ROOT

DAGS = ROOT / "dags" / "recovery"
NAMES = ["database_full_restore", "database_point_in_time_recovery"]
WORK = [
    "plan",
    "prepare_room",
    "restore",
    "validate",
    "check_application",
    "hand_over",
    "runbook",
    "settle",
    "verdict",
]


def work_of(name: str) -> list[str]:
    """A recovery to a moment may be asked for the documents of that moment."""
    if name != "database_point_in_time_recovery":
        return WORK
    at = WORK.index("hand_over")
    return [*WORK[:at], "check_documents", *WORK[at:]]


def read_dags() -> dict[str, Any]:
    bag = DagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    return read_dags()


def with_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **section: Any) -> Any:
    """Production's point-in-time recovery under another policy; None where there is none."""
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    policy["database"]["recovery"] = section or None
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    return read_dags().get("production_database_point_in_time_recovery")


@pytest.mark.parametrize("name", NAMES)
def test_steps_follow_one_another_up_to_the_verdict(dags: dict[str, Any], name: str) -> None:
    """They share one room, and the approval stands between looking and doing."""
    dag = dags[f"production_{name}"]
    for before, after in pairwise(work_of(name)):
        assert before in dag.get_task(after).upstream_task_ids
    assert dag.get_task("approve").upstream_task_ids == {"prepare_room"}
    assert dag.get_task("restore").approval_required
    assert "approve" in dag.get_task("restore").upstream_task_ids
    assert {task.task_id for task in dag.tasks} == {*work_of(name), "approve"}


@pytest.mark.parametrize("name", NAMES)
def test_environment_without_approval_asks_nobody(dags: dict[str, Any], name: str) -> None:
    tasks = dags[f"staging_{name}"].topological_sort()
    assert [task.task_id for task in tasks] == work_of(name)


def test_approval_is_the_policys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dag = with_recovery(
        tmp_path, monkeypatch, approval=True, approvers=["bea"], response_timeout="30m"
    )
    approve = dag.get_task("approve")
    assert approve.approvers == ["bea"]
    assert approve.response_timeout == timedelta(minutes=30)
    assert approve.defaults == ["Reject"]


def test_what_works_on_the_disk_runs_on_the_policys_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = with_recovery(tmp_path, monkeypatch, approval=True, queue="recovery")
    elsewhere = {task.task_id for task in dag.tasks if task.queue != "recovery"}
    assert elsewhere == {"plan", "approve", "verdict"}


def test_policy_without_recovery_has_no_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert with_recovery(tmp_path, monkeypatch) is None


@pytest.mark.parametrize("name", NAMES)
def test_recovery_is_started_by_hand_only(dags: dict[str, Any], name: str) -> None:
    assert set(dags[f"production_{name}"].allowed_run_types) == {"manual"}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("database_point_in_time_recovery", POINT_IN_TIME_FIELDS),
        ("database_full_restore", FULL_RESTORE_FIELDS),
    ],
)
def test_form_has_the_fields_that_are_read(
    dags: dict[str, Any], name: str, fields: set[str]
) -> None:
    """And every choice says in words what it means."""
    params = dags[f"production_{name}"].params
    assert set(params) == fields
    for field in fields:
        schema = params.get_param(field).schema
        assert schema["title"]
        assert set(schema.get("values_display", {})) == set(schema.get("enum", []))


@pytest.mark.parametrize(
    ("name", "field", "good", "bad"),
    [
        (
            "database_point_in_time_recovery",
            "target_value",
            [
                None,
                "",
                "2026-03-01T14:30:00+00:00",
                "2026-03-01 14:30Z",
                "16/B374D848",
                "before_2026",
            ],
            ["2026-03-01T14:30:00", "2026-03-01 14:30", "2026-03-01", "x" * 101],
        ),
        ("database_point_in_time_recovery", "target_kind", ["lsn"], ["now", ""]),
        ("database_point_in_time_recovery", "timeline", ["", "2"], ["two", "-1"]),
        ("database_point_in_time_recovery", "backup", ["", "20260301T010000Z-F-1a"], ["a/b"]),
        ("database_full_restore", "recovery_point", ["latest proven", "b-1"], ["", "a/b"]),
        ("database_full_restore", "destination", ["", "/srv/a/b-1"], ["a", "/", "/a/../b", "/a b"]),
        ("database_full_restore", "reason", ["disk lost, INC-1"], ["", "oops", None]),
        ("database_full_restore", "afterwards", ["stopped", "running"], ["deleted"]),
        ("database_full_restore", "scenario", ["security_incident"], ["region_failure"]),
    ],
)
def test_form_refuses_what_it_can(
    dags: dict[str, Any], name: str, field: str, good: list[str], bad: list[Any]
) -> None:
    asked = dags[f"production_{name}"].params.get_param(field)
    for value in good:
        assert asked.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            asked.resolve(value)


def test_naive_time_is_refused_in_words(dags: dict[str, Any]) -> None:
    asked = dags["production_database_point_in_time_recovery"].params.get_param("target_value")
    with pytest.raises(ParamValidationError, match=r"add \+00:00 if it is UTC"):
        asked.resolve("2026-03-01T14:30:00")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_asked_for_that_need_not_be(name: str) -> None:
    """Only the reason has no answer of its own; everything else has a safe one."""
    # A param remembers what it was last given, so these are read anew.
    params = read_dags()[f"production_{name}"].params
    open_fields = []
    for field in params:
        try:
            params.get_param(field).resolve()
        except ParamValidationError:
            open_fields.append(field)
    assert open_fields == ["reason"]
    # Airflow's form lets nobody go on while a field of the type string is empty.
    for field in params:
        schema, default = params.get_param(field).schema, params.get_param(field).value
        assert field == "reason" or default or "null" in schema["type"]
    assert params.get_param("afterwards").resolve() == "stopped"
