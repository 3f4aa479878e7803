"""Revisions of task definitions: read, looked for by what they hold, registered when there is none.

A revision never changes, so its ARN stands for what it holds for ever; it can only be retired
(INACTIVE), and then no service can be moved to it. So what is wanted is looked for among the newest
active revisions of the family, and registered anew where none of them is the same.
(Amazon ECS developer guide, Task definition states; API reference, RegisterTaskDefinition.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ledgerkeep.aws import refused_with
from ledgerkeep.configuration.credentials import Guard
from ledgerkeep.configuration.sources.services.task_definition import content_of, request_of
from ledgerkeep.ecs import Asks
from ledgerkeep.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_ecs.client import ECSClient

_LOOKED_AT = 10
"""Active revisions among which an identical one is looked for: each is a request."""
_MISSING = {"ClientException", "InvalidParameterException"}
"""What DescribeTaskDefinition answers for a revision that is not there."""


@dataclass(frozen=True)
class Revision:
    """One revision of a task definition."""

    arn: str
    is_active: bool
    content: Mapping[str, Any] = field(repr=False)
    """In canonical form, with the values of its secrets."""


@dataclass(frozen=True)
class Revisions:
    """The revisions of an account's task definitions."""

    ecs: "ECSClient" = field(repr=False)
    guard: Guard
    ask: Asks

    def describe(self, name: str) -> Mapping[str, Any]:
        """What ECS says of a revision: `taskDefinition` and `tags`.

        :param name: ARN, `family:revision`, or the family for its newest.
        :raises AwsRefused, AwsUnavailable: there is none, or it may not be read.
        """
        return cast(
            Mapping[str, Any],
            self.ask(
                f"read the task definition {short(name)}",
                lambda: self.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"]),
            ),
        )

    def read(self, name: str) -> Revision:
        """A revision in canonical form.

        :raises AwsRefused, AwsUnavailable: there is none, or it may not be read.
        """
        answer = self.describe(name)
        found = answer["taskDefinition"]
        content = content_of(found, answer.get("tags", []), self.guard)
        return Revision(found["taskDefinitionArn"], found["status"] == "ACTIVE", content)

    def find(self, name: str) -> Revision | None:
        """A revision, or None where there is none of that name."""
        try:
            return self.read(name)
        except AwsRefused as problem:
            if refused_with(problem) in _MISSING:
                return None
            raise

    def newest(self, family: str) -> list[str]:
        """ARNs of the newest active revisions of a family, newest first."""
        answer = self.ask(
            f"list the revisions of {family}",
            lambda: self.ecs.list_task_definitions(
                familyPrefix=family, status="ACTIVE", sort="DESC", maxResults=_LOOKED_AT
            ),
        )
        return sorted(answer["taskDefinitionArns"], key=_number, reverse=True)[:_LOOKED_AT]

    def same_as(self, content: Mapping[str, Any], *, first: str = "") -> str:
        """ARN of an active revision that holds this; empty: none of the newest does.

        :param first: where to look first.
        :raises AwsRefused, AwsUnavailable:
        """
        others = [arn for arn in self.newest(content["family"]) if arn != first]
        for arn in [first, *others] if first else others:
            revision = self.find(arn)
            if revision and revision.is_active and revision.content == content:
                return revision.arn
        return ""

    def ensure(self, content: Mapping[str, Any], *, first: str = "") -> str:
        """ARN of an active revision that holds this, registered if need be.

        :param first: where to look first.
        :raises AwsRefused, AwsUnavailable: it may not be registered, or no longer can.
        """
        if known := self.same_as(content, first=first):
            return known
        request = request_of(content)
        answer = self.ask(
            f"register the task definition {content['family']}",
            lambda: self.ecs.register_task_definition(**request),
        )
        return answer["taskDefinition"]["taskDefinitionArn"]


def short(arn: str) -> str:
    """`family:revision` of a revision's ARN."""
    return arn.rsplit("/", 1)[-1]


def _number(arn: str) -> int:
    return int(arn.rsplit(":", 1)[-1])
