"""The rollback of services, as Airflow reads it."""

from itertools import pairwise
from typing import Any

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import ParamValidationError

from ledgerkeep.configuration.rollback.request import FIELDS
from tests.conftest import ROOT

WORK = ["plan", "roll_back", "wait_for_services", "go_back", "wait_for_return", "verdict"]


@pytest.fixture(scope="module")
def rollbacks() -> dict[str, Any]:
    directory = ROOT / "dags" / "recovery"
    bag = DagBag(dag_folder=directory, bundle_path=directory, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return {name: dag for name, dag in bag.dags.items() if name.endswith("_service_rollback")}


@pytest.fixture(scope="module")
def dag(rollbacks: dict[str, Any]) -> Any:
    return rollbacks["production_service_rollback"]


def test_approval_stands_before_anything_is_changed(dag: Any) -> None:
    for before, after in pairwise(WORK):
        assert before in dag.get_task(after).upstream_task_ids
    assert dag.get_task("approve").upstream_task_ids == {"plan"}
    assert "approve" in dag.get_task("roll_back").upstream_task_ids
    assert dag.get_task("roll_back").approval_required
    assert set(dag.allowed_run_types) == {"manual"}


def test_environment_without_approval_asks_nobody(rollbacks: dict[str, Any]) -> None:
    dag = rollbacks["development_service_rollback"]
    assert [task.task_id for task in dag.topological_sort()] == WORK
    assert not dag.get_task("roll_back").approval_required


def test_services_go_back_whatever_happened_before(dag: Any) -> None:
    assert dag.get_task("go_back").trigger_rule is TriggerRule.ALL_DONE
    assert dag.get_task("wait_for_return").trigger_rule is TriggerRule.ALL_SUCCESS


def test_no_worker_is_held_while_services_become_stable(dag: Any) -> None:
    """The policy's figures: looked at every 10 s, for 15 min and as long again if late."""
    for name in ("wait_for_services", "wait_for_return"):
        wait = dag.get_task(name)
        assert (wait.mode, wait.poke_interval, wait.timeout) == ("reschedule", 10.0, 1800.0)


@pytest.mark.parametrize("version", ["backend:12", "12", "newest", "2026-03-01T14:30:00+00:00"])
def test_form_takes_what_is_read(dag: Any, version: str) -> None:
    assert set(dag.params) == FIELDS
    assert dag.params.get_param("version").resolve(version) == version
    assert dag.params.get_param("services").resolve() is None


@pytest.mark.parametrize("version", ["", "2026-03-01T14:30:00"])
def test_form_refuses_nothing_and_a_time_without_its_offset(dag: Any, version: str) -> None:
    with pytest.raises(ParamValidationError):
        dag.params.get_param("version").resolve(version)
