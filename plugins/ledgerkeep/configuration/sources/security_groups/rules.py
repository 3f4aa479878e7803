"""Rules of security groups in their canonical form, and what has to be done to change them. Pure.

EC2 gives every rule an id of its own, which a re-creation cannot keep. What tells one rule of a
group from another is what it lets through: direction, protocol, ports and the one peer (a CIDR
block, a prefix list or a group); EC2 refuses two that agree in all of these. Description and tags
are no part of that, so a rule that only they differ in is changed in place and never revoked.

A group is meant by the names of its VPC and its own, since its id changes too. A group of another
account, or one that is gone, has only its id.
(EC2 API reference, SecurityGroupRule; VPC user guide, Security group rules.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledgerkeep.configuration.items import canonical, escaped

DIRECTIONS = ("ingress", "egress")
Rule = Mapping[str, Any]
"""protocol, from_port, to_port, one of `PEERS`, description, tags."""
PEERS = {
    "cidr_ipv4": "CidrIpv4",
    "cidr_ipv6": "CidrIpv6",
    "prefix_list": "PrefixListId",
    "group": "ReferencedGroupInfo",
}
"""What a rule may be about, and the member of EC2's answer that holds it."""
_ALL = "-1"
_BESIDES = {"description", "tags"}


def group_name(content: Mapping[str, Any]) -> str:
    """What a group is called here: its VPC's name and its own."""
    return f"{escaped(content['vpc'])}/{content['name']}"


def identity(rule: Rule) -> bytes:
    """What tells a rule from the others of its group and direction."""
    return canonical({name: rule[name] for name in rule if name not in _BESIDES})


def in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Rules have no order of their own; this is ours."""
    return sorted(rules, key=identity)


@dataclass(frozen=True)
class Live:
    """A rule as it is, with its id."""

    id: str
    rule: Rule


@dataclass(frozen=True)
class Steps:
    """What makes the rules of one direction as they are wanted."""

    missing: list[Rule] = field(default_factory=list)
    described: list[Rule] = field(default_factory=list)
    """Have another description than wanted; this is as wanted."""
    tagged: list[tuple[Live, Rule]] = field(default_factory=list)
    """Have other tags than wanted: as it is, as wanted."""
    surplus: list[str] = field(default_factory=list)
    """Rule ids."""


def steps(live: Iterable[Live], wanted: Iterable[Rule]) -> Steps:
    """What to do in one direction of a group."""
    have = {identity(one.rule): one for one in live}
    want = {identity(rule): rule for rule in wanted}
    both = [(have[key], want[key]) for key in sorted(have.keys() & want.keys())]
    return Steps(
        missing=[want[key] for key in sorted(want.keys() - have.keys())],
        described=[rule for one, rule in both if one.rule["description"] != rule["description"]],
        tagged=[(one, rule) for one, rule in both if one.rule["tags"] != rule["tags"]],
        surplus=sorted(one.id for key, one in have.items() if key not in want),
    )


def direction_of(raw: Mapping[str, Any]) -> str:
    """Which way a rule goes, as EC2 describes it."""
    return "egress" if raw["IsEgress"] else "ingress"


def permission(rule: Rule, peer: Mapping[str, str]) -> dict[str, Any]:
    """A rule as EC2's requests take it; without a description if it has none, which removes one.

    :param peer: the ids of the rule's prefix list or group.
    """
    found: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["protocol"] != _ALL:
        found |= {"FromPort": rule["from_port"], "ToPort": rule["to_port"]}
    about = {"Description": rule["description"]} if rule["description"] else {}
    if "cidr_ipv4" in rule:
        found["IpRanges"] = [{"CidrIp": rule["cidr_ipv4"], **about}]
    elif "cidr_ipv6" in rule:
        found["Ipv6Ranges"] = [{"CidrIpv6": rule["cidr_ipv6"], **about}]
    elif "prefix_list" in rule:
        found["PrefixListIds"] = [{**peer, **about}]
    else:
        found["UserIdGroupPairs"] = [{**peer, **about}]
    return found
