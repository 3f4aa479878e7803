"""Security groups and their rules put back, so that at no moment wanted traffic is closed.

What is missing is opened in both directions first, then descriptions and tags are set, and only
then what is surplus is closed. Descriptions of rules have a request of their own, so a rule is
never closed for the sake of one. Everything is looked at anew before it is changed, so doing it
again does what is left to do.
(EC2 API reference: AuthorizeSecurityGroupIngress, UpdateSecurityGroupRuleDescriptionsIngress,
RevokeSecurityGroupIngress, DeleteSecurityGroup.)
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from ledgerkeep.aws import refused_with
from ledgerkeep.configuration.items import canonical
from ledgerkeep.configuration.sources.security_groups.names import Names
from ledgerkeep.configuration.sources.security_groups.network import Network, batches, tags_of
from ledgerkeep.configuration.sources.security_groups.rules import (
    DIRECTIONS,
    Live,
    Rule,
    Steps,
    direction_of,
    group_name,
    permission,
    steps,
)
from ledgerkeep.errors import AwsRefused, ConfigurationError

_TOLD = 5
"""Of what uses a group so many are named."""
_TO_EVERYWHERE: tuple[Mapping[str, Any], ...] = (
    {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
    {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
)
"""What EC2 lets a new group send; the second where its VPC has IPv6 (CreateSecurityGroup)."""
_NOT_OPEN = "InvalidPermission.NotFound"
_NO_RULE = "InvalidSecurityGroupRuleId.NotFound"


def put_group(names: Names, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a group without any rule, or set its tags; returned as it was found or made.

    :raises ConfigurationError: its VPC is not there.
    """
    group = names.find(wanted)
    if group is None:
        return _make(names, wanted)
    _set_tags(names.network, group["GroupId"], tags_of(group), names.own_tags(wanted["tags"]))
    return group


def put_rules(names: Names, wanted: Mapping[str, Any]) -> None:
    """Give a group these rules and no others.

    :raises ConfigurationError: the group is not there, or what its rules refer to; then all other
        rules are as wanted.
    """
    group, called = names.find(wanted), group_name(wanted)
    if group is None:
        raise ConfigurationError(
            f"there is no security group {called} for these rules",
            hint=f"recover group/{called} too",
        )
    missing = _set_rules(names, group["GroupId"], wanted)
    if missing:
        raise ConfigurationError(
            f"rules of the security group {called} refer to what is not there: "
            f"{', '.join(missing)}",
            hint="its other rules are as wanted; make what is missing, and run this again",
        )


def remove_group(names: Names, content: Mapping[str, Any]) -> None:
    """Delete a group, if it is there.

    :raises ConfigurationError: something uses it.
    """
    network, group = names.network, names.find(content)
    if group is None:
        return
    users = [*network.users_of(group["GroupId"]), *_referring(network, group["GroupId"])]
    if users:
        raise ConfigurationError(
            f"the security group {group_name(content)} is still used by {listed(users)}",
            hint="give these another group, close the rules that refer to it, and run this again",
        )
    network.delete(group["GroupId"])


def remove_rules(names: Names, content: Mapping[str, Any]) -> None:
    """Close all rules of a group, if it is there."""
    group = names.find(content)
    if group is not None:
        close_all(names.network, [group["GroupId"]])


def close_all(network: Network, group_ids: Iterable[str]) -> None:
    """Close all rules of some groups, in both directions."""
    for some in batches(group_ids):
        for group_id, rules in network.rules(some).items():
            for direction in DIRECTIONS:
                surplus = [one for one in rules if direction_of(one) == direction]
                _close(
                    network, group_id, direction, [one["SecurityGroupRuleId"] for one in surplus]
                )


def _close(network: Network, group_id: str, direction: str, rule_ids: Sequence[str]) -> None:
    """A rule that was closed a moment ago may still be listed, and is refused with all others."""
    if not rule_ids:
        return
    request = {"GroupId": group_id, "SecurityGroupRuleIds": list(rule_ids)}
    operation = f"revoke_security_group_{direction}"
    try:
        _send(network, f"close {direction} of {group_id}", operation, request)
    except AwsRefused as refused:
        if refused_with(refused) != _NO_RULE:
            raise
        for one in rule_ids if len(rule_ids) > 1 else ():
            _close(network, group_id, direction, [one])


def listed(users: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(users) - _TOLD} more" if len(users) > _TOLD else ""
    return f"{', '.join(users[:_TOLD])}{more}"


def _make(names: Names, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    network, name = names.network, names.own_name(wanted["name"])
    vpc_id = names.vpc_id(wanted["vpc"])
    if vpc_id is None:
        raise ConfigurationError(
            f"there is no vpc {wanted['vpc']} for the security group {group_name(wanted)}",
            hint="make the VPC first, with that tag Name, and run this again",
        )
    request = {
        "GroupName": name,
        "Description": wanted["description"],
        "VpcId": vpc_id,
        **_tagged("security-group", names.own_tags(wanted["tags"])),
    }
    made: Mapping[str, Any] = network.send(
        f"create the security group {name}",
        lambda: network.ec2.create_security_group(**request),
    )
    # EC2 may not know yet what it has just made (EC2 developer guide, Eventual consistency).
    waiter = network.ec2.get_waiter("security_group_exists")
    network.send(f"find the new group {name}", lambda: waiter.wait(GroupIds=[made["GroupId"]]))
    for anything in _TO_EVERYWHERE:
        _close_if_open(network, made["GroupId"], anything)
    return {**made, "Description": wanted["description"]}


def _close_if_open(network: Network, group_id: str, permission: Mapping[str, Any]) -> None:
    """By what it lets through: a rule made a moment ago may not be listed yet."""
    request = {"GroupId": group_id, "IpPermissions": [permission]}
    try:
        _send(network, f"close egress of {group_id}", "revoke_security_group_egress", request)
    except AwsRefused as refused:
        if refused_with(refused) != _NOT_OPEN:
            raise


def _set_rules(names: Names, group_id: str, wanted: Mapping[str, Any]) -> list[str]:
    """Open, describe, tag, close, in this order; what there is no id for is returned, in words."""
    network = names.network
    raw = network.rules([group_id])[group_id]
    names.learn(raw)
    plans = {
        direction: steps(
            [
                Live(one["SecurityGroupRuleId"], names.rule(one))
                for one in raw
                if direction_of(one) == direction
            ],
            wanted[direction],
        )
        for direction in DIRECTIONS
    }
    missing = [
        words
        for direction, plan in plans.items()
        for words in _open(names, group_id, direction, plan.missing)
    ]
    for direction, plan in plans.items():
        _describe(names, group_id, direction, plan)
    for direction, plan in plans.items():
        _close(network, group_id, direction, plan.surplus)
    return sorted(set(missing))


def _open(names: Names, group_id: str, direction: str, rules: Sequence[Rule]) -> list[str]:
    found = [(rule, names.peer(rule)) for rule in rules]
    known = [(rule, permission(rule, peer)) for rule, peer in found if peer is not None]
    # A request gives all its rules the same tags.
    known.sort(key=lambda one: canonical(one[0]["tags"]))
    for _, some in groupby(known, key=lambda one: canonical(one[0]["tags"])):
        alike = list(some)
        request = {
            "GroupId": group_id,
            "IpPermissions": [one for _, one in alike],
            **_tagged("security-group-rule", names.own_tags(alike[0][0]["tags"])),
        }
        operation = f"authorize_security_group_{direction}"
        _send(names.network, f"open {direction} of {group_id}", operation, request)
    return [_about(rule) for rule, peer in found if peer is None]


def _describe(names: Names, group_id: str, direction: str, plan: Steps) -> None:
    """Set the descriptions and tags of rules that stay."""
    if plan.described:
        rules = [permission(rule, names.peer(rule) or {}) for rule in plan.described]
        _send(
            names.network,
            f"describe {direction} of {group_id}",
            f"update_security_group_rule_descriptions_{direction}",
            {"GroupId": group_id, "IpPermissions": rules},
        )
    for live, rule in plan.tagged:
        before, after = names.own_tags(live.rule["tags"]), names.own_tags(rule["tags"])
        _set_tags(names.network, live.id, before, after)


def _set_tags(
    network: Network, resource: str, live: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    changed = {key: value for key, value in wanted.items() if live.get(key) != value}
    gone = [{"Key": key} for key in sorted(live.keys() - wanted.keys())]
    if changed:
        network.send(
            f"tag {resource}",
            lambda: network.ec2.create_tags(Resources=[resource], Tags=_tag_list(changed)),
        )
    if gone:
        network.send(
            f"remove tags of {resource}",
            lambda: network.ec2.delete_tags(Resources=[resource], Tags=gone),  # type: ignore[arg-type]
        )


def _referring(network: Network, group_id: str) -> list[str]:
    """Other groups whose rules refer to it, in words."""
    found = {
        one["GroupId"]: one["GroupName"]
        for name in ("ip-permission.group-id", "egress.ip-permission.group-id")
        for one in network.groups(**{name: [group_id]})
    }
    return [f"rules of {name}" for key, name in sorted(found.items()) if key != group_id]


def _send(network: Network, what: str, operation: str, request: Mapping[str, Any]) -> None:
    network.send(what, lambda: getattr(network.ec2, operation)(**request))


def _tagged(kind: str, tags: Mapping[str, str]) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": _tag_list(tags)}]} if tags else {}


def _tag_list(tags: Mapping[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _about(rule: Rule) -> str:
    """What a rule is about, for messages."""
    if "prefix_list" in rule:
        return f"prefix list {rule['prefix_list']}"
    return f"security group {group_name(rule['group'])}"
