"""The recovery of configuration and its restore tests, as Airflow reads them."""

from itertools import pairwise
from typing import Any

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

from ledgerkeep.configuration.recovery.form import FIELDS
from ledgerkeep.configuration.registry import settings_of, source_names
from ledgerkeep.policy.load import load_environment
from tests.conftest import ROOT

WORK = ["plan", "apply", "verify", "verdict"]


def read_dags(folder: str = "recovery") -> dict[str, Any]:
    directory = ROOT / "dags" / folder
    bag = DagBag(dag_folder=directory, bundle_path=directory, bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


@pytest.fixture(scope="module")
def recoveries() -> dict[str, Any]:
    return read_dags()


@pytest.fixture(scope="module")
def dag(recoveries: dict[str, Any]) -> Any:
    return recoveries["production_configuration_recovery"]


def test_approval_stands_before_anything_is_changed(dag: Any) -> None:
    for before, after in pairwise(WORK):
        assert before in dag.get_task(after).upstream_task_ids
    assert dag.get_task("approve").upstream_task_ids == {"plan"}
    assert "approve" in dag.get_task("apply").upstream_task_ids
    assert dag.get_task("apply").approval_required
    assert set(dag.allowed_run_types) == {"manual"}


def test_environment_without_approval_asks_nobody(recoveries: dict[str, Any]) -> None:
    dag = recoveries["development_configuration_recovery"]
    assert [task.task_id for task in dag.topological_sort()] == WORK
    assert not dag.get_task("apply").approval_required


def test_form_offers_the_sources_of_the_policy_in_words(dag: Any) -> None:
    assert set(dag.params) == FIELDS
    for field in FIELDS:
        schema = dag.params.get_param(field).schema
        assert schema["title"]
        assert set(schema.get("values_display", {})) == set(schema.get("enum", []))
    source = dag.params.get_param("source").schema
    assert source["enum"] == source_names(load_environment("production"))
    # A name that is shown as it is written in the policy tells a person too little.
    assert [name for name, words in source["values_display"].items() if name == words] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("source", ["parameters"], ["", None, "other"]),
        (
            "version",
            ["newest", "2026-03-01T14:30:00+00:00", "20261122T010203000004Z-0a1b2c"],
            ["", "2026-03-01T14:30:00", "2026-03-01", None],
        ),
        ("only", [None, [], ["/loan/*"]], ["a", [1]]),
        ("delete_unknown", [True, False], ["yes", None]),
        ("scenario", ["security_incident"], ["database_failure"]),
        ("reason", ["INC-7: changed"], ["", "oops", None]),
    ],
)
def test_form_refuses_what_it_can(dag: Any, field: str, good: list[Any], bad: list[Any]) -> None:
    asked = dag.params.get_param(field)
    for value in good:
        assert asked.resolve(value) == value
    for value in bad:
        with pytest.raises(ParamValidationError):
            asked.resolve(value)


def test_by_default_everything_goes_back_to_the_newest_and_nothing_is_deleted() -> None:
    """Only the source and the reason have to be filled in."""
    params = read_dags()["production_configuration_recovery"].params
    for field in params:
        schema, default = params.get_param(field).schema, params.get_param(field).value
        assert field in ("source", "reason") or default is not None or "null" in schema["type"]
    assert params.get_param("version").resolve() == "newest"
    assert params.get_param("delete_unknown").resolve() is False


# -- the restore tests

TESTS = {
    "infrastructure": ["repositories", "terraform_state", "iam", "security_groups", "kms", "waf"],
    "application_configuration": ["parameters", "secrets", "files", "services", "manual_settings"],
    "integration_configuration": ["auth0", "docusign", "sendgrid"],
}


@pytest.mark.parametrize("family", sorted(TESTS))
def test_each_source_of_a_family_is_restored_and_its_place_removed(family: str) -> None:
    dag = read_dags("restore_tests")[f"production_test_{family}_recovery"]
    enabled = [
        name for name in source_names(load_environment("production")) if name in TESTS[family]
    ]
    assert enabled
    for name in enabled:
        restore, clear = dag.get_task(f"restore_{name}"), dag.get_task(f"clear_{name}")
        assert (restore.source, clear.source) == (name, name)
        assert restore.upstream_task_ids == {"scenario"}
        # The setup is the scenario: a place is removed also when its restore failed.
        assert clear.is_teardown
        assert clear.upstream_task_ids == {"scenario", f"restore_{name}"}
        assert not clear.on_failure_fail_dagrun
    assert dag.get_task("scenario").is_setup
    judge = dag.get_task("judge")
    assert judge.upstream_task_ids == {f"restore_{name}" for name in enabled}
    assert judge.trigger_rule == "all_done"
    assert set(dag.task_ids) == {
        *("scenario", "judge", "verdict"),
        *(f"{verb}_{name}" for name in enabled for verb in ("restore", "clear")),
    }


def test_every_source_belongs_to_the_test_of_its_family() -> None:
    policy = load_environment("production")
    for name in source_names(policy):
        family = settings_of(name, policy).family
        assert [one for one in TESTS if name in TESTS[one]] == [family]


def test_janitor_looks_for_places_that_were_left_behind() -> None:
    dag = read_dags("restore_tests")["production_restore_janitor"]
    assert dag.get_task("verdict").upstream_task_ids == {"sweep", "sweep_configuration"}
