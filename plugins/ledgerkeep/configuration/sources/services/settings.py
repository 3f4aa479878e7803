"""The settings of a service in their canonical form, and the requests that set them. Pure.

Which tasks a service runs is told by its task definition; this is the rest: how many, where, how
they are replaced, how they are reached. What ECS decides or counts by itself is left out.
(Amazon ECS API reference, Service, Deployment, CreateService and UpdateService.)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import canonical
from ledgerkeep.configuration.sources.services.task_definition import is_set, with_guarded_options

_CHANGEABLE = (
    *("capacityProviderStrategy", "platformVersion", "deploymentConfiguration"),
    *("networkConfiguration", "loadBalancers", "serviceRegistries", "placementConstraints"),
    *("placementStrategy", "healthCheckGracePeriodSeconds", "deploymentController"),
    *("enableECSManagedTags", "propagateTags", "enableExecuteCommand"),
    *("availabilityZoneRebalancing", "desiredCount"),
)
_OF_DEPLOYMENT = ("serviceConnectConfiguration", "volumeConfigurations", "vpcLatticeConfigurations")
"""Told only of the newest deployment."""
_AT_CREATION = ("launchType", "schedulingStrategy")
"""UpdateService does not take them."""
_UNORDERED = {
    *("capacityProviderStrategy", "loadBalancers", "serviceRegistries", "placementConstraints"),
    *("volumeConfigurations", "vpcLatticeConfigurations"),
}
_UNSET: dict[str, Any] = {
    **{name: [] for name in _UNORDERED},
    "placementStrategy": [],
    "serviceConnectConfiguration": {"enabled": False},
    "healthCheckGracePeriodSeconds": 0,
    "propagateTags": "NONE",
    "enableECSManagedTags": False,
    "enableExecuteCommand": False,
}
"""How a setting is taken away."""
_SERVICE_LINKED = "/aws-service-role/"
"""Part of the ARN of a role that ECS chooses itself, and lets nobody name."""


def settings_of(service: Mapping[str, Any], guard: Guard, *, scaled: bool) -> dict[str, Any]:
    """The canonical form of what DescribeServices answers, without its tags.

    :param scaled: something else decides how many tasks run.
    """
    newest: Mapping[str, Any] = next(
        (one for one in service.get("deployments", []) if one.get("status") == "PRIMARY"), {}
    )
    found = {
        **{name: service[name] for name in (*_CHANGEABLE, *_AT_CREATION) if name in service},
        **{name: newest[name] for name in _OF_DEPLOYMENT if name in newest},
    }
    if scaled or service.get("schedulingStrategy") == "DAEMON":
        found.pop("desiredCount", None)
    role = service.get("roleArn", "")
    if role and _SERVICE_LINKED not in role:
        found["role"] = role
    return guarded(
        {name: _tidied(name, found[name]) for name in sorted(found) if is_set(found[name])}, guard
    )


def guarded(settings: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    """With credentials as secrets."""
    connect = settings.get("serviceConnectConfiguration", {})
    if "logConfiguration" not in connect:
        return dict(settings)
    log = with_guarded_options(connect["logConfiguration"], guard)
    return {**settings, "serviceConnectConfiguration": {**connect, "logConfiguration": log}}


def creation(settings: Mapping[str, Any], *, tasks: int) -> dict[str, Any]:
    """As CreateService takes it.

    :param tasks: how many to begin with where something else decides it later.
    """
    daemon = settings.get("schedulingStrategy") == "DAEMON"
    return {**({} if daemon else {"desiredCount": tasks}), **settings}


def update(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """As UpdateService takes it: what differs, and nothing else."""
    request = {
        name: wanted.get(name, _UNSET.get(name))
        for name in (*_CHANGEABLE, *_OF_DEPLOYMENT)
        if live.get(name) != wanted.get(name) and (name in wanted or name in _UNSET)
    }
    if "capacityProviderStrategy" in request:
        request["forceNewDeployment"] = True  # or it counts from the next deployment only
    return request


def unchangeable(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Settings that differ and can only be had by making the service anew."""
    names = ["schedulingStrategy", "role"]
    if not live.get("capacityProviderStrategy") and not wanted.get("capacityProviderStrategy"):
        names.append("launchType")
    return sorted(name for name in names if live.get(name) != wanted.get(name))


def _tidied(name: str, value: Any) -> Any:
    if name in _UNORDERED:
        return sorted(value, key=canonical)
    if name == "networkConfiguration":
        return {
            kind: {
                setting: sorted(one) if isinstance(one, list) else one
                for setting, one in found.items()
            }
            for kind, found in value.items()
        }
    return value
