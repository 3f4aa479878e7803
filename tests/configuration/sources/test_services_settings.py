"""Settings of a service in canonical form, and the requests that set them; what moto keeps not."""

from typing import Any

import pytest

from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.sources.services.settings import (
    creation,
    settings_of,
    unchangeable,
    update,
)
from ledgerkeep.configuration.sources.services.task_definition import content_of, request_of

SERVICE: dict[str, Any] = {
    "serviceName": "x",
    "desiredCount": 2,
    "runningCount": 1,
    "launchType": "FARGATE",
    "schedulingStrategy": "REPLICA",
    "roleArn": "arn:aws:iam::1:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
    "enableExecuteCommand": False,
    "healthCheckGracePeriodSeconds": 0,
    "loadBalancers": [],
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s-2", "s-1"]}},
    "placementStrategy": [{"type": "spread"}, {"type": "binpack"}],
    "placementConstraints": [{"type": "memberOf"}, {"type": "distinctInstance"}],
    "deployments": [
        {"status": "ACTIVE", "serviceConnectConfiguration": {"enabled": False}},
        {
            "status": "PRIMARY",
            "serviceConnectConfiguration": {
                "enabled": True,
                "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "x"}},
            },
        },
    ],
}


def test_what_ecs_decides_or_counts_is_left_out_and_what_has_no_order_is_sorted() -> None:
    assert settings_of(SERVICE, Guard(), scaled=False) == {
        "desiredCount": 2,
        "launchType": "FARGATE",
        "schedulingStrategy": "REPLICA",
        "enableExecuteCommand": False,
        "healthCheckGracePeriodSeconds": 0,
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s-1", "s-2"]}},
        "placementStrategy": [{"type": "spread"}, {"type": "binpack"}],
        "placementConstraints": [{"type": "distinctInstance"}, {"type": "memberOf"}],
        "serviceConnectConfiguration": {
            "enabled": True,
            "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": Secret("x")}},
        },
    }


def test_a_role_of_ones_own_is_kept() -> None:
    service = {**SERVICE, "roleArn": "arn:aws:iam::1:role/mine"}
    assert settings_of(service, Guard(), scaled=False)["role"] == "arn:aws:iam::1:role/mine"


@pytest.mark.parametrize(
    ("live", "wanted", "request_"),
    [
        ({"desiredCount": 2}, {"desiredCount": 2}, {}),
        ({"desiredCount": 2}, {"desiredCount": 0}, {"desiredCount": 0}),
        ({"desiredCount": 2}, {}, {}),
        ({"placementStrategy": [1]}, {}, {"placementStrategy": []}),
        (
            {"serviceConnectConfiguration": {"enabled": True}},
            {},
            {"serviceConnectConfiguration": {"enabled": False}},
        ),
        (
            {},
            {"capacityProviderStrategy": [1]},
            {"capacityProviderStrategy": [1], "forceNewDeployment": True},
        ),
        ({"launchType": "EC2"}, {"launchType": "FARGATE"}, {}),
    ],
)
def test_an_update_says_what_differs_and_nothing_else(
    live: dict[str, Any], wanted: dict[str, Any], request_: dict[str, Any]
) -> None:
    assert update(live, wanted) == request_


def test_what_only_a_new_service_can_have_is_named() -> None:
    live = {"launchType": "EC2", "schedulingStrategy": "DAEMON", "role": "a"}
    assert unchangeable(live, {}) == ["launchType", "role", "schedulingStrategy"]
    assert unchangeable({"launchType": "EC2"}, {"capacityProviderStrategy": [1]}) == []


def test_a_new_service_begins_with_its_tasks_and_a_daemon_with_none() -> None:
    assert creation({"desiredCount": 4}, tasks=1) == {"desiredCount": 4}
    assert creation({}, tasks=1) == {"desiredCount": 1}
    daemon = {"schedulingStrategy": "DAEMON"}
    assert creation(daemon, tasks=1) == daemon


def test_settings_that_are_not_known_yet_are_kept_and_go_back() -> None:
    """A new parameter of RegisterTaskDefinition is refused rather than lost."""
    answer = {
        "family": "x",
        "revision": 4,
        "status": "ACTIVE",
        "newSetting": {"a": 1},
        "volumes": [{"name": "v", "newKind": {"b": 2}, "host": {}}],
        "containerDefinitions": [
            {
                "name": "c",
                "newOption": True,
                "healthCheck": {"command": ["CMD", "--password=x"], "interval": 5},
                "mountPoints": [{"sourceVolume": "b"}, {"sourceVolume": "a"}],
                "environmentFiles": [{"value": "b"}, {"value": "a"}],
            }
        ],
    }
    content = content_of(answer, [{"key": "aws:x", "value": "1"}], Guard())
    assert content == {
        "family": "x",
        "newSetting": {"a": 1},
        "volumes": {"v": {"newKind": {"b": 2}}},
        "tags": {},
        "containers": {
            "c": {
                "newOption": True,
                "healthCheck": {"command": ["CMD", Secret("--password=x")], "interval": 5},
                "mountPoints": [{"sourceVolume": "a"}, {"sourceVolume": "b"}],
                "environmentFiles": [{"value": "b"}, {"value": "a"}],
                "environment": {},
                "secrets": {},
            }
        },
    }
    request = request_of(content)
    assert request["containerDefinitions"][0]["healthCheck"]["command"] == ["CMD", "--password=x"]
    assert content_of({**request, "revision": 5}, [], Guard()) == content
