"""The WAL shipping DAG of a policy that asks for streaming: one run after the other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import TriggerRule
from airflow.serialization.serialized_objects import DagSerialization

from ledgerkeep.operators.wal import ShipWalOperator, StreamWalOperator
from tests.conftest import ROOT

DAGS = ROOT / "dags"


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """Production streams, staging has a schedule."""
    for name in ("production", "staging"):
        policy = yaml.safe_load((ROOT / "include" / "policies" / f"{name}.yaml").read_text())
        if name == "production":
            policy["database"]["wal_shipping"] |= {
                "schedule": None,
                "continuous": {"interval": "10m", "switch_after": "15s"},
            }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    file = DAGS / "backup" / "database_wal_shipping.py"
    found = DagBag(dag_folder=file, bundle_path=DAGS, bundle_name="dags-folder")
    assert found.import_errors == {}
    return found


@pytest.fixture
def dag(bag: DagBag) -> Any:
    return bag.dags["production_database_wal_shipping"]


def test_each_policy_has_its_own_kind_of_run(bag: DagBag, dag: Any) -> None:
    assert isinstance(dag.get_task("ship"), StreamWalOperator)
    scheduled = bag.dags["staging_database_wal_shipping"]
    assert isinstance(scheduled.get_task("ship"), ShipWalOperator)


def test_runs_follow_each_other_and_never_overlap(dag: Any) -> None:
    """The next is due as soon as there is none; Airflow allows one at a time."""
    assert dag.max_active_runs == 1
    assert not dag.catchup
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    first = read.next_dagrun_info(last_automated_run_info=None)
    assert first.run_after <= datetime.now(UTC) + timedelta(seconds=1)
    second = read.next_dagrun_info(last_automated_run_info=first)
    assert second.run_after <= datetime.now(UTC) + timedelta(seconds=1)
    assert second.logical_date > first.logical_date


def test_the_first_run_follows_those_of_a_schedule(bag: DagBag, dag: Any) -> None:
    """The policy has had one until now: Airflow makes no second run of one logical date."""
    scheduled = bag.dags["staging_database_wal_shipping"]
    before, after = (
        DagSerialization.from_dict(DagSerialization.to_dict(one)) for one in (scheduled, dag)
    )
    last = before.next_dagrun_info(last_automated_run_info=None)
    first = after.next_dagrun_info(last_automated_run_info=last)
    assert first.logical_date > last.logical_date


def test_each_run_ends_in_its_verdict(dag: Any) -> None:
    (leaf,) = dag.leaves
    assert leaf.task_id == "verdict"
    assert leaf.trigger_rule is TriggerRule.ALL_DONE
    assert dag.dagrun_timeout is None
    assert {task.retries for task in dag.tasks} == {2}
