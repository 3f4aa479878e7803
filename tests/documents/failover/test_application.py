"""The application's parameter and services, on the AWS stand-in."""

from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from ledgerkeep.documents.failover.application import Application
from ledgerkeep.errors import AwsRefused, AwsUnavailable

REGION = "eu-west-1"
PARAMETER = "/loan-management/production/DOCUMENT_BUCKET_NAME"


@pytest.fixture
def application() -> Iterator[Application]:
    with mock_aws():
        ssm, ecs = boto3.client("ssm", region_name=REGION), boto3.client("ecs", region_name=REGION)
        ssm.put_parameter(Name=PARAMETER, Value="primary", Type="String")
        ecs.create_cluster(clusterName="loans")
        ecs.register_task_definition(
            family="backend", containerDefinitions=[{"name": "app", "image": "app", "memory": 64}]
        )
        for name in ("backend", "worker"):
            ecs.create_service(cluster="loans", serviceName=name, taskDefinition="backend")
            # The stand-in runs tasks only when it is told of another number.
            ecs.update_service(cluster="loans", service=name, desiredCount=2)
        yield Application(PARAMETER, "loans", ["backend", "worker"], ssm, ecs)


def test_parameter_is_changed_once_and_read_back(application: Application) -> None:
    assert application.bucket() == "primary"
    assert application.point_at("replica") is True
    assert application.bucket() == "replica"
    assert application.point_at("replica") is False


def test_every_service_is_told_to_deploy_anew(application: Application) -> None:
    application.restart()
    states = application.states()
    assert [state.name for state in states] == ["backend", "worker"]
    assert states[0].describe() == "backend: 2 of 2 tasks run, stable"


def with_parameter(application: Application, parameter: str) -> Application:
    return Application(
        parameter, application.cluster, application.services, application.ssm, application.ecs
    )


def test_unknown_parameter_is_refused_with_the_policys_field(application: Application) -> None:
    with pytest.raises(AwsRefused) as caught:
        with_parameter(application, "/other").bucket()
    assert str(caught.value) == (
        "aws refused to read the parameter /other (ParameterNotFound)\n"
        "Hint: correct documents.failover.parameter and region in the policy"
    )


def test_unknown_service_is_named(application: Application) -> None:
    wrong = Application(
        PARAMETER, "loans", ["backend", "front", "end"], application.ssm, application.ecs
    )
    with pytest.raises(AwsRefused) as caught:
        wrong.states()
    assert caught.value.message == "the cluster loans has no service front, end"
    with pytest.raises(AwsRefused, match="refused to restart the service front"):
        wrong.restart()


def test_value_that_somebody_else_writes_is_noticed(application: Application) -> None:
    ssm = boto3.client("ssm", region_name=REGION)
    with Stubber(ssm) as stub:
        for response in ("primary", None, "another"):
            if response is None:
                stub.add_response("put_parameter", {"Version": 2})
            else:
                stub.add_response("get_parameter", {"Parameter": {"Value": response}})
        quarrelled = Application(PARAMETER, None, [], ssm, application.ecs)
        with pytest.raises(AwsRefused) as caught:
            quarrelled.point_at("replica")
    assert caught.value.message == (
        f"the parameter {PARAMETER} reads another after replica was written"
    )


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("ThrottlingException", AwsUnavailable, "aws was too busy to read"),
        ("AccessDeniedException", AwsRefused, "aws refused to read"),
    ],
)
def test_refusals_say_whether_waiting_helps(
    application: Application, code: str, kind: type[AwsRefused], message: str
) -> None:
    ssm = boto3.client("ssm", region_name=REGION)
    refused = Application(PARAMETER, None, [], ssm, application.ecs)
    with Stubber(ssm) as stub:
        stub.add_client_error("get_parameter", code)
        with pytest.raises(kind, match=message) as caught:
            refused.bucket()
    assert caught.value.retryable is (kind is AwsUnavailable)
