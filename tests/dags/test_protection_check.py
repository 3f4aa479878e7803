"""The DAG of the documents' protection check: what waits for what, and where nobody is asked."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag

from tests.conftest import ROOT

DAGS = ROOT / "dags" / "backup"
NAME = "documents_protection_check"


def read_dag(environment: str) -> Any:
    bag = DagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return bag.dags.get(f"{environment}_{NAME}")


def with_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: Any) -> Any:
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    policy["documents"]["protection"]["repair"] = section
    (tmp_path / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    return read_dag("production")


def test_versions_and_settings_hide_nothing_from_each_other() -> None:
    dag = read_dag("production")
    assert {task.task_id for task in dag.tasks} == {
        "versions",
        "settings",
        "approve",
        "repair",
        "verdict",
    }
    assert dag.get_task("versions").upstream_task_ids == set()
    assert dag.get_task("settings").upstream_task_ids == set()
    assert dag.get_task("verdict").upstream_task_ids == {"versions", "repair"}


def test_approval_stands_between_looking_and_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"approval": True, "approvers": ["bea"], "response_timeout": "30m"}
    dag = with_repair(tmp_path, monkeypatch, asked)
    approve, repair = dag.get_task("approve"), dag.get_task("repair")
    assert approve.upstream_task_ids == {"settings"}
    assert (approve.approvers, approve.response_timeout) == (["bea"], timedelta(minutes=30))
    assert repair.upstream_task_ids == {"settings", "approve"}
    assert repair.approval_required


def test_environment_without_approval_asks_nobody() -> None:
    dag = read_dag("staging")
    assert not dag.has_task("approve")
    assert not dag.get_task("repair").approval_required


def test_policy_without_repair_has_no_such_button(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = with_repair(tmp_path, monkeypatch, None)
    assert {task.task_id for task in dag.tasks} == {"versions", "settings", "verdict"}
    assert dict(dag.params) == {}
    assert dag.get_task("settings").repair == "False"
    assert dag.max_active_runs == 1


def test_a_scheduled_run_repairs_nothing() -> None:
    assert read_dag("production").params.get_param("repair").resolve() is False
