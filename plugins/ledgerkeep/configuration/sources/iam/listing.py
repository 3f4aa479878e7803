"""Everything that IAM holds, in few requests.

One listing tells of roles, users, groups and policies with their documents and attachments,
a thousand to a page. It lacks a role's description and longest session, which `ListRoles` tells a
thousand at once too; and the tags of policies and instance profiles, which take a request for each.
Those are asked for only where the id or the version in force is not the stored one, so a change of
such tags alone is seen when everything is read anew.
(IAM API reference: GetAccountAuthorizationDetails, ListRoles, ListInstanceProfiles, GetPolicy.)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ledgerkeep.configuration.sources.iam.account import OidcProviders, SamlProviders, Settings
from ledgerkeep.configuration.sources.iam.api import Api
from ledgerkeep.configuration.sources.iam.managed import (
    InstanceProfiles,
    Policies,
    name_of,
    role_of,
)
from ledgerkeep.configuration.sources.iam.principals import Groups, Principals, Roles, Users

_DETAILS = "get_account_authorization_details"


@dataclass(frozen=True)
class Listed:
    """One entity, in the names that are live."""

    kind: str
    name: str
    path: str
    mark: str = ""
    content: Mapping[str, Any] | None = field(default=None, repr=False)
    """None where its mark says that it has not changed."""


@dataclass(frozen=True)
class Listing:
    """What IAM holds."""

    api: Api
    holds: Callable[[str, str], bool]
    """(path, name) → whether it is to be listed."""
    unchanged: Callable[[str, str, str, str], bool]
    """(kind, path, name, mark) → whether it need not be read."""
    closed: bool = False
    """Whether these are copies in an isolated place."""

    def entities(self) -> Iterator[Listed]:
        """What has a path; groups before users and roles before instance profiles."""
        yield from self._policies()
        yield from self._principals(Groups(self.api, self.closed))
        yield from self._principals(Users(self.api, self.closed))
        yield from self._roles()
        yield from self._profiles()

    def settings(self) -> Iterator[Listed]:
        """What the account has without a path."""
        for kind in (OidcProviders(self.api), SamlProviders(self.api), Settings(self.api)):
            for name in kind.names():
                content = kind.read(name)
                if content is not None:
                    yield Listed(kind.prefix, name, "", content=content)

    def _policies(self) -> Iterator[Listed]:
        kind = Policies(self.api)
        for detail in self._details("LocalManagedPolicy", "Policies"):
            path, name = detail["Path"], name_of(detail)
            if not self.holds(path, name):
                continue
            # A version's number is never given twice to one policy, and no version is ever changed.
            mark = f"{detail['CreateDate'].timestamp():.3f} {detail['DefaultVersionId']}"
            known = self.unchanged(kind.prefix, path, name, mark)
            content = None if known else kind.listed(detail)
            if known or content is not None:
                yield Listed(kind.prefix, name, path, mark, content)

    def _roles(self) -> Iterator[Listed]:
        kind = Roles(self.api, self.closed)
        listed = self.api.listed("list_roles", "Roles", "list the roles")
        told = {one["RoleName"]: _told(one) for one in listed}
        for detail in self._held(kind):
            path, name = detail["Path"], detail["RoleName"]
            if name in told:
                yield Listed(kind.prefix, name, path, content=kind.listed({**detail, **told[name]}))
            elif content := kind.read(name, path):  # made between the two listings
                yield Listed(kind.prefix, name, path, content=content)

    def _principals(self, kind: Principals) -> Iterator[Listed]:
        for detail in self._held(kind):
            name = detail[kind.parameter]
            yield Listed(kind.prefix, name, detail["Path"], content=kind.listed(detail))

    def _held(self, kind: Principals) -> Iterator[Mapping[str, Any]]:
        word = kind.prefix.capitalize()
        for detail in self._details(word, f"{word}DetailList"):
            if self.holds(detail["Path"], detail[kind.parameter]):
                yield detail

    def _profiles(self) -> Iterator[Listed]:
        what = "list the instance profiles"
        prefix = InstanceProfiles.prefix
        for one in self.api.listed("list_instance_profiles", "InstanceProfiles", what):
            path, name = one["Path"], one["InstanceProfileName"]
            if not self.holds(path, name):
                continue
            mark = f"{one['InstanceProfileId']} {role_of(one)}"
            if self.unchanged(prefix, path, name, mark):
                yield Listed(prefix, name, path, mark)
                continue
            content = InstanceProfiles(self.api).read(name, path)
            if content is not None:
                yield Listed(prefix, name, path, mark, content)

    def _details(self, word: str, member: str) -> Iterator[Any]:
        return self.api.listed(_DETAILS, member, f"list every {word} in IAM", Filter=[word])


def _told(role: Mapping[str, Any]) -> dict[str, Any]:
    names = ("Description", "MaxSessionDuration")
    return {name: role[name] for name in names if name in role}
