"""A recovery of configuration, task by task, as the scheduler would run it."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST, ApproveChangesOperator
from ledgerkeep.operators.configuration_backup import ConfigurationOperator
from ledgerkeep.operators.configuration_recovery import (
    READABLE,
    ApplyConfigurationOperator,
    PlanConfigurationOperator,
    VerifyConfigurationOperator,
)
from ledgerkeep.operators.configuration_restore_test import (
    ClearPlaceOperator,
    ConfigurationJanitorOperator,
    JudgeConfigurationTestOperator,
    RestoreBesideOperator,
    StateConfigurationScenarioOperator,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.recovery.approval import APPROVED_PLAN
from tests.operators.configured import ENVIRONMENT, configured, export

pytestmark = pytest.mark.integration

PASSWORD, ROTATED = "correct-horse-battery", "wrong-pony-battery"
BELOW = "/loan-management/production"


@pytest.fixture
def ssm(s3: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two parameters, exported."""
    with configured("parameters", s3, tmp_path, monkeypatch) as account:
        found = account.client("ssm")
        found.put_parameter(Name=f"{BELOW}/url", Value="https://loans", Type="String")
        found.put_parameter(Name=f"{BELOW}/password", Value=PASSWORD, Type="SecureString")
        export("parameters")
        yield found


def change(ssm: Any) -> None:
    """A parameter changed, a secret rotated, a parameter added."""
    for name, value in (("url", "https://evil"), ("password", ROTATED), ("new", "1")):
        kind = "SecureString" if name == "password" else "String"
        ssm.put_parameter(Name=f"{BELOW}/{name}", Value=value, Type=kind, Overwrite=True)


def live(ssm: Any) -> dict[str, str]:
    found = ssm.get_parameters_by_path(Path=BELOW, Recursive=True, WithDecryption=True)
    return {one["Name"].removeprefix(f"{BELOW}/"): one["Value"] for one in found["Parameters"]}


def form(**fields: Any) -> dict[str, Any]:
    return {
        "source": "parameters",
        "version": "newest",
        "only": None,
        "delete_unknown": False,
        "scenario": "accidental_deletion",
        "reason": "INC-7: parameters were changed",
        **fields,
    }


def started(**fields: Any) -> Run:
    run = Run("production_configuration_recovery", params=form(**fields))
    run.do(PlanConfigurationOperator(task_id="plan", **ENVIRONMENT))
    return run


def apply(run: Run, approval: Any) -> Any:
    return run.do(
        ApplyConfigurationOperator(
            task_id="apply",
            plan=run.returned["plan"],
            approval=approval,
            approval_required=True,
            **ENVIRONMENT,
        )
    )


def verify(run: Run) -> Any:
    return run.do(
        VerifyConfigurationOperator(task_id="verify", plan=run.returned["plan"], **ENVIRONMENT)
    )


def verdict(run: Run, kind: Any = "recovery") -> EvidenceRecord:
    task = VerdictOperator(task_id="verdict", kind=kind, **ENVIRONMENT)
    said = run.do(task)
    return EvidenceRecord.from_json(task.catalog.store.get(said["evidence"]))


def approved(run: Run) -> dict[str, str]:
    return {APPROVED_PLAN: run.left["plan", PLAN_DIGEST]}


def test_configuration_is_put_back_and_the_evidence_says_so(
    ssm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    change(ssm)
    run = started()
    readable = run.left["plan", READABLE]
    assert '+ /value: "https://loans"' in readable
    assert f"`{BELOW}/new`" in readable
    assert apply(run, approved(run)) == {"applied": 2, "found_done": 0, "failed": 0}
    assert verify(run) == 2
    assert live(ssm) == {"url": "https://loans", "password": PASSWORD, "new": "1"}

    record = verdict(run)
    assert record.outcome == "success"
    version = run.returned["plan"]["version_id"]
    assert record.recovery_point_ids == [f"parameters/{version}"]
    assert record.facts["plan_sha256"] == run.left["plan", PLAN_DIGEST]
    assert record.facts["requested_by"] == "dana"
    assert record.measurements["changes_applied"] == 2
    assert record.measurements["changes_verified"] == 2
    assert record.target is not None
    assert record.target.name == "accidental_deletion"
    assert record.measurements["rto_seconds"] < record.target.rto_seconds
    assert {one.name: one.met for one in record.criteria} == {
        "data integrity": True,
        "application works": True,
        "performance within range": None,
        "recovery within RTO and RPO": True,
    }
    assert [one.what for one in record.findings] == [
        f"1 live things are not in the version and are left alone: {BELOW}/new"
    ]
    store = ConfigurationOperator(task_id="look", **ENVIRONMENT).catalog.store
    stored = [store.get(one.key) for one in store.list("")]
    said = [json.dumps([repr(run.left), run.returned]).encode(), caplog.text.encode()]
    for secret in (PASSWORD.encode(), ROTATED.encode()):
        assert [one for one in [*stored, *said] if secret in one] == []


def test_second_recovery_finds_nothing_and_asks_nobody(ssm: Any) -> None:
    run = started()
    assert "There is nothing to apply." in run.left["plan", READABLE]
    approve = ApproveChangesOperator(
        task_id="approve",
        changes=run.left["plan", CHANGES],
        plan_digest=run.left["plan", PLAN_DIGEST],
        response_timeout=timedelta(hours=1),
        subject="?",
        body="?",
        **ENVIRONMENT,
    )
    answer = run.do(approve)
    assert answer == {}
    assert apply(run, answer) == {"applied": 0, "found_done": 0, "failed": 0}
    assert verify(run) == 0
    assert verdict(run).outcome == "success"


@pytest.mark.parametrize(
    ("approval", "message"),
    [
        (None, "nobody has approved this recovery"),
        ({APPROVED_PLAN: "0" * 64}, "the plan is another than the one that was approved"),
    ],
)
def test_nothing_is_touched_without_the_approval_of_this_plan(
    ssm: Any, approval: Any, message: str
) -> None:
    change(ssm)
    run = started()
    before = live(ssm)
    with pytest.raises(AirflowFailException, match=message):
        apply(run, approval)
    assert live(ssm) == before


def test_what_was_changed_since_the_plan_is_not_gone_over(ssm: Any) -> None:
    change(ssm)
    run = started()
    ssm.put_parameter(Name=f"{BELOW}/url", Value="https://mine", Type="String", Overwrite=True)
    with pytest.raises(AirflowFailException, match="not as they were when it was made"):
        apply(run, approved(run))
    assert live(ssm)["url"] == "https://mine"
    assert run.contribution("apply")["findings"][0]["severity"] == "critical"


def test_form_that_cannot_be_meant_fails_the_plan_and_says_why(ssm: Any) -> None:
    with pytest.raises(AirflowFailException, match="the sources are parameters"):
        started(source="iam")
    with pytest.raises(AirflowFailException, match="the nearest of 1 stored"):
        started(version="20200101T000000000000Z-abcdef")


# -- the restore test

TEST = {"source": "parameters", **ENVIRONMENT}


def judged() -> Run:
    """Up to the judgement."""
    run = Run("production_test_application_configuration_recovery", run_type="scheduled")
    run.do(
        StateConfigurationScenarioOperator(
            task_id="scenario",
            scenario="What the application is told is lost.",
            objective="accidental_deletion",
            **ENVIRONMENT,
        )
    )
    run.do(RestoreBesideOperator(task_id="restore_parameters", **TEST))
    run.do(
        JudgeConfigurationTestOperator(
            task_id="judge",
            results={"parameters": run.returned["restore_parameters"]},
            **ENVIRONMENT,
        )
    )
    return run


def names(ssm: Any) -> list[str]:
    return sorted(one["Name"] for one in ssm.describe_parameters()["Parameters"])


def test_version_is_proven_beside_the_live_one_and_the_place_is_removed(ssm: Any) -> None:
    before = names(ssm)
    run = judged()
    assert len(names(ssm)) == 2 * len(before)
    assert run.do(ClearPlaceOperator(task_id="clear_parameters", **TEST)) is True
    assert names(ssm) == before

    record = verdict(run, "restore-test")
    assert record.outcome == "success"
    assert {one.name: one.met for one in record.criteria} == {
        "data integrity": True,
        "application works": True,
        "performance within range": None,
        "recovery within RTO and RPO": True,
    }
    assert record.measurements["rpo_seconds"] == 0
    assert record.findings == []
    version_id = run.returned["restore_parameters"]["version_id"]
    assert record.recovery_point_ids == [f"parameters/{version_id}"]
    versions = ConfigurationOperator(task_id="look", **ENVIRONMENT).versions
    (proof,) = versions.proofs(versions.get("parameters", version_id))
    assert (proof.level, proof.run) == ("proven", run.name)


def test_source_whose_restore_failed_makes_the_run_red_and_is_cleared_up(ssm: Any) -> None:
    run = Run("production_test_application_configuration_recovery")
    export_as = ConfigurationOperator(task_id="look", **ENVIRONMENT)
    for one in export_as.versions.all("parameters"):
        export_as.catalog.store.delete_prefix(f"production/configuration/parameters/{one.id}/")
    with pytest.raises(AirflowFailException, match="parameters has no version yet"):
        run.do(RestoreBesideOperator(task_id="restore_parameters", **TEST))
    run.do(
        JudgeConfigurationTestOperator(task_id="judge", results={"parameters": None}, **ENVIRONMENT)
    )
    assert run.do(ClearPlaceOperator(task_id="clear_parameters", **TEST)) is True
    with pytest.raises(AirflowFailException, match="restore_parameters failed"):
        verdict(run, "restore-test")
    assert run.contribution("judge")["criteria"][0]["words"] == "parameters: not restored"


def test_place_of_a_killed_test_is_removed_when_it_is_old(ssm: Any, tmp_path: Path) -> None:
    before = names(ssm)
    judged()
    janitor = {"task_id": "sweep_configuration", **ENVIRONMENT}
    run = Run("production_restore_janitor")
    assert run.do(ConfigurationJanitorOperator(**janitor)) == 0
    assert names(ssm) != before
    file = tmp_path / "production.yaml"
    policy = yaml.safe_load(file.read_text())
    policy["restore_tests"]["keep_copies"] = "0s"
    file.write_text(yaml.safe_dump(policy))
    deadline = time.monotonic() + 10  # the store tells whole seconds
    while run.do(ConfigurationJanitorOperator(**janitor)) == 0:
        assert time.monotonic() < deadline
    assert names(ssm) == before
    assert run.contribution("sweep_configuration")["findings"][0]["what"] == (
        "an isolated place of parameters of production_test_application_configuration_recovery/"
        "manual__1 was left behind and has been removed"
    )
