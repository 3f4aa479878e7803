"""WAF: web ACLs, rule groups, IP sets and pattern sets, how they are logged and what they protect.

Keys are `{scope}/{kind}/{name}`, and rules refer to sets and groups by name. The lists tell a lock
token of everything, so what has not changed is not read again; tags have no token, and a change of
tags alone is seen when everything is read anew. Logging and associations are items of their own,
read every time. What Firewall Manager made is its own affair, and that a distribution of CloudFront
uses a web ACL is a setting of the distribution: neither is in here.

    kinds      what there is, in the order in which it can be made
    canonical  settings in canonical form and back, names for ARNs, secrets as such; pure
    api        requests, pages, patience
    writing    things made, changed and deleted under WAF's lock
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.waf.api import Firewall
from ledgerkeep.configuration.sources.waf.canonical import parts_of, settings_of
from ledgerkeep.configuration.sources.waf.kinds import (
    ASSOCIATIONS,
    BY_NAME,
    KINDS,
    LOGGING,
    RANK,
    WEB_ACL,
    Kind,
)
from ledgerkeep.configuration.sources.waf.writing import Desk
from ledgerkeep.policy.configuration_sources import WebFirewall as Settings
from ledgerkeep.policy.model import Policy

_OWN = "ledgerkeep-restore-test-"
"""What has a name that begins so is a copy, and in no export but that of its place."""
_GLOBAL_REGION = "us-east-1"
"""Where WAF keeps what is for CloudFront."""
_LOGGED = ("LogDestinationConfigs", "RedactedFields", "LoggingFilter", "LogType", "LogScope")


def open_source(access: Access, settings: Settings, policy: Policy) -> "Waf":
    """WAF as a policy means it."""
    connection, region = connection_of(settings, policy)
    regions = {"REGIONAL": region, "CLOUDFRONT": _GLOBAL_REGION}
    return Waf(
        firewalls=tuple(
            Firewall(access.client("wafv2", connection, regions[scope]), scope)
            for scope in settings.scopes
        ),
        prefix=settings.name_prefix,
        owner=account_of(access, settings, policy),
    )


@dataclass(frozen=True)
class Waf(Source):
    """WAF of one account, in some scopes."""

    name: ClassVar[str] = "waf"
    firewalls: tuple[Firewall, ...] = field(repr=False)
    prefix: str
    owner: Scope
    place: str = ""
    """Of an isolated one: the prefix of its names."""

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Everything of each kind; what has its stored lock token is not read."""
        for desk in self._desks():
            scope, acls = desk.firewall.scope.lower(), {}
            for kind in KINDS:
                for summary in self._listed(desk, kind):
                    key = f"{scope}/{kind.name}/{self._plain(summary)}"
                    found = _one(desk, kind, summary, key, known)
                    if found is not None:
                        yield found
                        if kind is WEB_ACL:
                            acls[summary["ARN"]] = self._plain(summary)
            if not self.place:
                yield from _belongings(desk, scope, acls)

    def apply(self, change: Change) -> None:
        """Make, change or delete one thing.

        :raises ConfigurationError: what it refers to is not there, or it was made otherwise.
        :raises SourceChanged: somebody else is changing it.
        """
        scope, kind, name = change.key.split("/", 2)
        desk = next(one for one in self._desks() if one.firewall.scope.lower() == scope)
        if kind == LOGGING:
            desk.put_logging(name, change.wanted)
        elif kind == ASSOCIATIONS:
            desk.put_associations(name, list((change.wanted or {"resources": []})["resources"]))
        elif change.wanted is None:
            desk.remove(BY_NAME[kind], name)
        else:
            desk.put(BY_NAME[kind], name, change.wanted)

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """Sets, rule groups, web ACLs, what belongs to these; deletions the other way round.

        A web ACL that gains a resource comes before the one that loses it.
        """
        kept = [one for one in changes if one.action != "delete"]
        gone = [one for one in changes if one.action == "delete"]
        kept.sort(key=lambda one: (_rank(one), not _gains(one), one.key))
        gone.sort(key=lambda one: (-_rank(one), one.key))
        return [*kept, *gone]

    def by_hand(self, change: Planned) -> str:
        """What was said when a thing was made cannot be changed."""
        _, kind, name = change.key.split("/", 2)
        if self.place and kind in (LOGGING, ASSOCIATIONS):
            return f"{change.key}: a copy protects nothing, so there is nothing to log"
        if kind not in BY_NAME or change.before is None or change.after is None:
            return ""
        if change.before.content["made_with"] == change.after.content["made_with"]:
            return ""
        return (
            f"{change.key} was made otherwise: delete {name} when nothing refers to it, and run "
            "this again"
        )

    def beside(self, label: str) -> "Waf":
        """Copies under names of their own, that protect nothing."""
        return replace(self, place=f"{_OWN}{label}-")

    def clear(self) -> None:
        """Delete all copies, whoever refers first."""
        if not self.place.startswith(_OWN):
            super().clear()
        for desk in self._desks():
            for kind in reversed(KINDS):
                for summary in list(self._listed(desk, kind)):
                    desk.remove(kind, self._plain(summary))

    def _desks(self) -> list[Desk]:
        return [Desk(one, self.owner.account, self.place) for one in self.firewalls]

    def _listed(self, desk: Desk, kind: Kind) -> Iterator[Mapping[str, Any]]:
        for summary in desk.firewall.list_all(kind):
            is_copy = summary["Name"].startswith(self.place or _OWN)
            if is_copy == bool(self.place) and self._plain(summary).startswith(self.prefix):
                yield summary

    def _plain(self, summary: Mapping[str, Any]) -> str:
        return str(summary["Name"]).removeprefix(self.place)


def _one(
    desk: Desk, kind: Kind, summary: Mapping[str, Any], key: str, known: Mapping[str, str]
) -> Found | Known | None:
    """None: it is gone since it was listed, or Firewall Manager's."""
    if known.get(key) == summary["LockToken"]:
        return Known(key)
    live = desk.firewall.get(kind, summary)
    if live is None or live[0].get("ManagedByFirewallManager"):
        return None
    return Found(key, desk.content(kind, live[0], summary["ARN"]), live[1])


def _belongings(desk: Desk, scope: str, acls: Mapping[str, str]) -> Iterator[Found]:
    """How web ACLs are logged, and what they protect; by ARN, with their names."""
    for told in desk.firewall.loggings():
        if told["ResourceArn"] in acls and not told.get("ManagedByFirewallManager"):
            _, _, name = parts_of(told["ResourceArn"])
            yield Found(f"{scope}/{LOGGING}/{name}", settings_of(told, _LOGGED, desk.reference))
    for arn, name in acls.items():
        resources = desk.firewall.resources(arn)
        if resources:
            yield Found(f"{scope}/{ASSOCIATIONS}/{name}", {"resources": resources})


def _rank(change: Planned) -> int:
    return RANK[change.key.split("/", 2)[1]]


def _gains(change: Planned) -> bool:
    before = change.before.content.get("resources", []) if change.before else []
    after = change.after.content.get("resources", []) if change.after else []
    return bool(set(after) - set(before))  # type: ignore[arg-type]
