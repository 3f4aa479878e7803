"""IAM: roles, policies, groups, users, instance profiles, and what an account has once.

Each entity is an item, with all that hangs on it: its documents in one canonical form
(`documents`), inline and attached policies, boundary, tags. Keys and references are names, so that
they hold for an entity that is made again; what AWS manages is referred to by its ARN. Policies'
documents stay as they are, with the account's number in them: `scope` guards that.

Never exported: passwords, access keys, certificates, MFA devices, private keys. Service-linked
roles are exported and left to their services. And nothing that decides what Ledgerkeep itself may
do is ever changed by it: a recovery must not lock itself out half-way (`own_identity`).
IAM is one for all regions, so its scope has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.settings import caller_of, connection_of
from ledgerkeep.configuration.source import Action, Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.iam.account import OidcProviders, SamlProviders, Settings
from ledgerkeep.configuration.sources.iam.api import Api
from ledgerkeep.configuration.sources.iam.kind import Kind
from ledgerkeep.configuration.sources.iam.listing import Listed, Listing
from ledgerkeep.configuration.sources.iam.managed import InstanceProfiles, Policies
from ledgerkeep.configuration.sources.iam.own_identity import OwnIdentity
from ledgerkeep.configuration.sources.iam.place import PLACES, Place
from ledgerkeep.configuration.sources.iam.planning import hand_work, in_order, kept_by_aws
from ledgerkeep.configuration.sources.iam.principals import Groups, Roles, Users
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import Iam as IamSettings
from ledgerkeep.policy.model import Policy

_CLEARING = ("instance-profile", "user", "group", "role", "policy")


def open_source(access: Access, settings: IamSettings, policy: Policy) -> "Iam":
    """The IAM of a policy's account."""
    connection, region = connection_of(settings, policy)
    caller = caller_of(access, settings, policy)
    _, partition, _, _, account, _ = caller.split(":", 5)
    api = Api(access.client("iam", connection, region), f"arn:{partition}:iam::{account}:")
    owner = Scope(environment=policy.environment, account=account)
    return Iam(api, owner, settings, OwnIdentity(api, caller))


@dataclass(frozen=True)
class Iam(Source):
    """IAM of one account."""

    name: ClassVar[str] = "iam"
    api: Api
    owner: Scope
    settings: IamSettings
    own: OwnIdentity = field(repr=False)
    place: Place | None = None
    """Of an isolated one."""

    def scope(self) -> Scope:
        """The AWS account, in no region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every entity, each kind by itself."""
        names: dict[str, str] = {}
        for one in self._listing(known).entities():
            _, name = self._original(one.path, one.name)
            names[one.name] = name
            yield self._exported(f"{one.kind}/{name}", one, names)
        if self.settings.account_settings and self.place is None:
            for one in self._listing(known).settings():
                yield self._exported(f"{one.kind}/{one.name}", one, names)

    def apply(self, change: Change) -> None:
        """Bring one entity to its wanted state.

        :raises ConfigurationError: only a person can, or nobody tells that it was done.
        """
        work = self._work(change.action, change.key, change.live, change.wanted)
        if work:
            raise ConfigurationError(f"{change.key} was not changed", hint=work)
        kind, name = change.key.split("/", 1)
        wanted = change.wanted
        path = (wanted or change.live or {}).get("path", "")
        if self.place is not None:
            wanted = wanted and self.place.inward(name, wanted)
            path, name = self.place.copy_path(path, name), self.place.copy_name(name)
        self._kinds[kind].bring(name, path, wanted)

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """What is referred to first."""
        return in_order(changes)

    def by_hand(self, change: Planned) -> str:
        """What IAM keeps to itself, and what Ledgerkeep must not do to itself."""
        before = change.before.content if change.before else None
        after = change.after.content if change.after else None
        return self._work(change.action, change.key, before, after)

    def beside(self, label: str) -> "Iam":
        """Copies with names and a path of their own, which may do nothing."""
        place = Place(label, self.api.own, self._may_be_copied)
        return Iam(self.api, self.owner, self.settings, self.own, place)

    def clear(self) -> None:
        """Delete every copy in an isolated place."""
        if self.place is None:
            super().clear()
        found = list(self._listing({}).entities())
        for kind in _CLEARING:
            for one in found:
                if one.kind == kind and one.content is not None:
                    self._kinds[kind].remove(one.name, one.content)

    def _work(
        self,
        action: Action,
        key: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> str:
        work = hand_work(action, key, before, after)
        if self.place is None:
            return work or self.own.refusal(key, before, after)
        if key.split("/")[0] in (OidcProviders.prefix, SamlProviders.prefix, Settings.prefix):
            return f"{key} is there once in an account, so no restore test makes a copy of it"
        return work

    def _listing(self, known: Mapping[str, str]) -> Listing:
        def unchanged(kind: str, path: str, name: str, mark: str) -> bool:
            return known.get(f"{kind}/{self._original(path, name)[1]}") == mark

        return Listing(self.api, self._holds, unchanged, self.place is not None)

    def _exported(self, key: str, one: Listed, names: Mapping[str, str]) -> Found | Known:
        if one.content is None:
            return Known(key)
        content = self.place.outward(one.content, names) if self.place else one.content
        return Found(key, content, one.mark)

    def _original(self, path: str, name: str) -> tuple[str, str]:
        return self.place.original(path) if self.place else (path, name)

    def _holds(self, path: str, name: str) -> bool:
        return path.startswith(self.place.base) if self.place else self._selected(path, name)

    def _may_be_copied(self, path: str, name: str) -> bool:
        return self._selected(path, name) and not kept_by_aws(path)

    def _selected(self, path: str, name: str) -> bool:
        return (
            not path.startswith(PLACES)
            and any(path.startswith(one) for one in self.settings.paths)
            and any(fnmatchcase(name, one) for one in self.settings.names)
        )

    @cached_property
    def _kinds(self) -> Mapping[str, Kind]:
        closed = self.place is not None
        kinds: tuple[Kind, ...] = (
            Policies(self.api),
            Groups(self.api, closed),
            Users(self.api, closed),
            Roles(self.api, closed),
            InstanceProfiles(self.api),
            OidcProviders(self.api),
            SamlProviders(self.api),
            Settings(self.api),
        )
        return {kind.prefix: kind for kind in kinds}
