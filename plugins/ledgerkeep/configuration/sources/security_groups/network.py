"""What EC2 says of VPCs, security groups, their rules and prefix lists, page by page.

A thousand of them come with a page; what is asked for by id goes in filters, which pass over what
is gone, where a request by id would be refused whole.
(EC2 API reference: DescribeSecurityGroups, DescribeSecurityGroupRules, Filter.)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkeep.aws import ask, paged

if TYPE_CHECKING:
    from mypy_boto3_ec2.client import EC2Client

T = TypeVar("T")

FILTER_VALUES = 200
"""A filter of EC2 takes no more values."""
_PAGE = {"PageSize": 1000}
CONNECTION = "configuration.connection_id"
DENIED = (
    "allow ec2:DescribeVpcs, ec2:DescribeSecurityGroups, ec2:DescribeSecurityGroupRules and "
    "ec2:DescribeManagedPrefixLists, and for a recovery ec2:CreateSecurityGroup, "
    "ec2:DeleteSecurityGroup, ec2:AuthorizeSecurityGroup*, ec2:RevokeSecurityGroup*, "
    "ec2:UpdateSecurityGroupRuleDescriptions*, ec2:CreateTags, ec2:DeleteTags and "
    "ec2:DescribeNetworkInterfaces, to the identity of the connection"
)
_HINTS = {
    "RulesPerSecurityGroupLimitExceeded": "what is missing is opened before what is surplus is "
    "closed: raise the quota of rules per security group, or revoke some that are not wanted",
    "DependencyViolation": "find out what still uses it, take it away there, and run this again",
    "InvalidPermission.Duplicate": "the rules have changed just now; run this again",
}


@dataclass(frozen=True)
class Network:
    """What EC2 says of VPCs, security groups and prefix lists."""

    ec2: "EC2Client" = field(repr=False)
    account: str

    def vpcs(self) -> dict[str, str]:
        """VPC's id → its name, or its id where it has none of its own."""
        found = {one["VpcId"]: _name_tag(one) for one in self._list("describe_vpcs", "Vpcs")}
        times = Counter(found.values())
        return {key: name if name and times[name] == 1 else key for key, name in found.items()}

    def groups(self, **filters: list[str]) -> Iterator[Mapping[str, Any]]:
        """Groups of this account; what another one shares with it is not among them.

        :param filters: names with underscores; a wildcard in a value is one.
        """
        found = self._list("describe_security_groups", "SecurityGroups", _filters(filters))
        return (one for one in found if one["OwnerId"] == self.account)

    def groups_by_id(self, ids: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        """Those of them that there are."""
        for some in batches(ids):
            yield from self.groups(group_id=some)

    def group(self, vpc_id: str, name: str) -> Mapping[str, Any] | None:
        """The group of a VPC that has exactly this name."""
        found = self.groups(vpc_id=[vpc_id], group_name=[name])
        return next((one for one in found if one["GroupName"] == name), None)

    def rules(self, ids: list[str]) -> dict[str, list[Mapping[str, Any]]]:
        """Group's id → its rules in both directions; no more than `FILTER_VALUES` groups."""
        found: dict[str, list[Mapping[str, Any]]] = {one: [] for one in ids}
        request = _filters({"group_id": ids})
        for rule in self._list("describe_security_group_rules", "SecurityGroupRules", request):
            found[rule["GroupId"]].append(rule)
        return found

    def prefix_lists(self) -> dict[str, str]:
        """Prefix list's id → its name, or its id where another has the same."""
        found = {
            one["PrefixListId"]: one["PrefixListName"]
            for one in self._list(
                "describe_managed_prefix_lists", "PrefixLists", PaginationConfig={"PageSize": 100}
            )
        }
        times = Counter(found.values())
        return {key: name if times[name] == 1 else key for key, name in found.items()}

    def users_of(self, group_id: str) -> list[str]:
        """What the group is attached to, in words."""
        found = self._list(
            "describe_network_interfaces", "NetworkInterfaces", _filters({"group_id": [group_id]})
        )
        return [_user(one) for one in found]

    def delete(self, group_id: str) -> None:
        """Delete a group that nothing uses."""
        self.send(
            f"delete the security group {group_id}",
            lambda: self.ec2.delete_security_group(GroupId=group_id),
        )

    def send(self, what: str, request: Callable[[], T]) -> T:
        """A request, with what to do when EC2 says no."""
        return ask(what, request, denied=DENIED, connection=CONNECTION, hints=_HINTS)

    def _list(
        self, operation: str, member: str, request: Mapping[str, Any] | None = None, **more: Any
    ) -> Iterator[Mapping[str, Any]]:
        return paged(
            f"{operation.replace('_', ' ')}".replace("describe", "list"),
            self.ec2,
            operation,
            member,
            denied=DENIED,
            connection=CONNECTION,
            **{"PaginationConfig": _PAGE, **(request or {}), **more},
        )


def batches(ids: Iterable[str]) -> Iterator[list[str]]:
    """As many at once as a filter takes."""
    every = sorted(ids)
    for start in range(0, len(every), FILTER_VALUES):
        yield every[start : start + FILTER_VALUES]


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """Tags, without those that AWS sets and nobody else can."""
    found = {one["Key"]: one["Value"] for one in described.get("Tags", [])}
    return {key: found[key] for key in sorted(found) if not key.startswith("aws:")}


def _name_tag(described: Mapping[str, Any]) -> str:
    return tags_of(described).get("Name", "")


def _filters(filters: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "Filters": [
            {"Name": name if name.startswith("tag:") else name.replace("_", "-"), "Values": values}
            for name, values in filters.items()
        ]
    }


def _user(interface: Mapping[str, Any]) -> str:
    instance = interface.get("Attachment", {}).get("InstanceId")
    what = f"instance {instance}" if instance else interface.get("Description")
    return (
        f"{interface['NetworkInterfaceId']} ({what})" if what else interface["NetworkInterfaceId"]
    )
