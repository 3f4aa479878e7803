"""Who may do what: permission profiles, groups and who is in them, signing groups."""

from collections.abc import Iterator, Mapping
from typing import Any

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import Kind, Listed, Shape
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change, Found, Known
from ledgerkeep.configuration.sources.docusign.account import Account, Plural, cleaned


class PermissionProfiles(Listed):
    """Permission profiles, without who has them."""

    name = "permission-profile"
    path = "/permission_profiles"
    update_method = "PUT"
    name_member = "permissionProfileName"
    id_member = "permissionProfileId"
    shape = Shape(
        left_out=frozenset({"modifiedByUsername", "modifiedDateTime", "userCount", "users"})
    )

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.profiles)

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Its name is wanted with every change."""
        told: Row = cleaned(super().update(outer, row, {**body, self.name_member: outer}))
        return told


class Groups(Plural):
    """Groups that somebody made, with their profile; not the two that every account has."""

    name = "group"
    path = "/groups"
    member = "groups"
    name_member = "groupName"
    id_member = "groupId"
    shape = Shape(left_out=frozenset({"usersCount", "users", "permissionProfileId"}))

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.groups)
        self.account = account

    def concerns(self, row: Row) -> bool:
        """Administrators and everyone cannot be made or deleted."""
        return row.get("groupType") == "customGroup"

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """The profile by name."""
        profile = self.account.profiles.name_of(row.get("permissionProfileId"))
        inner = profile and self.place.inward(profile)
        found = super().content(name, row)
        return {**found, "permissionProfile": inner} if inner else found

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The profile by id."""
        body = super().body(wanted)
        profile = body.pop("permissionProfile", None)
        if profile:
            outer = self.place.outward(profile)
            body["permissionProfileId"] = self.account.profiles.needed(outer)
        return body


class GroupMembers(Kind):
    """Who is in a group, by address."""

    name = "group-members"
    why_not_beside = "its users are no users of the test account"

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        self.account = account

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Of groups that have any."""
        for name, row in self.account.groups.rows().items():
            if row.get("groupType") == "customGroup":
                members = sorted(self._members(row["groupId"]))
                if members:
                    yield Found(name, {"users": members})

    def put(self, name: str, change: Change) -> None:
        """Add who is missing, remove who is too many."""
        group = self.account.groups.needed(name)
        live = self._members(group)
        wanted = set((change.wanted or {})["users"])
        path = f"/groups/{group}/users"
        gone = [{"userId": live[one]} for one in sorted(live.keys() - wanted)]
        new = [{"userId": self.account.users.needed(one)} for one in sorted(wanted - live.keys())]
        for method, users in (("DELETE", gone), ("PUT", new)):
            if users:
                what = f"set the members of group {name}"
                self.account.api.ask(what, method, path, body={"users": users})

    def remove(self, name: str) -> None:
        """Nobody is in it any more, if it is still there."""
        if self.account.groups.id_of(name) is not None:
            self.put(name, Change("update", name, None, {"users": []}))

    def _members(self, group: str) -> dict[str, str]:
        rows = self.account.pages(f"/groups/{group}/users", "users")
        return {str(one["email"]): str(one["userId"]) for one in rows}


class SigningGroups(Plural):
    """Groups of which any member may sign; members need no account."""

    name = "signing-group"
    path = "/signing_groups"
    member = "groups"
    name_member = "groupName"
    id_member = "signingGroupId"
    shape = Shape(
        left_out=frozenset({"created", "createdBy", "modified", "modifiedBy"}),
        fixed=frozenset({"groupType"}),
        unordered=frozenset({"users"}),
    )

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.signing_groups)

    def put(self, name: str, change: Change) -> None:
        """The group; a change only adds members, so that others are removed first."""
        outer = self.place.outward(name)
        row = self.register.rows().get(outer)
        wanted = {one["email"] for one in (change.wanted or {}).get("users", [])}
        gone = [one for one in (row or {}).get("users", []) if one["email"] not in wanted]
        if row is not None and gone:
            path = f"{self.path}/{row[self.id_member]}/users"
            what = f"set the members of signing group {outer}"
            self.ask("DELETE", what, path, body={"users": gone})
            kept = [one for one in row["users"] if one not in gone]
            self.register.put({**row, "users": kept})
        super().put(name, change)
