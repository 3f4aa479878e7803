"""A rollback of services, task by task, as the scheduler would run it.

The bucket is real; the account is in this process (moto), behind `SlowEcs`, our own fake of
deployments that take time and fail.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.operators.approval import CHANGES, PLAN_DIGEST, ApproveChangesOperator
from ledgerkeep.operators.configuration_backup import ConfigurationOperator
from ledgerkeep.operators.service_rollback import (
    READABLE,
    GoBackOperator,
    PlanRollbackOperator,
    RollBackServicesOperator,
    WaitForReturnSensor,
    WaitForRollbackSensor,
)
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.recovery.approval import APPROVED_PLAN
from tests.operators.configured import ENVIRONMENT, configured, export
from tests.support.services import SlowEcs, arn, definition

pytestmark = pytest.mark.integration

CLUSTER = "loan-management-production"
BACKEND, WORKER = f"{CLUSTER}/backend", f"{CLUSTER}/worker"
LOOKING: dict[str, Any] = {
    **ENVIRONMENT,
    "poll": timedelta(seconds=10),
    "patience": timedelta(minutes=15),
}
SECRETS = ("t0ken-s3cret", "passw0rd-s3cret", "url-s3cret", "log-s3cret")


@dataclass
class Rollback:
    """An account with two services, whose first revision is stored; and a run on it."""

    ecs: SlowEcs
    patience: float = 900.0
    run: Run = field(
        default_factory=lambda: Run(
            "production_service_rollback",
            params={
                "version": "newest",
                "services": None,
                "scenario": "accidental_deletion",
                "reason": "INC-7: the release does not start",
            },
        )
    )

    def given(self, task: Any) -> Any:
        """The task, with our ECS instead of the stand-in's own."""
        task.__dict__["services"] = replace(
            task.services, ecs=self.ecs, patience=self.patience, poll=0.0
        )
        return task

    def do(self, task: Any) -> Any:
        return self.run.do(self.given(task))

    def plan(self) -> Any:
        return self.do(PlanRollbackOperator(task_id="plan", **ENVIRONMENT))

    @property
    def approval(self) -> dict[str, str]:
        return {APPROVED_PLAN: self.run.left["plan", PLAN_DIGEST]}

    def roll_back(self, **approved: Any) -> Any:
        approved = approved or {"approval": self.approval}
        return self.do(
            RollBackServicesOperator(
                task_id="roll_back",
                plan=self.run.returned["plan"],
                approval_required=True,
                **approved,
                **ENVIRONMENT,
            )
        )

    def look(self) -> PokeReturnValue:
        wait = self.given(
            WaitForRollbackSensor(
                task_id="wait_for_services", deployed=self.run.returned["roll_back"], **LOOKING
            )
        )
        seen: PokeReturnValue = wait.poke(self.run.context(wait))
        if seen:
            self.run.states["wait_for_services"] = "success"
            self.run.returned["wait_for_services"] = seen.xcom_value
        return seen

    def go_back(self) -> Any:
        return self.do(
            GoBackOperator(
                task_id="go_back",
                plan=self.run.returned.get("plan"),
                outcome=self.run.returned.get("wait_for_services"),
                **ENVIRONMENT,
            )
        )

    def look_again(self) -> bool:
        wait = self.given(
            WaitForReturnSensor(
                task_id="wait_for_return", gone_back=self.run.returned["go_back"], **LOOKING
            )
        )
        try:
            done: bool = wait.poke(self.run.context(wait))
        except AirflowFailException:
            self.run.states["wait_for_return"] = "failed"
            raise
        self.run.states["wait_for_return"] = "success" if done else "running"
        return done

    def judge(self) -> EvidenceRecord:
        verdict = VerdictOperator(task_id="verdict", kind="recovery", **ENVIRONMENT)
        said = self.run.do(verdict)
        return EvidenceRecord.from_json(verdict.catalog.store.get(said["evidence"]))

    def runs(self) -> dict[str, str]:
        answer = self.ecs.ecs.describe_services(cluster=CLUSTER, services=["backend", "worker"])
        return {
            one["serviceName"]: one["taskDefinition"].rsplit("/")[-1] for one in answer["services"]
        }


@pytest.fixture
def rollback(
    s3: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rollback]:
    with configured("services", s3, tmp_path, monkeypatch) as account:
        yield Rollback(SlowEcs(stocked(account.client("ecs"))))


def stocked(ecs: Any) -> Any:
    """Two services; their first revision is stored, their second one runs."""
    ecs.create_cluster(clusterName=CLUSTER)
    for family in ("backend", "worker"):
        ecs.register_task_definition(**definition(family=family))
        ecs.create_service(cluster=CLUSTER, serviceName=family, taskDefinition=family)
        ecs.update_service(cluster=CLUSTER, service=family, desiredCount=2)
    export("services")
    for family in ("backend", "worker"):
        ecs.register_task_definition(**definition(family=family, cpu="512"))
        ecs.update_service(cluster=CLUSTER, service=family, taskDefinition=arn(f"{family}:2"))
    return ecs


def test_services_are_rolled_back_and_waited_for(rollback: Rollback) -> None:
    rollback.ecs.looks = {"backend:1": 2}
    rollback.plan()
    shown = rollback.run.left["plan", READABLE]
    assert f"{BACKEND}\n  backend:2 → backend:1\n" in shown
    assert rollback.roll_back()["revisions"] == {BACKEND: arn("backend:1"), WORKER: arn("worker:1")}
    assert [bool(rollback.look()) for _ in range(3)] == [False, False, True]
    assert rollback.run.returned["wait_for_services"] == {"unstable": {}}
    assert rollback.go_back() == {"revisions": {}, "because": []}
    assert rollback.look_again() is True
    record = rollback.judge()
    assert (record.kind, record.outcome) == ("recovery", "success")
    assert record.facts["requested_by"] == "dana"
    assert record.facts["target"] == "all services, back to the newest version"
    assert [one.met for one in record.criteria] == [True, True, None, True]
    assert rollback.runs() == {"backend": "backend:1", "worker": "worker:1"}


@pytest.mark.parametrize("breaker", [False, True])
def test_all_services_go_back_if_one_fails_and_the_run_is_red(
    rollback: Rollback, breaker: bool
) -> None:
    rollback.ecs.failing, rollback.ecs.rolls_back = {"worker:1"}, breaker
    rollback.ecs.looks = {"backend:2": 3}
    rollback.plan()
    rollback.roll_back()
    assert bool(rollback.look()) is True
    gone_back = rollback.go_back()
    why = (
        "it was set to worker:2 by ECS or somebody else"
        if breaker
        else "worker: the deployment failed: tasks failed to start"
    )
    assert gone_back["because"] == [f"{WORKER} did not become stable: {why}"]
    assert rollback.go_back()["revisions"] == gone_back["revisions"]
    assert rollback.look_again() is False
    assert rollback.look_again() is False
    with pytest.raises(AirflowFailException) as caught:
        rollback.look_again()
    assert str(caught.value) == (
        f"{WORKER} did not become stable: {why}; running again what ran before: {BACKEND}, "
        f"{WORKER}\nHint: find the cause among the stopped tasks of the services, then roll back "
        "anew"
    )
    assert rollback.runs() == {"backend": "backend:2", "worker": "worker:2"}
    with pytest.raises(AirflowFailException, match="wait_for_return failed"):
        rollback.judge()


def test_what_takes_longer_than_the_policy_allows_goes_back(rollback: Rollback) -> None:
    rollback.ecs.never = {"backend:1"}
    rollback.plan()
    rollback.roll_back()
    assert bool(rollback.look()) is False
    rollback.patience = 0.0
    assert bool(rollback.look()) is True
    criteria = rollback.run.contribution("wait_for_services")["criteria"]
    words = f"{BACKEND}: backend: 2 of 2 tasks run, 2 deployments under way"
    assert [(one["name"], one["met"], one["words"]) for one in criteria[:2]] == [
        ("data integrity", False, words),
        ("application works", False, words),
    ]
    rollback.ecs.never = {"backend:2"}
    rollback.go_back()
    with pytest.raises(AirflowFailException) as caught:
        rollback.look_again()
    assert "and what ran before is not stable either: " in str(caught.value)
    assert "Hint: look at the stopped tasks of the services at once" in str(caught.value)


def test_a_rollback_that_failed_halfway_goes_back_although_nobody_waited(
    rollback: Rollback, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollback.plan()
    deploy = rollback.ecs.update_service

    def dying(**request: Any) -> Any:
        if request["service"] == "worker":
            raise ConnectionError("the worker was lost")
        return deploy(**request)

    monkeypatch.setattr(rollback.ecs, "update_service", dying)
    with pytest.raises(ConnectionError):
        rollback.roll_back()
    monkeypatch.setattr(rollback.ecs, "update_service", deploy)
    assert rollback.runs() == {"backend": "backend:1", "worker": "worker:2"}
    assert rollback.go_back()["because"] == ["the rollback was not carried through"]
    assert rollback.runs() == {"backend": "backend:2", "worker": "worker:2"}
    with pytest.raises(AirflowFailException, match="running again what ran before"):
        rollback.look_again()


def test_nothing_is_touched_without_the_approval_of_this_plan(rollback: Rollback) -> None:
    rollback.plan()
    for approval in (None, {APPROVED_PLAN: "another"}):
        with pytest.raises(AirflowFailException, match=r"has approved|another than the one"):
            rollback.roll_back(approval=approval)
    assert rollback.go_back() == {"revisions": {}, "because": []}
    assert rollback.runs() == {"backend": "backend:2", "worker": "worker:2"}


def test_a_plan_that_changes_nothing_asks_nobody_and_ends_well(rollback: Rollback) -> None:
    rollback.run.params["version"] = "2"
    rollback.plan()
    approve = ApproveChangesOperator(
        task_id="approve",
        changes=rollback.run.left["plan", CHANGES],
        response_timeout=timedelta(hours=1),
        subject="?",
        plan_digest=rollback.run.left["plan", PLAN_DIGEST],
        **ENVIRONMENT,
    )
    approval = rollback.run.do(approve)
    assert rollback.roll_back(approval=approval)["revisions"] == {}
    assert bool(rollback.look()) is True
    rollback.go_back()
    assert rollback.look_again() is True
    assert rollback.judge().outcome == "success"


def test_a_form_that_is_not_understood_ends_the_run(rollback: Rollback) -> None:
    rollback.run.params["version"] = "yesterday"
    with pytest.raises(AirflowFailException, match="'yesterday' is neither a version's id nor a"):
        rollback.plan()
    assert rollback.go_back() == {"revisions": {}, "because": []}


def test_no_secret_is_in_logs_xcom_or_objects(
    rollback: Rollback, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rollback.ecs.ecs.deregister_task_definition(taskDefinition="backend:1")
    rollback.plan()
    rollback.roll_back()
    rollback.look()
    rollback.go_back()
    rollback.look_again()
    rollback.judge()
    by = ConfigurationOperator(task_id="look", **ENVIRONMENT)
    bodies = [by.catalog.store.get(one.key) for one in by.catalog.store.list("production/")]
    told = json.dumps([list(rollback.run.left.values()), rollback.run.returned]) + caplog.text
    assert [one for one in SECRETS if one in told] == []
    assert [one for one in SECRETS if any(one.encode() in body for body in bodies)] == []
