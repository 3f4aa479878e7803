"""Security groups: who may talk to whom, rule by rule, with groups meant by their names.

A group and its rules are two items, `group/{vpc}/{name}` and `rules/{vpc}/{name}`, since groups
refer to each other in circles: all groups are made first, without rules, and deleted last, when no
rule is left. A group without any rule has no item for them. What of a group no program can change
(its description) so does not hold up its rules either.

EC2 keeps no version of a group, so every export reads all of them: the groups a thousand to a page,
their rules a thousand to a page, whatever group they belong to. Ids of groups and of rules are left
out. EC2 has no request that takes in a group whole; one is put back rule by rule.

    rules      one rule in canonical form, and what makes some rules of some others; pure
    network    what EC2 says of VPCs, groups, rules and prefix lists
    names      ids to names and back, for an export or a change; copies apart from their originals
    writing    groups and rules made, changed, deleted
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.security_groups.names import Names
from ledgerkeep.configuration.sources.security_groups.network import Network, batches
from ledgerkeep.configuration.sources.security_groups.rules import group_name
from ledgerkeep.configuration.sources.security_groups.writing import (
    close_all,
    listed,
    put_group,
    put_rules,
    remove_group,
    remove_rules,
)
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import SecurityGroups as Settings
from ledgerkeep.policy.model import Policy

_OWN = "ledgerkeep-restore-test-"
"""Groups whose names begin so are isolated copies, and in no export but that of their place."""
_GROUP = "group/"
_RULES = "rules/"
_DEFAULT = "default"
_DESCRIPTION = (
    "the description of {key} cannot be changed: make another group with the description "
    "{wanted!r}, give it to what uses this one, and delete this one; or store a new version"
)


def open_source(access: Access, settings: Settings, policy: Policy) -> "SecurityGroups":
    """The security groups of a policy."""
    connection, region = connection_of(settings, policy)
    owner = account_of(access, settings, policy)
    filters = {f"tag:{key}": [value] for key, value in sorted(settings.tags.items())}
    if settings.vpc_ids:
        filters["vpc_id"] = list(settings.vpc_ids)
    network = Network(access.client("ec2", connection, region), owner.account)
    return SecurityGroups(network, filters, owner)


@dataclass(frozen=True)
class SecurityGroups(Source):
    """The security groups that some filters let through."""

    name: ClassVar[str] = "security_groups"
    network: Network = field(repr=False)
    filters: Mapping[str, list[str]]
    owner: Scope
    place: str = ""
    """Of an isolated one: the prefix of its groups' names."""

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every group that the filters let through."""
        names, groups = self._names(), self._groups()
        names.groups.update(groups)
        for some in batches(groups):
            rules = self.network.rules(some)
            names.learn(one for found in rules.values() for one in found)
            for group_id, found in rules.items():
                group = names.group(groups[group_id])
                yield Found(f"{_GROUP}{group_name(group)}", group)
                if found:
                    yield Found(
                        f"{_RULES}{group_name(group)}", names.rules(groups[group_id], found)
                    )

    def apply(self, change: Change) -> None:
        """Make, change or delete one group, or its rules.

        :raises ConfigurationError: its VPC, the group, or what its rules refer to is not there; it
            is still used; its description is another. All that can be done without is done.
        """
        names = self._names()
        if change.key.startswith(_RULES):
            if change.wanted is None:
                remove_rules(names, change.live or {})
            else:
                put_rules(names, change.wanted)
        elif change.wanted is None:
            remove_group(names, change.live or {})
        else:
            group = put_group(names, change.wanted)
            self._refuse_description(change, group["Description"])

    def by_hand(self, change: Planned) -> str:
        """Default groups, groups in use, and descriptions where nothing else differs."""
        item = change.after or change.before
        if item is None or change.key.startswith(_RULES):
            return ""
        if change.before is not None and change.after is not None:
            before, after = change.before.content, change.after.content
            only = {**before, "description": after["description"]} == after
            return _DESCRIPTION.format(key=change.key, wanted=after["description"]) if only else ""
        if item.content["name"] == _DEFAULT and not self.place:
            return f"{change.key} is made and deleted by EC2, together with its VPC"
        return self._in_use(change.key, item.content) if change.action == "delete" else ""

    def beside(self, label: str) -> "SecurityGroups":
        """Copies in the same VPCs, with names of their own, that nothing is attached to."""
        place = f"{_OWN}{label}-"
        return replace(self, place=place, filters={"group_name": [f"{place}*"]})

    def clear(self) -> None:
        """Close all rules of the copies, since they refer to each other; then delete them."""
        if not self.place.startswith(_OWN):
            super().clear()
        groups = self._groups()
        close_all(self.network, groups)
        for group_id in groups:
            self.network.delete(group_id)

    def _refuse_description(self, change: Change, live: str) -> None:
        wanted = (change.wanted or {})["description"]
        if live != wanted:
            told = _DESCRIPTION.format(key=change.key, wanted=wanted)
            what, _, todo = told.partition(": ")
            raise ConfigurationError(what, hint=todo)

    def _names(self) -> Names:
        return Names(self.network, self.place)

    def _groups(self) -> dict[str, Mapping[str, Any]]:
        """By id; copies only in their own place."""
        return {
            one["GroupId"]: one
            for one in self.network.groups(**self.filters)
            if one["GroupName"].startswith(self.place or _OWN) == bool(self.place)
        }

    def _in_use(self, key: str, content: Mapping[str, Any]) -> str:
        group = self._names().find(content)
        users = self.network.users_of(group["GroupId"]) if group else []
        if not users:
            return ""
        return f"{key} is used by {listed(users)}: give these another group, and run this again"
