"""Services of ECS: their settings, and everything their task definition says.

A service is one item: how many tasks run where, and what they are made from, variable by variable.
Variables (and options, and words of a command) that look like credentials are secrets. The task
definition of a service is immutable, so its ARN is the mark, together with the settings, which the
listing tells anyway; a change of nothing but a task definition's tags is seen when everything is
read anew. Numbers of revisions, times and counts of running tasks are no part of it.

A restore lets the service run a revision that holds what was stored: an active one that is the
same, or one registered anew. When the deployment of that is through is another question: `settled`
waits for it, as long as the policy allows.
(Amazon ECS API reference: DescribeServices, DescribeTaskDefinition, CreateService, UpdateService.)
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ledgerkeep.aws import ask, paged
from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import Item, Secret, canonical, opened
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.services.beside import ServiceCopies, has_task_sets
from ledgerkeep.configuration.sources.services.revisions import Revisions
from ledgerkeep.configuration.sources.services.settings import (
    creation,
    settings_of,
    unchangeable,
    update,
)
from ledgerkeep.configuration.sources.services.task_definition import tag_list, tags_of
from ledgerkeep.ecs import ServiceState, describe_services, state_of
from ledgerkeep.policy.configuration_sources import Services as Settings
from ledgerkeep.policy.model import Policy

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef

T = TypeVar("T")

_CONNECTION = "configuration.connection_id"
_DENIED = (
    "allow ecs:ListServices, ecs:DescribeServices, ecs:DescribeTaskDefinition and "
    "ecs:ListTaskDefinitions, and for a recovery ecs:RegisterTaskDefinition, ecs:CreateService, "
    "ecs:UpdateService, ecs:DeleteService, ecs:TagResource, ecs:UntagResource, and iam:PassRole on "
    "the tasks' roles, and for a restore test ecs:ListTaskDefinitionFamilies, "
    "ecs:DeregisterTaskDefinition and ecs:DeleteTaskDefinitions, to the identity of the connection"
)
_HINTS = {
    "ClusterNotFoundException": "correct configuration.sources.services.clusters in the policy",
}
_FIRST_TASKS = 1
"""Of a service that is created anew and that auto scaling then scales."""


def open_source(access: Access, settings: Settings, policy: Policy) -> "Services":
    """The services of a policy."""
    connection, region = connection_of(settings, policy)
    return Services(
        clusters={one.name: tuple(one.services) for one in settings.clusters},
        scaled=frozenset(settings.scaled),
        guard=Guard(tuple(settings.secret_names)),
        ecs=access.client("ecs", connection, region),
        owner=account_of(access, settings, policy),
        patience=settings.stable_within.total_seconds(),
        poll=settings.poll.total_seconds(),
    )


@dataclass(frozen=True)
class Services(Source):
    """Services of some clusters; their keys are `cluster/service`."""

    name: ClassVar[str] = "services"
    clusters: Mapping[str, Sequence[str]]
    """Cluster → its services that count; none: all of them."""
    scaled: frozenset[str]
    """Services whose number of tasks something else decides."""
    guard: Guard
    ecs: "ECSClient" = field(repr=False)
    owner: Scope
    patience: float
    """Seconds within which a deployment has to be through."""
    poll: float
    """Seconds between two looks."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    # -- reading

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every service that is not being deleted, cluster by cluster."""
        for cluster in self.clusters:
            for name, service in sorted(self._services(cluster).items()):
                key = f"{cluster}/{name}"
                settings = self._settings(service)
                revision = service.get("taskDefinition", "")
                mark = _mark(revision, settings)
                if mark and known.get(key) == mark:
                    yield Known(key)
                else:
                    definition = self.revisions.read(revision).content if revision else {}
                    yield Found(key, {**settings, "task_definition": definition}, mark)

    def findings(self, items: Mapping[str, Item], before: Mapping[str, Item]) -> list[str]:
        """Services that the policy names and that are not there."""
        return [
            f"the cluster {cluster} has no service {name}, which the policy names"
            for cluster, names in self.clusters.items()
            for name in names
            if f"{cluster}/{name}" not in items
        ]

    @property
    def revisions(self) -> Revisions:
        """The revisions of task definitions."""
        return Revisions(self.ecs, self.guard, self.ask)

    def live(self) -> dict[str, ServiceState]:
        """Every service that counts, as it stands, by key.

        :raises AwsRefused, AwsUnavailable:
        """
        return {
            f"{cluster}/{name}": state_of(service)
            for cluster in self.clusters
            for name, service in sorted(self._services(cluster).items())
        }

    def states(self, keys: Iterable[str]) -> dict[str, ServiceState]:
        """Services as they stand, by key; what is not there is not among them.

        :raises AwsRefused, AwsUnavailable:
        """
        return {key: state_of(one) for key, one in self._described(keys).items()}

    def _described(self, keys: Iterable[str]) -> "dict[str, ServiceTypeDef]":
        found: dict[str, ServiceTypeDef] = {}
        for cluster, group in groupby(sorted(keys), key=lambda key: key.split("/")[0]):
            names = [key.split("/", 1)[1] for key in group]
            services = describe_services(self.ecs, cluster, names, self.ask, tags=True)
            found |= {
                f"{cluster}/{name}": one
                for name, one in services.items()
                if one["status"] == "ACTIVE"
            }
        return found

    def _services(self, cluster: str) -> "dict[str, ServiceTypeDef]":
        names = list(self.clusters[cluster])
        if not names:
            listed: Iterator[str] = paged(
                f"list the services of the cluster {cluster}",
                self.ecs,
                "list_services",
                "serviceArns",
                denied=_DENIED,
                connection=_CONNECTION,
                hints=_HINTS,
                cluster=cluster,
                PaginationConfig={"PageSize": 100},
            )
            names = [arn.rsplit("/", 1)[-1] for arn in listed]
        found = self._described(f"{cluster}/{name}" for name in names)
        return {key.split("/", 1)[1]: one for key, one in found.items()}

    def _settings(self, service: "ServiceTypeDef") -> dict[str, Any]:
        scaled = service["serviceName"] in self.scaled
        return {
            "settings": settings_of(service, self.guard, scaled=scaled),
            "tags": tags_of(service.get("tags", [])),
        }

    # -- writing

    def apply(self, change: Change) -> None:
        """Let one service be and run what it shall, or delete it; returns before it is stable."""
        cluster, name = change.key.split("/", 1)
        service = self._described([change.key]).get(change.key)
        if change.wanted is None:
            if service is not None:
                self.ask(
                    f"delete the service {name}",
                    lambda: self.ecs.delete_service(cluster=cluster, service=name, force=True),
                )
            return
        running = service["taskDefinition"] if service else ""
        revision = self._revision(running, change.wanted["task_definition"])
        settings = change.wanted["settings"]
        if service is None:
            self._create(cluster, name, revision, change.wanted)
            return
        request = opened(update(self._settings(service)["settings"], settings))
        if revision != running:
            request["taskDefinition"] = revision
        if request:
            self.ask(
                f"update the service {name}",
                lambda: self.ecs.update_service(cluster=cluster, service=name, **request),
            )
        self._set_tags(name, service, change.wanted["tags"])

    def _revision(self, running: str, wanted: Mapping[str, Any]) -> str:
        """What it runs already, even if that was retired meanwhile; or an active one."""
        if running and self.revisions.read(running).content == wanted:
            return running
        return self.revisions.ensure(wanted)

    def deploy(self, key: str, revision: str) -> None:
        """Let a service run a revision, and touch nothing else of it; returns at once.

        :raises AwsRefused, AwsUnavailable:
        """
        cluster, name = key.split("/", 1)
        self.ask(
            f"update the service {name}",
            lambda: self.ecs.update_service(cluster=cluster, service=name, taskDefinition=revision),
        )

    def _create(self, cluster: str, name: str, revision: str, wanted: Mapping[str, Any]) -> None:
        request = opened(creation(wanted["settings"], tasks=_FIRST_TASKS))
        if wanted["tags"]:
            request["tags"] = tag_list(wanted["tags"])
        self.ask(
            f"create the service {name}",
            lambda: self.ecs.create_service(
                cluster=cluster, serviceName=name, taskDefinition=revision, **request
            ),
        )

    def _set_tags(self, name: str, service: "ServiceTypeDef", wanted: Mapping[str, str]) -> None:
        live, arn = tags_of(service.get("tags", [])), service["serviceArn"]
        if gone := sorted(live.keys() - wanted.keys()):
            self.ask(
                f"remove tags of the service {name}",
                lambda: self.ecs.untag_resource(resourceArn=arn, tagKeys=gone),
            )
        if wanted and live != wanted:
            tags: Any = tag_list(wanted)
            self.ask(
                f"tag the service {name}",
                lambda: self.ecs.tag_resource(resourceArn=arn, tags=tags),
            )

    def by_hand(self, change: Planned) -> str:
        """What ECS changes only by making the service anew, or leaves to another deployer."""
        if words := has_task_sets(change):
            return words
        if change.before is None or change.after is None:
            return ""
        before, after = change.before.content["settings"], change.after.content["settings"]
        if not isinstance(before, dict) or not isinstance(after, dict):
            return ""
        controller = _controller(before)
        if controller != "ECS":
            return f"{change.key} is deployed by {controller}: let that deploy what it shall run"
        if names := unchangeable(before, after):
            return (
                f"ecs changes {' and '.join(names)} of {change.key} only by making it anew: delete "
                "the service, then restore it"
            )
        return ""

    def settled(self, keys: Iterable[str]) -> list[str]:
        """Wait until the services run what they shall and nothing else, within the policy's time.

        :raises AwsRefused, AwsUnavailable:
        """
        wanted, deadline = list(keys), time.monotonic() + self.patience
        while True:
            states = self.states(wanted)
            waiting = [key for key, one in states.items() if not (one.is_stable or one.failed)]
            if not waiting or time.monotonic() >= deadline:
                break
            self.sleep(self.poll)
        return [one.describe() for one in states.values() if not one.is_stable]

    def beside(self, label: str) -> Source:
        """Task definitions in families of their own; no service is started."""
        return ServiceCopies(label, self.ecs, self.guard, self.ask, self.owner)

    def ask(self, what: str, send: Callable[[], T], /) -> T:
        """Send a request.

        :raises AwsRefused, AwsUnavailable:
        """
        return ask(what, send, denied=_DENIED, connection=_CONNECTION, hints=_HINTS)


def revision_of(mark: str) -> str:
    """ARN of the revision that an item's mark tells of; empty where it tells of none."""
    return mark.partition(" ")[0]


def _mark(revision: str, settings: Mapping[str, Any]) -> str:
    """Empty where a secret is among the settings: a hash without a key would give it away."""
    if _holds_secret(settings):
        return ""
    return f"{revision} {hashlib.sha256(canonical(settings)).hexdigest()}"  # type: ignore[arg-type]


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_secret(one) for one in value.values())
    if isinstance(value, list):
        return any(_holds_secret(one) for one in value)
    return isinstance(value, Secret)


def _controller(settings: Mapping[str, Any]) -> str:
    found: str = settings.get("deploymentController", {}).get("type", "ECS")
    return found
