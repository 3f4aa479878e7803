"""ECS services as they stand, from what the API answers."""

import pytest

from ledgerkeep.ecs import ServiceState, state_of


@pytest.mark.parametrize(
    ("state", "stable", "words"),
    [
        ({"running": 2}, True, "x: 2 of 2 tasks run, stable"),
        ({"running": 1}, False, "x: 1 of 2 tasks run, 1 deployments under way"),
        ({"deployments": 2, "running": 2}, False, "x: 2 of 2 tasks run, 2 deployments under way"),
        ({"running": 2, "failed": "no image"}, False, "x: the deployment failed: no image"),
    ],
)
def test_service_is_stable_when_its_one_deployment_runs(
    state: dict[str, object], stable: bool, words: str
) -> None:
    found = ServiceState.model_validate(
        {"name": "x", "desired": 2, "running": 0, "deployments": 1, **state}
    )
    assert (found.is_stable, found.describe()) == (stable, words)


def test_failure_is_that_of_the_newest_deployment() -> None:
    """An old one that failed may still be drained while its successor is well."""
    service = {
        "serviceName": "x",
        "desiredCount": 1,
        "runningCount": 1,
        "taskDefinition": "arn:x:2",
        "deployments": [
            {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"},
            {"status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "old"},
        ],
    }
    state = state_of(service)  # type: ignore[arg-type]
    assert (state.failed, state.is_stable, state.task_definition) == ("", False, "arn:x:2")
    service["deployments"] = [{"status": "PRIMARY", "rolloutState": "FAILED"}]
    assert state_of(service).failed == "no reason was given"  # type: ignore[arg-type]
