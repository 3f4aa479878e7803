"""A task definition in its canonical form, and back as RegisterTaskDefinition takes it. Pure.

Containers, variables and volumes stand under their names, so that a difference names them. Numbers
of revisions, times and what ECS derives are left out; what is a list but has no order is sorted.
Whatever RegisterTaskDefinition may take one day is kept: only what it is known not to take is not.
(Amazon ECS API reference, TaskDefinition, ContainerDefinition and RegisterTaskDefinition.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import Content, canonical, opened

_DERIVED = {
    *("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities"),
    *("registeredAt", "registeredBy", "deregisteredAt", "deleteRequestedAt"),
}
_UNORDERED = {
    *("placementConstraints", "requiresCompatibilities", "inferenceAccelerators"),
    *("mountPoints", "volumesFrom", "portMappings", "ulimits", "systemControls", "links"),
    *("resourceRequirements", "extraHosts", "dependsOn"),
}


def content_of(
    definition: Mapping[str, Any], tags: Sequence[Mapping[str, Any]], guard: Guard
) -> dict[str, Content]:
    """The canonical form of what DescribeTaskDefinition answers."""
    content = {
        name: tidied(name, one)
        for name, one in definition.items()
        if name not in _DERIVED | {"containerDefinitions", "volumes"} and is_set(one)
    }
    containers = sorted(definition["containerDefinitions"], key=lambda one: one["name"])
    volumes = sorted(definition.get("volumes", []), key=lambda one: one["name"])
    return {
        **content,
        "containers": {one["name"]: _container(one, guard) for one in containers},
        "volumes": {one["name"]: _without_name(one) for one in volumes},
        "tags": tags_of(tags),
    }


def request_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """As RegisterTaskDefinition takes it, with secrets in the clear; for the request only."""
    plain = opened(content)
    request = {
        name: one for name, one in plain.items() if name not in ("containers", "volumes", "tags")
    }
    request["containerDefinitions"] = [
        _container_request(name, one) for name, one in plain["containers"].items()
    ]
    if plain["volumes"]:
        request["volumes"] = [{"name": name, **one} for name, one in plain["volumes"].items()]
    if plain["tags"]:
        request["tags"] = tag_list(plain["tags"])
    return request


def tags_of(tags: Sequence[Mapping[str, Any]]) -> dict[str, Content]:
    """Tags by key; those of AWS itself can be set by nobody else."""
    found = {one["key"]: one.get("value", "") for one in tags}
    return {key: found[key] for key in sorted(found) if not key.startswith("aws:")}


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as ECS takes them."""
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def is_set(value: Any) -> bool:
    """Whether a setting says anything; false and zero do."""
    return value is not None and value not in ([], {}, "")


def tidied(name: str, value: Any) -> Any:
    """A setting, sorted where its order means nothing."""
    return sorted(value, key=canonical) if name in _UNORDERED else value


def _container(container: Mapping[str, Any], guard: Guard) -> dict[str, Content]:
    content: dict[str, Any] = {
        name: tidied(name, one)
        for name, one in container.items()
        if name not in ("name", "environment", "secrets") and is_set(one)
    }
    for name in ("command", "entryPoint"):
        if name in content:
            content[name] = guard.words(content[name])
    if "healthCheck" in content:
        check = content["healthCheck"]
        content["healthCheck"] = {**check, "command": guard.words(check["command"])}
    if "dockerLabels" in content:
        content["dockerLabels"] = guard.values(content["dockerLabels"])
    for name in ("logConfiguration", "firelensConfiguration"):
        if name in content:
            content[name] = with_guarded_options(content[name], guard)
    variables = {one["name"]: one["value"] for one in container.get("environment", [])}
    references = {one["name"]: one["valueFrom"] for one in container.get("secrets", [])}
    return {
        **content,
        "environment": guard.values(variables),
        "secrets": {name: references[name] for name in sorted(references)},
    }


def with_guarded_options(configuration: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    """A log or router configuration, with credentials among its options as secrets."""
    found = dict(configuration)
    if "options" in found:
        found["options"] = guard.values(found["options"])
    return found


def _container_request(name: str, container: Mapping[str, Any]) -> dict[str, Any]:
    variables, references = container["environment"], container["secrets"]
    return {
        "name": name,
        **{key: one for key, one in container.items() if key not in ("environment", "secrets")},
        "environment": [{"name": key, "value": one} for key, one in variables.items()],
        "secrets": [{"name": key, "valueFrom": one} for key, one in references.items()],
    }


def _without_name(volume: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in volume.items() if name != "name" and is_set(one)}
