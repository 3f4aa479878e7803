"""ECS services as they stand: what was asked for, what runs, and whether it has settled.

A service that was told to deploy is not there yet, and one that says so may still fail. So it is
looked at, again and again, by whoever needs it to be there: the failover of the documents, the
rollback of services, and the source that restores them.
(Amazon ECS API reference, DescribeServices, Service and Deployment.)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ledgerkeep.model import Record

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef

T = TypeVar("T")

_AT_ONCE = 10
"""DescribeServices takes no more names."""


class Asks(Protocol):
    """How a request is sent; `ledgerkeep.aws.ask` with the caller's hints."""

    def __call__(self, what: str, send: Callable[[], T], /) -> T:
        """Send it; what it does is said for messages."""


class ServiceState(Record):
    """An ECS service as it stands."""

    name: str
    desired: int
    """Tasks that should run."""
    running: int
    deployments: int
    """More than one: a new deployment takes the place of an old one."""
    failed: str = ""
    """Why its newest deployment failed; empty when it did not."""
    task_definition: str = ""
    """ARN of the revision that its tasks are made from. ECS sets it back when it rolls back a
    deployment by itself."""
    controller: str = "ECS"
    """Who deploys it: ECS, CODE_DEPLOY or EXTERNAL."""

    @property
    def is_stable(self) -> bool:
        """Whether what should run runs, and nothing else does."""
        return not self.failed and self.deployments == 1 and self.running == self.desired

    def describe(self) -> str:
        """For the log."""
        if self.failed:
            return f"{self.name}: the deployment failed: {self.failed}"
        words = "stable" if self.is_stable else f"{self.deployments} deployments under way"
        return f"{self.name}: {self.running} of {self.desired} tasks run, {words}"


def describe_services(
    ecs: "ECSClient", cluster: str, names: Sequence[str], ask: Asks, *, tags: bool = False
) -> dict[str, "ServiceTypeDef"]:
    """The services of a cluster that have these names, by name; unknown ones are not among them.

    :param tags: with their tags.
    :raises AwsRefused, AwsUnavailable:
    """
    found: dict[str, ServiceTypeDef] = {}
    for start in range(0, len(names), _AT_ONCE):
        wanted = list(names[start : start + _AT_ONCE])
        answer: Any = ask(
            "look at the services",
            lambda wanted=wanted: ecs.describe_services(  # type: ignore[misc]
                cluster=cluster, services=wanted, include=["TAGS"] if tags else []
            ),
        )
        found |= {one["serviceName"]: one for one in answer["services"]}
    return found


def state_of(service: "ServiceTypeDef") -> ServiceState:
    """A service as it stands."""
    deployments = service.get("deployments", [])
    newest = next((one for one in deployments if one.get("status") == "PRIMARY"), None)
    failed = ""
    if newest and newest.get("rolloutState") == "FAILED":
        failed = newest.get("rolloutStateReason") or "no reason was given"
    return ServiceState(
        name=service["serviceName"],
        desired=service["desiredCount"],
        running=service["runningCount"],
        deployments=len(deployments),
        failed=failed,
        task_definition=service.get("taskDefinition", ""),
        controller=service.get("deploymentController", {}).get("type", "ECS"),
    )
