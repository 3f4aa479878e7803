"""Requests to IAM: what a refusal says, what is no failure, and how long IAM is waited for.

IAM tells everybody of a change only after a while: what was written is not yet read, and a role
made a moment ago is not yet known as a principal. Everything that waits for that waits here, and
for no longer than `WAITS` together. (IAM user guide, Troubleshooting IAM: Changes that I make are
not always immediately visible.)
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkeep.aws import ask, paged, refused_with
from ledgerkeep.errors import AwsRefused, ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_iam.client import IAMClient

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds between looking again: half a minute together."""
_CONNECTION = "configuration.connection_id"
_GONE = "NoSuchEntity"
_PAGE = 1000
"""IAM's largest; it may send fewer."""


@dataclass(frozen=True)
class Api:
    """IAM of one account."""

    client: "IAMClient" = field(repr=False)
    own: str
    """What the ARN of everything in the account begins with: `arn:aws:iam::123456789012:`."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def send(
        self, operation: str, what: str, hints: Mapping[str, str] | None = None, **request: Any
    ) -> dict[str, Any]:
        """The answer to a request.

        :param operation: as the client calls it, such as `get_role`.
        :raises AwsRefused, AwsUnavailable: naming the permission where it is missing.
        """
        answer: dict[str, Any] = ask(
            what,
            lambda: getattr(self.client, operation)(**request),
            denied=self._denied(operation),
            connection=_CONNECTION,
            hints=hints,
        )
        return answer

    def find(self, operation: str, what: str, **request: Any) -> dict[str, Any] | None:
        """The answer to a request; None where there is no such thing."""
        try:
            return self.send(operation, what, **request)
        except AwsRefused as refused:
            if refused_with(refused) == _GONE:
                return None
            raise

    def drop(
        self, operation: str, what: str, hints: Mapping[str, str] | None = None, **request: Any
    ) -> None:
        """Take something away; that it is gone already is success."""
        try:
            self.send(operation, what, hints, **request)
        except AwsRefused as refused:
            if refused_with(refused) != _GONE:
                raise

    def listed(self, operation: str, member: str, what: str, **request: Any) -> Iterator[Any]:
        """What an operation lists, all pages of it."""
        return paged(
            what,
            self.client,
            operation,
            member,
            denied=self._denied(operation),
            connection=_CONNECTION,
            PaginationConfig={"PageSize": _PAGE},
            **request,
        )

    def await_principals(self, send: Callable[[], Any]) -> None:
        """Send a trust policy until IAM knows everybody it names.

        :raises AwsRefused: it still does not.
        """
        for wait in WAITS:
            try:
                send()
            except AwsRefused as refused:
                if not is_unknown_principal(refused):
                    raise
                self.sleep(wait)
            else:
                return
        send()

    def await_state(self, what: str, read: Callable[[], Any], wanted: Any) -> None:
        """Read back until it is as it was made.

        :raises ConfigurationError: it still is not.
        """
        for wait in (*WAITS, None):
            if read() == wanted:
                return
            if wait is not None:
                self.sleep(wait)
        raise ConfigurationError(
            f"{what} was changed, and {sum(WAITS):g} s later IAM still tells another state of it",
            hint="somebody else may be changing it too: see CloudTrail, compare again, and run "
            "the recovery again",
        )

    def reference(self, arn: str) -> str:
        """How content refers to something: within the account without the account."""
        return arn.removeprefix(self.own)

    def arn(self, reference: str) -> str:
        """What a reference refers to."""
        return reference if reference.startswith("arn:") else f"{self.own}{reference}"

    def _denied(self, operation: str) -> str:
        action = self.client.meta.method_to_api_mapping[operation]
        return f"allow iam:{action} to the identity of the connection"


def is_unknown_principal(refused: AwsRefused) -> bool:
    """Whether a trust policy was refused because of somebody it names, and not for its form."""
    return (
        refused_with(refused) == "MalformedPolicyDocument" and "principal" in refused.hint.lower()
    )


def tags_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Tags by key, without those that AWS sets and nobody else can."""
    found = sorted(answer.get("Tags", []), key=_tag_key)
    return {one["Key"]: one["Value"] for one in found if not one["Key"].startswith("aws:")}


def sent_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as IAM takes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def given(**request: Any) -> dict[str, Any]:
    """What of a request says anything: some of IAM's members may be left out, but not be empty."""
    return {name: value for name, value in request.items() if value}


def _tag_key(tag: Mapping[str, str]) -> str:
    return tag["Key"]
