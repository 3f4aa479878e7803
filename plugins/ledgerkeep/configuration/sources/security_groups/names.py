"""Ids to names and back: what is stored has names, what is put back has the ids of today.

A VPC's name is its tag `Name`, where no other VPC of the region has it; else its id. A prefix
list's is its own (those of AWS are called the same in every account). A group is looked up only
when a rule refers to it, and once.

A copy for a restore test stands in its original's VPC. Its name, and the keys of its tags, have the
place's prefix, so that nothing that goes by names or tags takes it for the original; on the way
out the prefix is taken off again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledgerkeep.configuration.sources.security_groups.network import Network, tags_of
from ledgerkeep.configuration.sources.security_groups.rules import (
    DIRECTIONS,
    PEERS,
    Rule,
    direction_of,
    in_order,
)


@dataclass
class Names:
    """The names and ids that one export, or one change, needs."""

    network: Network
    place: str = ""
    """Of an isolated place: the prefix of its names."""
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """By id; those that are gone are not in it."""
    vpcs: Mapping[str, str] = field(init=False)
    _looked_for: set[str] = field(default_factory=set)
    _prefix_lists: dict[str, str] | None = None

    def __post_init__(self) -> None:
        self.vpcs = self.network.vpcs()

    # -- ids to names

    def group(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """A group in canonical form, without its rules."""
        return {
            **self._called(described),
            "description": described["Description"],
            "tags": self.tags(described),
        }

    def rules(
        self, described: Mapping[str, Any], raw: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """The rules of a group in canonical form; `learn` has been told of them."""
        found: dict[str, Any] = self._called(described)
        for direction in DIRECTIONS:
            rules = (self.rule(one) for one in raw if direction_of(one) == direction)
            found[direction] = in_order(rules)
        return found

    def rule(self, raw: Mapping[str, Any]) -> Rule:
        """A rule in canonical form."""
        peer = next(name for name, member in PEERS.items() if raw.get(member))
        about: Any = raw[PEERS[peer]]
        if peer == "group":
            about = self._reference(about)
        elif peer == "prefix_list":
            about = self._prefix_list_names().get(about, about)
        return {
            "protocol": raw["IpProtocol"],
            "from_port": raw.get("FromPort", -1),
            "to_port": raw.get("ToPort", -1),
            peer: about,
            "description": raw.get("Description", ""),
            "tags": self.tags(raw),
        }

    def tags(self, described: Mapping[str, Any]) -> dict[str, str]:
        """Tags as the original has them."""
        found = tags_of(described)
        return {key.removeprefix(self.place): value for key, value in found.items()}

    # -- names to ids

    def own_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Tags as they are here."""
        return {f"{self.place}{key}": value for key, value in tags.items()}

    def own_name(self, name: str) -> str:
        """A group's name as it is here."""
        return f"{self.place}{name}"

    def vpc_id(self, name: str) -> str | None:
        """The id of the VPC of this name, or with this id; None: there is none."""
        return next((key for key, one in self.vpcs.items() if name in (one, key)), None)

    def find(self, content: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The group of that VPC and name as EC2 describes it; None: it is not there."""
        vpc_id = self.vpc_id(content["vpc"])
        return self.network.group(vpc_id, self.own_name(content["name"])) if vpc_id else None

    def peer(self, rule: Rule) -> dict[str, str] | None:
        """The ids of what a rule is about; None: that is not there."""
        if "prefix_list" in rule:
            list_id = self._prefix_list_id(rule["prefix_list"])
            return {"PrefixListId": list_id} if list_id else None
        if "group" not in rule:
            return {}
        group = rule["group"]
        owner = group.get("account", self.network.account)
        group_id = group["id"] if "id" in group else self._group_id(group)
        return {"GroupId": group_id, "UserId": owner} if group_id else None

    def learn(self, raw: Iterable[Mapping[str, Any]]) -> None:
        """Find out the names of the groups that these rules refer to."""
        referred = {
            one["ReferencedGroupInfo"]["GroupId"]
            for one in raw
            if one.get("ReferencedGroupInfo")
            and self._owner(one["ReferencedGroupInfo"]) == self.network.account
        }
        new = referred - self.groups.keys() - self._looked_for
        self._looked_for |= new
        self.groups.update({one["GroupId"]: one for one in self.network.groups_by_id(new)})

    def _reference(self, info: Mapping[str, Any]) -> dict[str, str]:
        group = self.groups.get(info["GroupId"])
        if group is not None:
            return self._called(group)
        owner = self._owner(info)
        account = {} if owner == self.network.account else {"account": owner}
        return {"id": info["GroupId"], **account}

    def _owner(self, info: Mapping[str, Any]) -> str:
        return str(info.get("UserId", self.network.account))

    def _called(self, group: Mapping[str, Any]) -> dict[str, str]:
        return {
            "vpc": self.vpcs.get(group["VpcId"], group["VpcId"]),
            "name": group["GroupName"].removeprefix(self.place),
        }

    def _group_id(self, reference: Mapping[str, str]) -> str | None:
        """A copy refers to the other copy where there is one, else to the group itself."""
        vpc_id = self.vpc_id(reference["vpc"])
        if vpc_id is None:
            return None
        for name in dict.fromkeys((self.own_name(reference["name"]), reference["name"])):
            group = self.network.group(vpc_id, name)
            if group is not None:
                return str(group["GroupId"])
        return None

    def _prefix_list_names(self) -> dict[str, str]:
        if self._prefix_lists is None:
            self._prefix_lists = self.network.prefix_lists()
        return self._prefix_lists

    def _prefix_list_id(self, name: str) -> str | None:
        found = self._prefix_list_names()
        return next((key for key, one in found.items() if name in (one, key)), None)
