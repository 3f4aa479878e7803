"""The recovery of documents and its restore tests, as Airflow reads them."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

from ledgerkeep.documents.recovery.form import FIELDS
from tests.conftest import ROOT

WORK = ["plan", "thaw", "wait_for_thaw", "recover", "report", "verdict"]
TESTS = ["single_document_recovery", "bulk_document_recovery", "cross_region_document_recovery"]


def read_dags(folder: str = "recovery") -> dict[str, Any]:
    directory = ROOT / "dags" / folder
    bag = DagBag(dag_folder=directory, bundle_path=directory, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def dag() -> Any:
    return read_dags()["production_document_recovery"]


def test_approval_stands_before_anything_that_costs(dag: Any) -> None:
    for before, after in pairwise(WORK):
        assert before in dag.get_task(after).upstream_task_ids
    assert dag.get_task("approve").upstream_task_ids == {"plan"}
    assert "approve" in dag.get_task("thaw").upstream_task_ids
    assert dag.get_task("recover").approval_required
    assert set(dag.allowed_run_types) == {"manual"}


def test_environment_without_approval_asks_nobody() -> None:
    dag = read_dags()["staging_document_recovery"]
    assert [task.task_id for task in dag.topological_sort()] == WORK
    assert not dag.get_task("recover").approval_required


def test_waiting_for_cold_storage_holds_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    policy["documents"]["recovery"] = {"thaw_poll": "10m", "thaw_timeout": "1d"}
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    wait = read_dags()["production_document_recovery"].get_task("wait_for_thaw")
    assert (wait.mode, wait.poke_interval, wait.timeout) == ("reschedule", 600, 86400)


def test_form_has_the_fields_that_are_read(dag: Any) -> None:
    assert set(dag.params) == FIELDS
    for field in FIELDS:
        schema = dag.params.get_param(field).schema
        assert schema["title"]
        assert set(schema.get("values_display", {})) == set(schema.get("enum", []))


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("moment", [None, "2026-03-01T14:30:00+00:00", "2026-03-01 14:30Z"], ["2026-03-01T14:30"]),
        ("deleted_from", [None, "2026-03-01T14:30:00Z"], ["2026-03-01"]),
        ("incident_ended_at", [None], ["2026-03-01 14:30:00"]),
        ("keys", [None, [], ["a b", "ü"]], ["a", [1]]),
        ("prefix", [None, "", "a/"], [7, "x" * 1025]),
        ("goal", ["undelete"], ["", None, "other"]),
        ("on_conflict", ["leave", "overwrite"], ["", "maybe"]),
        ("remove_later_keys", [True, False], ["yes", None]),
        ("scenario", ["region_failure"], ["database_failure"]),
        ("reason", ["INC-7: deleted"], ["", "oops", None]),
    ],
)
def test_form_refuses_what_it_can(dag: Any, field: str, good: list[Any], bad: list[Any]) -> None:
    asked = dag.params.get_param(field)
    for value in good:
        assert asked.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            asked.resolve(value)


def test_nothing_is_asked_for_that_need_not_be() -> None:
    """Only the reason; and by default nothing is overwritten and nothing removed."""
    params = read_dags()["production_document_recovery"].params
    # Airflow's form lets nobody go on while a field of the type string is empty.
    for field in params:
        schema, default = params.get_param(field).schema, params.get_param(field).value
        assert field == "reason" or default is not None or "null" in schema["type"]
    assert params.get_param("on_conflict").resolve() == "leave"
    assert params.get_param("remove_later_keys").resolve() is False


@pytest.mark.parametrize("name", TESTS)
def test_copies_are_removed_whatever_happened(name: str) -> None:
    dag = read_dags("restore_tests")[f"production_test_{name}"]
    assert [task.task_id for task in dag.topological_sort()] == [
        "scenario",
        "sample",
        "restore",
        "compare",
        "remove",
        "verdict",
    ]
    remove = dag.get_task("remove")
    assert remove.is_teardown
    assert dag.get_task("sample").is_setup
    assert dag.get_task("verdict").upstream_task_ids == {"remove"}
    assert not remove.on_failure_fail_dagrun
