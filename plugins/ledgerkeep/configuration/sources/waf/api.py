"""Requests to WAF in one scope: its lists, its lock, and its patience.

Everything that can be changed has a lock token, which its list tells too: as long as that is the
same, it has not changed. A change must say the token of what it changes, and is refused when
somebody else was faster. WAF tells of what was just made only after a while; a refusal because of
that is waited for, for no longer than `WAITS` together.
(WAFV2 API reference: LockToken, WAFOptimisticLockException, WAFUnavailableEntityException.)
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ledgerkeep.aws import ask, refused_with
from ledgerkeep.configuration.sources.waf.kinds import Kind
from ledgerkeep.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_wafv2.client import WAFV2Client

WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)
"""Seconds before a request is sent again."""
STALE = "WAFOptimisticLockException"
GONE = "WAFNonexistentItemException"
_NOT_YET = "WAFUnavailableEntityException"
_NOT_HERE = "WAFInvalidParameterException"
_CONNECTION = "configuration.connection_id"
_AT_ONCE = 100
"""The most that a page of WAF has."""
_DENIED = (
    "allow wafv2:List*, wafv2:Get* and wafv2:ListTagsForResource, and for a recovery "
    "wafv2:Create*, wafv2:Update*, wafv2:Delete*, wafv2:AssociateWebACL, "
    "wafv2:DisassociateWebACL, wafv2:PutLoggingConfiguration, wafv2:TagResource and "
    "wafv2:UntagResource, and what the associated services want, such as "
    "elasticloadbalancing:SetWebACL, and where logs go, such as logs:CreateLogDelivery and "
    "logs:PutResourcePolicy, to the identity of the connection"
)
_HINTS = {
    "WAFAssociatedItemException": "a rule, a rule group or a resource still uses it: take it away "
    "there, and run this again",
    "WAFLogDestinationPermissionIssueException": "allow what its destination wants, such as "
    "logs:PutResourcePolicy or s3:PutBucketPolicy, to the identity of the connection",
    "WAFExpiredManagedRuleGroupVersionException": "the version of a managed rule group that is "
    "stored has expired: choose another by hand, and store a new version",
    _NOT_YET: "what it refers to is not there, or not yet: run this again in a minute",
}
RESOURCES = {
    "REGIONAL": (
        "APPLICATION_LOAD_BALANCER",
        "API_GATEWAY",
        "APPSYNC",
        "COGNITO_USER_POOL",
        "APP_RUNNER_SERVICE",
        "VERIFIED_ACCESS_INSTANCE",
        "AGENTCORE_GATEWAY",
    ),
    "CLOUDFRONT": ("AMPLIFY",),
}
"""What a web ACL can be associated with. A distribution of CloudFront names its web ACL itself."""
_WITHOUT = {"Name", "Scope", "Id", "LockToken", "Tags"}


@dataclass(frozen=True)
class Firewall:
    """WAF in one scope."""

    client: "WAFV2Client" = field(repr=False)
    scope: str
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    def list_all(self, kind: Kind) -> Iterator[Mapping[str, Any]]:
        """Name, id, ARN and lock token of everything of a kind."""
        return self._pages(f"list_{kind.operations}", kind.listed)

    def loggings(self) -> Iterator[Mapping[str, Any]]:
        """How web ACLs are logged."""
        return self._pages("list_logging_configurations", "LoggingConfigurations")

    def get(self, kind: Kind, summary: Mapping[str, Any]) -> tuple[Mapping[str, Any], str] | None:
        """One thing, and its lock token; None: it is gone."""
        request = {"Name": summary["Name"], "Id": summary["Id"], "Scope": self.scope}
        try:
            answer = self.send(
                f"read {kind.name} {summary['Name']}", f"get_{kind.operation}", **request
            )
        except AwsRefused as refused:
            if refused_with(refused) == GONE:
                return None
            raise
        return answer[kind.member], answer["LockToken"]

    def settable(self, kind: Kind) -> set[str]:
        """What of a kind can be changed, as far as the installed boto3 knows."""
        return self._members(f"Update{kind.member}")

    def made_with(self, kind: Kind) -> set[str]:
        """What of a kind is said when it is made, and never changed."""
        return self._members(f"Create{kind.member}") - self.settable(kind)

    def tags(self, arn: str) -> dict[str, str]:
        """Tags, without those that AWS sets."""
        found: dict[str, str] = {}
        request: dict[str, Any] = {"ResourceARN": arn, "Limit": _AT_ONCE}
        while True:
            answer = self.send("list tags", "list_tags_for_resource", **request)
            page = answer["TagInfoForResource"].get("TagList", [])
            found |= {one["Key"]: one["Value"] for one in page if not one["Key"].startswith("aws:")}
            if not page or not answer.get("NextMarker"):
                return dict(sorted(found.items()))
            request["NextMarker"] = answer["NextMarker"]

    def resources(self, arn: str) -> list[str]:
        """ARNs of what a web ACL protects."""
        return sorted({one for kind in RESOURCES[self.scope] for one in self._of_kind(arn, kind)})

    def _of_kind(self, arn: str, kind: str) -> list[str]:
        """None of a kind that the region, or the scope, does not have."""
        request = {"WebACLArn": arn, "ResourceType": kind}
        try:
            answer = self.send(
                "list resources of a web acl", "list_resources_for_web_acl", **request
            )
        except AwsRefused as refused:
            if refused_with(refused) == _NOT_HERE:
                return []
            raise
        found: list[str] = answer.get("ResourceArns", [])
        return found

    def send(self, what: str, operation: str, **request: Any) -> dict[str, Any]:
        """The answer to a request; what WAF does not know yet is waited for.

        :param operation: as the client calls it.
        :raises AwsRefused, AwsUnavailable:
        """
        for wait in WAITS:
            try:
                return self._once(what, operation, request)
            except AwsRefused as refused:
                if refused_with(refused) != _NOT_YET:
                    raise
            self.sleep(wait)
        return self._once(what, operation, request)

    def _once(self, what: str, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = ask(
            what,
            lambda: getattr(self.client, operation)(**request),
            denied=_DENIED,
            connection=_CONNECTION,
            hints=_HINTS,
        )
        return answer

    def _pages(self, operation: str, member: str) -> Iterator[Mapping[str, Any]]:
        """WAF has no paginators in boto3, and may tell a marker with its last page."""
        request: dict[str, Any] = {"Scope": self.scope, "Limit": _AT_ONCE}
        while True:
            answer = self.send(operation.replace("_", " "), operation, **request)
            yield from answer[member]
            if not answer[member] or not answer.get("NextMarker"):
                return
            request["NextMarker"] = answer["NextMarker"]

    def _members(self, operation: str) -> set[str]:
        request = self.client.meta.service_model.operation_model(operation).input_shape
        return set(request.members if request else ()) - _WITHOUT
