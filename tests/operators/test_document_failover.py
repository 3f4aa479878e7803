"""Failover and failback as tasks: two real buckets, and the AWS stand-in for the application."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox import objectstore
from ledgerkeep.errors import BucketMissing
from ledgerkeep.operators.approval import PLAN_DIGEST
from ledgerkeep.operators.document_failover import (
    AUTOMATIC,
    READABLE,
    ApproveFailoverOperator,
    PlanFailoverOperator,
    ReverseReplicationOperator,
    SwitchBucketOperator,
    TestAccessOperator,
    WaitForServicesSensor,
)
from ledgerkeep.operators.document_watch import (
    JudgeHealthOperator,
    WatchDocumentsOperator,
    unhealthy_alias,
)
from ledgerkeep.policy.load import load_environment
from tests.conftest import ROOT
from tests.operators.conftest import connection
from tests.operators.runs import Run
from tests.support.aws_server import empty_aws

pytestmark = pytest.mark.integration

PARAMETER = "/loan-management/production/DOCUMENT_BUCKET_NAME"
SERVICE = "loan-management-backend-production"
REGION = "eu-west-1"


@dataclass
class Application:
    """Two buckets and the application between them."""

    primary: str
    replica: str
    s3: Any
    """boto3's client of the store."""
    ssm: Any
    ecs: Any

    @property
    def uses(self) -> str:
        return self.ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"]

    def put(self, key: str, body: bytes, *buckets: str) -> None:
        for bucket in buckets or (self.primary, self.replica):
            self.s3.put_object(Bucket=bucket, Key=key, Body=body)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with empty_aws() as url:
        yield url


@pytest.fixture
def application(
    aws: str, s3: objectstore.ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Application:
    """It uses the primary; two documents are in both buckets."""
    primary, replica = f"d-{secrets.token_hex(4)}", f"r-{secrets.token_hex(4)}"
    for bucket in (primary, replica):
        objectstore.make_bucket(s3, bucket)
    text = (ROOT / "include" / "policies" / "production.yaml").read_text()
    text = text.replace("loan-management-documents-production-replica", replica)
    text = text.replace("loan-management-documents-production\n", f"{primary}\n")
    text = text.replace("bucket: loan-management-documents-production ", f"bucket: {primary} ")
    (tmp_path / "production.yaml").write_text(text)
    store = connection(
        "aws",
        login=s3.user.access_key,
        password=s3.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": s3.endpoint}}},
    )
    control = connection("aws", login="a", password="b", extra={"endpoint_url": aws})
    for name in ("DOCUMENTS", "REPLICA"):
        monkeypatch.setenv(f"AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_{name}", store)
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_APPLICATION", control)
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(tmp_path))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "2")
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": REGION}
    ssm = boto3.client("ssm", endpoint_url=aws, **keys)
    ecs = boto3.client("ecs", endpoint_url=aws, **keys)
    ssm.put_parameter(Name=PARAMETER, Value=primary, Type="String", Overwrite=True)
    ecs.create_cluster(clusterName="loan-management-production")
    ecs.register_task_definition(
        family="app", containerDefinitions=[{"name": "app", "image": "app", "memory": 64}]
    )
    ecs.create_service(
        cluster="loan-management-production", serviceName=SERVICE, taskDefinition="app"
    )
    made = Application(primary, replica, objectstore.admin_client(s3), ssm, ecs)
    made.put("d/1", b"one")
    made.put("d/2", b"two")
    return made


ENVIRONMENT = {"environment": "production", "direction": "failover"}
BACK = {"environment": "production", "direction": "failback"}


def failing_over(**params: Any) -> Run:
    return Run("production_document_failover", params={"reason": "region lost, INC-9", **params})


def carry_out(run: Run, common: dict[str, Any]) -> dict[str, Any]:
    """Every task between the plan and the verdict; the plan's approval is given."""
    plan = run.do(PlanFailoverOperator(task_id="plan", **common))
    switched = run.do(
        SwitchBucketOperator(
            task_id="switch",
            plan=plan,
            approval={"approved_plan": run.left["plan", PLAN_DIGEST]},
            approval_required=True,
            **common,
        )
    )
    failover = load_environment("production").documents.failover
    wait = WaitForServicesSensor(
        task_id="wait", switched=switched, timeout=failover.restart_timeout, **common
    )
    assert wait.poke(run.context(wait)) is True
    tested = run.do(TestAccessOperator(task_id="test_access", **common))
    assert tested["read"] >= 2
    run.do(ReverseReplicationOperator(task_id="reverse", switched=switched, **common))
    return plan


def test_application_uses_the_replica_and_the_primary_again(application: Application) -> None:
    run = failing_over()
    plan = carry_out(run, ENVIRONMENT)
    assert application.uses == application.replica
    assert plan["behind"] == {
        "compared": 2,
        "lacking": 0,
        "examples": [],
        "oldest_seconds": 0.0,
    }
    told = run.contribution("plan")
    assert told["facts"]["requested_by"] == "dana"
    assert told["facts"]["bucket_after"] == application.replica
    assert "| reason | region lost, INC-9 |" in run.left["plan", READABLE]
    assert run.contribution("test_access")["measurements"]["rto_seconds"] >= 0

    back = Run("production_document_failback", params={"reason": "region is back, INC-9"})
    carry_out(back, BACK)
    assert application.uses == application.primary


def test_failover_tells_what_the_replica_lacks(application: Application) -> None:
    application.put("d/3", b"three", application.primary)
    run = failing_over()
    plan = run.do(PlanFailoverOperator(task_id="plan", **ENVIRONMENT))
    assert (plan["behind"]["lacking"], plan["behind"]["examples"]) == (1, ["d/3"])
    doubts = [finding["what"] for finding in run.contribution("plan")["findings"]]
    assert any("lacks the current content of 1 of 3 documents" in doubt for doubt in doubts)


def test_failback_is_refused_while_it_would_lose_a_document(application: Application) -> None:
    carry_out(failing_over(), ENVIRONMENT)
    application.put("d/3", b"written during the failover", application.replica)
    back = Run("production_document_failback", params={"reason": "region is back, INC-9"})
    with pytest.raises(AirflowFailException, match="lacks the current content of 1 documents: d/3"):
        back.do(PlanFailoverOperator(task_id="plan", **BACK))
    assert application.uses == application.replica
    application.put("d/3", b"written during the failover", application.primary)
    carry_out(back, BACK)
    assert application.uses == application.primary


def test_failover_works_while_the_primary_does_not_answer(
    application: Application, s3: objectstore.ObjectStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = connection(
        "aws",
        login=s3.user.access_key,
        password=s3.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": "http://127.0.0.1:9"}}},
    )
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DOCUMENTS", gone)
    run = failing_over()
    plan = carry_out(run, ENVIRONMENT)
    assert plan["behind"] is None
    assert application.uses == application.replica
    back = Run("production_document_failback", params={"reason": "region is back, INC-9"})
    with pytest.raises(Exception, match=r"no answer|did not answer|cannot be reached|given up"):
        back.do(PlanFailoverOperator(task_id="plan", **BACK))


def test_rehearsal_touches_neither_parameter_nor_services(application: Application) -> None:
    run = failing_over(rehearse=True)
    plan = run.do(PlanFailoverOperator(task_id="plan", **ENVIRONMENT))
    switch = SwitchBucketOperator(
        task_id="switch", plan=plan, approval_required=True, **ENVIRONMENT
    )
    assert run.do(switch) is False
    assert application.uses == application.primary
    assert run.contribution("plan")["facts"]["rehearsal"] == "yes"


def test_nothing_is_switched_without_the_approval_of_this_plan(application: Application) -> None:
    run = failing_over()
    plan = run.do(PlanFailoverOperator(task_id="plan", **ENVIRONMENT))
    for approval in (None, {"approved_plan": "another"}):
        switch = SwitchBucketOperator(
            task_id="switch",
            plan=plan,
            approval=approval,
            approval_required=True,
            **ENVIRONMENT,
        )
        with pytest.raises(AirflowFailException, match=r"has approved|another than the one"):
            run.do(switch)
    assert application.uses == application.primary


def test_third_bucket_is_refused(application: Application) -> None:
    application.ssm.put_parameter(Name=PARAMETER, Value="elsewhere", Type="String", Overwrite=True)
    with pytest.raises(AirflowFailException, match="names elsewhere, which is neither"):
        failing_over().do(PlanFailoverOperator(task_id="plan", **ENVIRONMENT))


def test_policy_approves_only_what_the_health_watch_started(application: Application) -> None:
    run = replace(failing_over(), run_type=AUTOMATIC, triggered_by=None)
    approve = ApproveFailoverOperator(
        task_id="approve",
        environment="production",
        change="failover",
        response_timeout=load_environment("production").documents.failover.response_timeout,
        subject="?",
        plan_digest="abc",
    )
    assert run.do(approve)["approved_plan"] == "abc"
    by_nobody = replace(failing_over(), triggered_by=None)
    with pytest.raises(AirflowFailException, match="nobody is named as the one who asked for this"):
        by_nobody.do(approve)


# -- the watch


def watched(run: Run, *, tries: int) -> tuple[WatchDocumentsOperator, Any, list[Any]]:
    watch = WatchDocumentsOperator(task_id="watch", **ENVIRONMENT)
    sent: list[Any] = []
    context = run.context(watch)
    context["ti"].try_number, context["ti"].max_tries = tries, 2
    alias = unhealthy_alias(load_environment("production"))
    context["outlet_events"] = {alias: SimpleNamespace(add=sent.append)}
    return watch, context, sent


def test_healthy_documents_start_nothing(application: Application) -> None:
    run = Run("production_document_failover_watch")
    watch, context, sent = watched(run, tries=1)
    assert watch.execute(context) is True
    assert sent == []
    run.do(JudgeHealthOperator(task_id="judge", environment="production", healthy=True))


def test_the_last_of_the_failed_checks_in_a_row_starts_the_failover(
    application: Application,
) -> None:
    for key in ("d/1", "d/2"):
        application.s3.delete_object(Bucket=application.primary, Key=key)
    run = Run("production_document_failover_watch")
    for tries in (1, 2):
        watch, context, sent = watched(run, tries=tries)
        with pytest.raises(Exception, match="holds no document"):
            watch.execute(context)
        assert sent == []
    watch, context, sent = watched(run, tries=3)
    assert watch.execute(context) is False
    assert [asset.name for asset in sent] == ["production_documents_unhealthy"]
    (finding,) = run.contribution("watch")["findings"]
    assert finding["what"].endswith("holds no document below '', 3 times in a row: failing over")
    with pytest.raises(AirflowFailException, match="the failover to the replica was started"):
        run.do(JudgeHealthOperator(task_id="judge", environment="production", healthy=False))


def test_nothing_is_started_while_the_application_uses_the_replica(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.ssm.put_parameter(
        Name=PARAMETER, Value=application.replica, Type="String", Overwrite=True
    )

    def never(*_: Any, **__: Any) -> str:
        raise BucketMissing("asked for the primary")

    monkeypatch.setattr("ledgerkeep.documents.failover.health.check_health", never)
    watch, context, sent = watched(Run("production_document_failover_watch"), tries=3)
    assert watch.execute(context) is True
    assert sent == []


def test_services_whose_deployment_failed_end_the_wait(application: Application) -> None:
    run = failing_over()
    wait = WaitForServicesSensor(
        task_id="wait",
        switched=True,
        timeout=load_environment("production").documents.failover.restart_timeout,
        **ENVIRONMENT,
    )
    failed = [
        SimpleNamespace(failed="no image", describe=lambda: "x: the deployment failed: no image")
    ]
    wait.__dict__["application"] = SimpleNamespace(states=lambda: failed)
    with pytest.raises(AirflowFailException) as caught:
        wait.poke(run.context(wait))
    assert str(caught.value) == (
        "x: the deployment failed: no image\n"
        "Hint: the parameter names the new bucket already; put the service right and clear this "
        "task, or go back with document_failback"
    )
    assert json.dumps(run.contribution("wait")["findings"])
