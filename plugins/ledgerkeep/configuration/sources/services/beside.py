"""Copies of services for a restore test: their task definitions, in families of their own.

A copy of a service would run: it would take work from queues, be asked by load balancers, write to
databases. So no service is started. What is tried is what a restore has to get right and ECS can
refuse: that the stored task definition is registered, and reads back as it was stored, with its
secrets. The settings of the service are carried along in a label of the copy's first container, so
that the copy can be compared as a whole; they are not tried.
(Amazon ECS developer guide, Deleting a task definition revision.)
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.items import opened
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.services.revisions import Revisions
from ledgerkeep.configuration.sources.services.settings import guarded
from ledgerkeep.configuration.sources.services.task_definition import content_of
from ledgerkeep.ecs import Asks

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient

_OWN = "ledgerkeep-restore-test-"
"""Families of isolated places begin with it."""
_LABEL = "ledgerkeep.restore-test"
"""Of the first container: what the copy is one of."""
_AT_ONCE = 10
"""DeleteTaskDefinitions takes no more."""


@dataclass(frozen=True)
class ServiceCopies(Source):
    """Task definitions that stand for services, and that no service runs."""

    name: ClassVar[str] = "services"
    label: str
    ecs: "ECSClient" = field(repr=False)
    guard: Guard
    ask: Asks
    owner: Scope

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every copy, by the key of what it is one of."""
        found = [self._read(family) for family in self._families()]
        yield from sorted((one for one in found if one is not None), key=lambda one: one.key)

    def apply(self, change: Change) -> None:
        """Register a copy, or retire it."""
        family = f"{self._prefix}{hashlib.sha256(change.key.encode()).hexdigest()[:16]}"
        if change.wanted is None:
            self._retire(family)
            return
        copy = _copy(change.key, family, change.wanted)
        self._revisions.ensure(copy)

    def by_hand(self, change: Planned) -> str:
        """There is nothing to register of a service whose task sets say what it runs."""
        return has_task_sets(change)

    def clear(self) -> None:
        """Retire and delete every copy of the place."""
        for family in self._families():
            self._retire(family)
            gone = self._listed(family, "INACTIVE")
            for start in range(0, len(gone), _AT_ONCE):
                arns = gone[start : start + _AT_ONCE]
                self.ask(
                    f"delete the revisions of {family}",
                    lambda arns=arns: self.ecs.delete_task_definitions(  # type: ignore[misc]
                        taskDefinitions=arns
                    ),
                )

    @property
    def _prefix(self) -> str:
        return f"{_OWN}{self.label}-"

    @property
    def _revisions(self) -> Revisions:
        return Revisions(self.ecs, self.guard, self.ask)

    def _read(self, family: str) -> Found | None:
        newest = self._revisions.newest(family)
        if not newest:
            return None
        answer = self._revisions.describe(newest[0])
        definition = dict(answer["taskDefinition"])
        containers = [dict(one) for one in definition["containerDefinitions"]]
        first = min(containers, key=lambda one: one["name"])
        labels = dict(first["dockerLabels"])
        kept = json.loads(labels.pop(_LABEL))
        first["dockerLabels"] = labels
        definition |= {"family": kept["family"], "containerDefinitions": containers}
        content = content_of(definition, answer.get("tags", []), self.guard)
        return Found(
            kept["key"],
            {
                "settings": guarded(kept["settings"], self.guard),
                "tags": kept["tags"],
                "task_definition": content,
            },
        )

    def _families(self) -> list[str]:
        pages = self.ecs.get_paginator("list_task_definition_families").paginate(
            familyPrefix=self._prefix, status="ALL"
        )
        what = f"list the families below {self._prefix}"
        return [one for page in self._pages(what, pages) for one in page["families"]]

    def _listed(self, family: str, status: Any) -> list[str]:
        pages = self.ecs.get_paginator("list_task_definitions").paginate(
            familyPrefix=family, status=status
        )
        what = f"list the revisions of {family}"
        return [one for page in self._pages(what, pages) for one in page["taskDefinitionArns"]]

    def _pages(self, what: str, pages: Any) -> list[Any]:
        return self.ask(what, lambda: list(pages))

    def _retire(self, family: str) -> None:
        for arn in self._listed(family, "ACTIVE"):
            self.ask(
                f"retire a revision of {family}",
                lambda arn=arn: self.ecs.deregister_task_definition(  # type: ignore[misc]
                    taskDefinition=arn
                ),
            )


def has_task_sets(change: Planned) -> str:
    """Who has to make a service that has no task definition of its own; empty: it has one.

    With the deployment controller EXTERNAL, only its task sets have (CreateTaskSet).
    """
    if change.before or not change.after or change.after.content.get("task_definition") != {}:
        return ""
    return f"{change.key} has task sets, which Ledgerkeep does not export: let its deployer make it"


def _copy(key: str, family: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The task definition under another family, knowing what it is a copy of."""
    definition = wanted["task_definition"]
    kept = {
        "key": key,
        "family": definition["family"],
        "settings": opened(wanted["settings"]),
        "tags": wanted["tags"],
    }
    name, first = min(definition["containers"].items())
    labels = {**first.get("dockerLabels", {}), _LABEL: json.dumps(kept, sort_keys=True)}
    containers = {**definition["containers"], name: {**first, "dockerLabels": labels}}
    return {**definition, "family": family, "containers": containers}
