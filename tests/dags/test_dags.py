"""The DAG files: each policy becomes the DAGs it asks for, and every run ends in its verdict."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import airflow_home  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronTriggerTimetable, TriggerRule
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from ledgerkeep.configuration.registry import source_names
from ledgerkeep.policy.load import load_environment
from tests.conftest import ROOT

DAGS = ROOT / "dags"
SCHEDULES = {
    "development_compliance_report": None,
    "development_configuration_backup": "0 2 * * 0",
    "development_configuration_recovery": None,
    "development_database_backup_verification": "0 8 * * *",
    "development_database_deployment_verified": None,
    "development_database_full_backup": "0 3 * * SUN",
    "development_database_full_restore": None,
    "development_database_incremental_backup": "0 4 * * *",
    "development_database_point_in_time_recovery": None,
    "development_database_pre_deployment_backup": None,
    "development_database_retention": "0 6 * * *",
    "development_document_metadata_recovery": None,
    "development_document_recovery": None,
    "development_documents_metadata_consistency": "30 6 * * *",
    "development_documents_protection_check": "0 6 * * *",
    "development_restore_janitor": "30 * * * *",
    "development_service_rollback": None,
    "production_compliance_report": "0 8 1 * *",
    "production_configuration_backup": "0 2 * * 0",
    "production_configuration_recovery": None,
    "production_database_backup_verification": "0 7 * * *",
    "production_database_compliance_archive": "0 9 2 1 *",
    "production_database_deployment_verified": None,
    "production_database_fingerprint": "0 4 * * *",
    "production_database_full_backup": "0 1 * * *",
    "production_database_full_restore": None,
    "production_database_incremental_backup": "30 * * * *",
    "production_database_point_in_time_recovery": None,
    "production_database_pre_deployment_backup": None,
    "production_database_wal_shipping": "*/15 * * * *",
    "production_database_retention": "0 5 * * *",
    "production_document_failback": None,
    "production_document_failover": None,
    "production_document_metadata_recovery": None,
    "production_document_recovery": None,
    "production_documents_metadata_consistency": "30 3 * * *",
    "production_documents_protection_check": "50 * * * *",
    "production_documents_replica_consistency": "0 3 * * *",
    "production_restore_janitor": "30 * * * *",
    "production_service_rollback": None,
    "production_test_bulk_document_recovery": "0 6 12 1,4,7,10 *",
    "production_test_cross_region_document_recovery": "0 6 18 3,9 *",
    "production_test_single_document_recovery": "0 6 10 * *",
    "production_test_full_database_restore": "0 6 20 1,4,7,10 *",
    "production_test_one_moment_recovery": "0 6 25 * *",
    "production_test_application_configuration_recovery": "0 6 6 1,4,7,10 *",
    "production_test_infrastructure_recovery": "0 6 5 1,4,7,10 *",
    "production_test_integration_configuration_recovery": "0 6 7 1,4,7,10 *",
    "production_test_point_in_time_recovery": "0 6 15 * *",
    "staging_compliance_report": "0 8 1 * *",
    "staging_configuration_backup": "0 2 * * 0",
    "staging_configuration_recovery": None,
    "staging_database_backup_verification": "30 7 * * *",
    "staging_database_deployment_verified": None,
    "staging_database_fingerprint": "0 5 * * *",
    "staging_database_full_backup": "0 3 * * *",
    "staging_database_full_restore": None,
    "staging_database_incremental_backup": "45 */6 * * *",
    "staging_database_point_in_time_recovery": None,
    "staging_database_pre_deployment_backup": None,
    "staging_database_wal_shipping": "*/30 * * * *",
    "staging_database_retention": "0 6 * * *",
    "staging_document_failback": None,
    "staging_document_failover": None,
    "staging_document_failover_watch": "*/5 * * * *",
    "staging_document_metadata_recovery": None,
    "staging_document_recovery": None,
    "staging_documents_metadata_consistency": "30 4 * * *",
    "staging_documents_protection_check": "50 * * * *",
    "staging_documents_replica_consistency": "0 4 * * *",
    "staging_documents_replication": "0 2 * * *",
    "staging_restore_janitor": "30 * * * *",
    "staging_service_rollback": None,
    "staging_test_bulk_document_recovery": "0 7 12 1,4,7,10 *",
    "staging_test_cross_region_document_recovery": "0 7 18 3,9 *",
    "staging_test_single_document_recovery": "0 7 10 * *",
    "staging_test_full_database_restore": "0 7 20 1,4,7,10 *",
    "staging_test_one_moment_recovery": "0 7 25 * *",
    "staging_test_application_configuration_recovery": "0 7 6 1,4,7,10 *",
    "staging_test_infrastructure_recovery": "0 7 5 1,4,7,10 *",
    "staging_test_integration_configuration_recovery": "0 7 7 1,4,7,10 *",
    "staging_test_point_in_time_recovery": "0 7 15 * *",
}
TAGS = {
    "configuration_backup": {"configuration", "backup"},
    "configuration_recovery": {"configuration", "recovery"},
    "database_backup_verification": {"database", "check"},
    "database_compliance_archive": {"database", "backup"},
    "database_deployment_verified": {"database", "check"},
    "database_full_backup": {"database", "backup"},
    "database_full_restore": {"database", "recovery"},
    "database_incremental_backup": {"database", "backup"},
    "database_point_in_time_recovery": {"database", "recovery"},
    "database_pre_deployment_backup": {"database", "backup"},
    "database_retention": {"database", "check"},
    "database_wal_shipping": {"database", "backup"},
    "database_fingerprint": {"database", "check"},
    "document_failback": {"documents", "recovery"},
    "document_failover": {"documents", "recovery"},
    "document_failover_watch": {"documents", "check"},
    "document_metadata_recovery": {"documents", "recovery"},
    "document_recovery": {"documents", "recovery"},
    "documents_metadata_consistency": {"documents", "check"},
    "documents_protection_check": {"documents", "check"},
    "documents_replica_consistency": {"documents", "check"},
    "documents_replication": {"documents", "backup"},
    "test_application_configuration_recovery": {"configuration", "restore-test"},
    "test_full_database_restore": {"database", "restore-test"},
    "test_infrastructure_recovery": {"configuration", "restore-test"},
    "test_integration_configuration_recovery": {"configuration", "restore-test"},
    "test_one_moment_recovery": {"documents", "restore-test"},
    "test_single_document_recovery": {"documents", "restore-test"},
    "test_bulk_document_recovery": {"documents", "restore-test"},
    "test_cross_region_document_recovery": {"documents", "restore-test"},
    "test_point_in_time_recovery": {"database", "restore-test"},
    "service_rollback": {"configuration", "recovery"},
    "restore_janitor": {"database", "check"},
    "compliance_report": {"evidence", "report"},
}
REPAIRING = ("documents_protection_check", "documents_replica_consistency")
"""Checks that may wait for the approval of a repair while they are due again."""
CRITICALITY = {"development": "low", "staging": "medium", "production": "critical"}
HEAVY = [
    "boto3",
    "botocore",
    "great_expectations",
    "matplotlib",
    "obstore",
    "pandas",
    "psycopg",
    "airflow.providers.amazon",
]


def read_dags() -> DagBag:
    return DagBag(dag_folder=DAGS, bundle_path=DAGS, bundle_name="dags-folder")


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return read_dags()


@pytest.fixture(scope="module", params=sorted(SCHEDULES))
def dag(bag: DagBag, request: pytest.FixtureRequest) -> Any:
    return bag.dags[request.param]


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the policies, for a test to change."""
    directory = tmp_path / "policies"
    directory.mkdir()
    for path in (ROOT / "include" / "policies").glob("*.yaml"):
        (directory / path.name).write_text(path.read_text())
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(directory))
    return directory


# -- what there is


def test_every_dag_file_imports(bag: DagBag) -> None:
    assert bag.import_errors == {}


def test_each_environment_has_the_dags_of_its_policy(bag: DagBag) -> None:
    """Development ships no WAL, so it takes no fingerprint and tests no point in time."""
    assert sorted(bag.dags) == sorted(SCHEDULES)


def test_dag_runs_at_the_times_of_its_policy(dag: Any) -> None:
    by_time = getattr(dag.timetable, "timetable", dag.timetable)
    assert getattr(by_time, "expression", None) == SCHEDULES[dag.dag_id]
    assert str(getattr(by_time, "timezone", "UTC")) == "UTC"


def test_dag_carries_owner_tags_and_its_page(dag: Any) -> None:
    environment, _, name = dag.dag_id.partition("_")
    assert dag.tags == TAGS[name] | {environment, f"criticality:{CRITICALITY[environment]}"}
    assert {task.owner for task in dag.tasks} == {"backup-operations"}
    assert dag.doc_md.startswith("# ")


# -- what must hold for each


def test_verdict_is_the_only_leaf_and_runs_whatever_happened(dag: Any) -> None:
    """Airflow takes a run's state from its leaves alone."""
    (leaf,) = dag.leaves
    assert leaf.task_id == "verdict"
    assert leaf.trigger_rule is TriggerRule.ALL_DONE
    assert not leaf.is_teardown


def test_no_run_is_cut_off_before_its_teardown(dag: Any) -> None:
    """`dagrun_timeout` would skip the teardown and leave a restored copy behind."""
    assert dag.dagrun_timeout is None


def test_runs_of_a_dag_do_not_overlap_and_tasks_are_tried_again(dag: Any) -> None:
    """What waits for an approval must not hold up the next run: a recovery, a check's repair."""
    waits = "recovery" in dag.tags or dag.dag_id.endswith(REPAIRING)
    assert dag.max_active_runs == (8 if waits else 1)
    # A health check that failed is looked at again after the policy's own interval.
    tasks = [task for task in dag.tasks if task.task_id != "watch"]
    assert {task.retries for task in tasks} == {2}
    assert {task.retry_delay.total_seconds() for task in tasks} == {30}


def test_dag_that_is_switched_on_waits_for_its_time(dag: Any) -> None:
    assert not dag.catchup
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    first = read.next_dagrun_info(last_automated_run_info=None)
    if SCHEDULES[dag.dag_id] is None:
        assert first is None
    else:
        assert first.run_after > datetime.now(UTC)


def arguments(task: Any) -> dict[str, Any]:
    """A task's attributes; of a mapped one, what all its instances get and what each gets."""
    if task.is_mapped:
        return {**task.partial_kwargs, **task.expand_input.value}
    return vars(task)


def test_templated_fields_are_attributes(dag: Any) -> None:
    for task in dag.tasks:
        known = arguments(task)
        missing = [name for name in task.template_fields if name not in known]
        assert missing == [], task.task_id


def test_task_works_in_the_environment_of_its_dag(dag: Any) -> None:
    environments = {arguments(task)["environment"] for task in dag.tasks}
    assert environments == {dag.dag_id.partition("_")[0]}


# -- the restore tests


RESTORE_TESTS = ["test_full_database_restore", "test_point_in_time_recovery"]


@pytest.mark.parametrize("name", RESTORE_TESTS)
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_only_the_teardown_lies_between_work_and_verdict(
    bag: DagBag, environment: str, name: str
) -> None:
    """A skipped or failed work task must not keep the copy from being removed."""
    dag = bag.dags[f"{environment}_{name}"]
    remove, verdict = dag.get_task("remove_room"), dag.get_task("verdict")
    assert verdict.upstream_task_ids == {"remove_room"}
    assert remove.is_teardown
    assert dag.get_task("prepare_room").is_setup
    assert "prepare_room" in remove.upstream_task_ids
    # With the flag, a teardown that succeeds would turn a failed run green.
    assert not remove.on_failure_fail_dagrun
    work = [task.task_id for task in dag.topological_sort() if task not in (remove, verdict)]
    assert work == [
        "scenario",
        "fingerprint",
        "ship_wal",
        "plan",
        "prepare_room",
        "restore",
        "prove",
        "validate",
        "check_application",
    ]


@pytest.mark.parametrize("name", RESTORE_TESTS)
def test_restore_test_waits_for_each_step(bag: DagBag, name: str) -> None:
    """The steps share one room and one server in it, so they go one after the other."""
    dag = bag.dags[f"production_{name}"]
    in_order = [task.task_id for task in dag.topological_sort()]
    for before, after in pairwise(in_order):
        assert before in dag.get_task(after).upstream_task_ids


def test_documents_of_a_moment_are_removed_whatever_happened(bag: DagBag) -> None:
    """The restored copy and the restored sample alike."""
    dag = bag.dags["production_test_one_moment_recovery"]
    in_order = [task.task_id for task in dag.topological_sort()]
    for before, after in pairwise(in_order):
        assert before in dag.get_task(after).upstream_task_ids
    assert in_order[-3:] == ["remove_sample", "remove_room", "verdict"]
    for name in ("remove_sample", "remove_room"):
        assert dag.get_task(name).is_teardown
        assert not dag.get_task(name).on_failure_fail_dagrun


# -- the backup verification


def test_no_part_of_a_verification_waits_for_another(bag: DagBag) -> None:
    """One that fails must not hide what the others find."""
    dag = bag.dags["production_database_backup_verification"]
    parts = {"completeness", "reread", "wal_continuity", "size_trend"}
    assert {task.task_id for task in dag.tasks} == {*parts, "verdict"}
    assert dag.get_task("verdict").upstream_task_ids == parts
    assert all(not dag.get_task(part).upstream_task_ids for part in parts)


def test_chain_of_an_environment_without_wal_is_restored_to_its_own_end(policies: Path) -> None:
    """There is no WAL that could lead to a fingerprint."""
    file = policies / "development.yaml"
    development = yaml.safe_load(file.read_text())
    development["restore_tests"]["full_database_restore"] = {"schedule": None}
    file.write_text(yaml.safe_dump(development))
    bag = read_dags()
    assert bag.import_errors == {}
    dag = bag.dags["development_test_full_database_restore"]
    assert [task.task_id for task in dag.topological_sort()] == [
        "scenario",
        "plan",
        "prepare_room",
        "restore",
        "prove",
        "validate",
        "check_application",
        "remove_room",
        "verdict",
    ]
    assert dag.get_task("prove").fingerprint_id is None


# -- the configuration


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_change_starts_a_backup_of_the_configuration(bag: DagBag, environment: str) -> None:
    """Besides its time: what waits in the queue updates the asset."""
    dag = bag.dags[f"{environment}_configuration_backup"]
    (asset,) = dag.timetable.asset_condition.objects
    (watcher,) = asset.watchers
    assert asset.name == f"{environment}_configuration"
    assert watcher.trigger.serialize() == (
        "ledgerkeep.triggers.configuration_changes.ConfigurationChangesTrigger",
        {"environment": environment},
    )
    assert dag.get_task("settle").trigger_rule is TriggerRule.ALL_DONE


def test_without_a_queue_only_the_time_starts_a_backup_of_the_configuration(bag: DagBag) -> None:
    dag = bag.dags["development_configuration_backup"]
    assert isinstance(dag.timetable, CronTriggerTimetable)
    assert "settle" not in dag.task_ids


def test_with_neither_time_nor_queue_it_runs_on_demand(policies: Path) -> None:
    file = policies / "development.yaml"
    development = yaml.safe_load(file.read_text())
    development["configuration"]["schedule"] = None
    file.write_text(yaml.safe_dump(development))
    dag = read_dags().dags["development_configuration_backup"]
    assert not dag.timetable.can_be_scheduled


def test_each_source_is_exported_whatever_becomes_of_the_others(bag: DagBag) -> None:
    dag = bag.dags["production_configuration_backup"]
    exports = {f"export_{name}" for name in source_names(load_environment("production"))}
    assert dag.get_task("choose").downstream_task_ids - {"retention"} == exports
    assert dag.get_task("retention").trigger_rule is TriggerRule.ALL_DONE
    assert all(dag.get_task(name).upstream_task_ids == {"choose"} for name in exports)


# -- what a person may ask for


@pytest.mark.parametrize(
    ("name", "param", "good", "bad"),
    [
        ("compliance_report", "month", ["", "2026-11"], ["November", "2026-11-22", "26-11"]),
        ("database_full_backup", "adopt_timeline", ["", "3"], ["-1", "three"]),
        ("database_compliance_archive", "recovery_point", ["", "2026-F-1"], ["a/b", "x" * 65]),
        ("database_pre_deployment_backup", "description", ["", "new ledger"], ["x" * 501]),
    ],
)
def test_param_is_checked_before_the_run(
    bag: DagBag, name: str, param: str, good: list[str], bad: list[str]
) -> None:
    asked = bag.dags[f"production_{name}"].params.get_param(param)
    assert asked.resolve() is None
    for value in good:
        assert asked.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            asked.resolve(value)


@pytest.mark.parametrize("name", ["database_pre_deployment_backup", "database_deployment_verified"])
def test_deployment_must_be_named_and_nameable(bag: DagBag, name: str) -> None:
    asked = bag.dags[f"production_{name}"].params.get_param("deployment_id")
    with pytest.raises(ParamValidationError):
        asked.resolve()
    for value in ["", "a/b", "../x", "x" * 300]:
        with pytest.raises(ParamValidationError):
            asked.resolve(value)
    assert asked.resolve("2026.11.3") == "2026.11.3"


# -- broken policies


def test_broken_policy_shows_as_an_import_error_and_the_others_go_on(policies: Path) -> None:
    staging = policies / "staging.yaml"
    lines = staging.read_text().replace("criticality: medium", "criticality: huge").splitlines()
    staging.write_text("\n".join(lines))
    line = 1 + next(number for number, text in enumerate(lines) if text.startswith("criticality"))

    bag = read_dags()

    (file,) = bag.import_errors
    assert Path(file).name == "policies.py"
    assert (
        f"ledgerkeep.errors.PolicyError: policy {staging} is refused for 1 fault:\n"
        f"  line {line}: criticality: found 'huge'; allowed: "
        "'low', 'medium', 'high' or 'critical'\n"
        f"Hint: correct the file, then check it: ledgerkeep policy check {staging}"
    ) in bag.import_errors[file]
    assert sorted(bag.dags) == sorted(name for name in SCHEDULES if "staging" not in name)


def test_environment_whose_policy_is_gone_has_no_dag(policies: Path) -> None:
    (policies / "production.yaml").unlink()
    bag = read_dags()
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted(name for name in SCHEDULES if "production" not in name)


def test_section_that_is_left_out_has_no_dag(policies: Path) -> None:
    text = (policies / "production.yaml").read_text()
    before, _, after = text.partition("  janitor:\n    schedule:")
    (policies / "production.yaml").write_text(before + after.partition("\n")[2])
    bag = read_dags()
    assert bag.import_errors == {}
    assert set(SCHEDULES) - set(bag.dags) == {"production_restore_janitor"}


# -- how much reading them costs

_READ = f"""
import json, runpy, sys, time
import airflow.sdk
before, began = set(sys.modules), time.process_time()
for path in {[str(path) for path in sorted(DAGS.rglob("*.py"))]!r}:
    runpy.run_path(path)
seconds = time.process_time() - began
print(json.dumps([sorted(set(sys.modules) - before), seconds]))
"""


def test_reading_the_dag_files_imports_nothing_heavy() -> None:
    """Airflow reads them every minute; what is heavy waits until a task runs."""
    paths = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _READ],
        env={**os.environ, "PYTHONPATH": paths, "AIRFLOW_HOME": airflow_home.HOME},
        capture_output=True,
        text=True,
        check=True,
    )
    imported, seconds = json.loads(done.stdout.splitlines()[-1])
    assert "ledgerkeep.operators.restore" in imported
    assert [name for name in imported if name.startswith(tuple(HEAVY))] == []
    # The processor's own time, so that a busy machine does not count.
    assert seconds < 2


def test_no_form_asks_again_for_a_field_that_may_stay_empty(bag: DagBag) -> None:
    """Airflow's form takes an empty string for a field that was forgotten, and starts nothing."""
    stuck = [
        (dag_id, name)
        for dag_id, dag in bag.dags.items()
        for name in dag.params
        if dag.params.get_param(name).schema.get("type") == "string"
        and dag.params.get_param(name).value == ""
    ]
    assert stuck == []
