"""Roles, users and groups: what they may do, and who may be them.

The three have the same four things, by the same names in IAM's API: inline policies, attached
policies, a boundary and tags (a group lacks the last two). What is to be allowed is attached before
what is surplus is detached, so that nobody loses in between what is his before and after.

Of a user, passwords, access keys, certificates and MFA devices are never read, written or removed:
a user that is made again gets new ones from a person, and one that still has any is not deleted.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ledgerkeep.configuration.sources.iam.api import (
    Api,
    given,
    is_unknown_principal,
    sent_tags,
    tags_of,
)
from ledgerkeep.configuration.sources.iam.documents import canonical_document, sent_document
from ledgerkeep.configuration.sources.iam.kind import Kind, State
from ledgerkeep.errors import AwsRefused

CLOSED_POLICY = "ledgerkeep-restore-test-closed"
"""Inline policy of every copy in an isolated place: it may do nothing, whatever else it has."""
_NOTHING = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'
_NOBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["sts:AssumeRole"]}],
}
_CREDENTIALS = (
    "take away its password, access keys, certificates and MFA devices first, which Ledgerkeep "
    "never touches, and run the recovery again; or leave the user"
)


class Principals(Kind):
    """What roles, users and groups have in common."""

    parameter: ClassVar[str]
    """The member of a request that holds the name."""

    def __init__(self, api: Api, closed: bool = False) -> None:
        """A kind of principal.

        :param closed: copies in an isolated place, which may do nothing.
        """
        super().__init__(api)
        self.closed = closed

    @abstractmethod
    def bare(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The content of what IAM told of one, without its policies."""

    @abstractmethod
    def set_own(self, name: str, live: State, wanted: State) -> None:
        """What only this kind has."""

    def listed(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        """The content of an entry of the account's authorization details."""
        inline = detail.get(f"{self._word}PolicyList", [])
        attached = detail.get("AttachedManagedPolicies", [])
        return self._whole(self.bare(detail), inline, attached)

    def read(self, name: str, path: str) -> State | None:
        """As it is now."""
        answer = self.api.find(f"get_{self.prefix}", f"read {self.prefix}/{name}", **self._of(name))
        if answer is None:
            return None
        inline = [
            self._call(
                f"get_{self.prefix}_policy", "read an inline policy of", name, PolicyName=one
            )
            for one in self._each(f"list_{self.prefix}_policies", "PolicyNames", name)
        ]
        attached = self._each(f"list_attached_{self.prefix}_policies", "AttachedPolicies", name)
        return self._whole(self.bare(answer[self._word]), inline, list(attached))

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Its own settings first, then what it may do."""
        self.set_own(name, live, wanted)
        self._set_inline(name, live["inline"], wanted["inline"])
        self._set_attached(name, live["attached"], wanted["attached"])

    def remove(self, name: str, live: State) -> None:
        """Without policies, and then it."""
        self._set_attached(name, live["attached"], [])
        closed: dict[str, Any] = {CLOSED_POLICY: {}} if self.closed else {}
        self._set_inline(name, {**live["inline"], **closed}, {})
        self._drop(f"delete_{self.prefix}", "delete", name, hints={"DeleteConflict": _CREDENTIALS})

    def close(self, name: str) -> None:
        """In an isolated place: let it do nothing, before it may do anything."""
        if self.closed:
            self._call(
                f"put_{self.prefix}_policy",
                "close",
                name,
                PolicyName=CLOSED_POLICY,
                PolicyDocument=_NOTHING,
            )

    def first(self, wanted: State) -> dict[str, Any]:
        """What it must have from the beginning."""
        boundary = wanted["boundary"] and self.api.arn(wanted["boundary"])
        return given(PermissionsBoundary=boundary, Tags=sent_tags(wanted["tags"]))

    def set_boundary(self, name: str, live: State, wanted: State) -> None:
        """Exactly this boundary, or none."""
        if live["boundary"] == wanted["boundary"]:
            return
        if wanted["boundary"]:
            boundary = self.api.arn(wanted["boundary"])
            operation = f"put_{self.prefix}_permissions_boundary"
            self._call(operation, "set the boundary of", name, PermissionsBoundary=boundary)
        else:
            operation = f"delete_{self.prefix}_permissions_boundary"
            self._drop(operation, "remove the boundary of", name)

    def tag(self, name: str, live: State, wanted: State) -> None:
        """Exactly these tags."""
        operations = (f"tag_{self.prefix}", f"untag_{self.prefix}")
        self.set_tags(operations, f"{self.prefix}/{name}", live, wanted, **self._of(name))

    def boundary_of(self, answer: Mapping[str, Any]) -> str:
        """A reference; empty where there is none."""
        arn = answer.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
        return self.api.reference(arn)

    def _whole(self, bare: dict[str, Any], inline: Any, attached: Any) -> dict[str, Any]:
        documents = {one["PolicyName"]: canonical_document(one["PolicyDocument"]) for one in inline}
        if self.closed:
            documents.pop(CLOSED_POLICY, None)
        references = sorted(self.api.reference(one["PolicyArn"]) for one in attached)
        return {**bare, "inline": dict(sorted(documents.items())), "attached": references}

    def _set_inline(self, name: str, live: State, wanted: State) -> None:
        for policy, document in sorted(wanted.items()):
            if live.get(policy) != document:
                self._call(
                    f"put_{self.prefix}_policy",
                    f"write the inline policy {policy} of",
                    name,
                    PolicyName=policy,
                    PolicyDocument=sent_document(document),
                )
        for policy in sorted(live.keys() - wanted.keys()):
            operation = f"delete_{self.prefix}_policy"
            self._drop(operation, f"delete the inline policy {policy} of", name, PolicyName=policy)

    def _set_attached(self, name: str, live: list[str], wanted: list[str]) -> None:
        for policy in sorted(set(wanted) - set(live)):
            operation = f"attach_{self.prefix}_policy"
            self._call(operation, f"attach {policy} to", name, PolicyArn=self.api.arn(policy))
        for policy in sorted(set(live) - set(wanted)):
            operation = f"detach_{self.prefix}_policy"
            self._drop(operation, f"detach {policy} from", name, PolicyArn=self.api.arn(policy))

    def _call(self, operation: str, verb: str, name: str, **request: Any) -> dict[str, Any]:
        what = f"{verb} {self.prefix}/{name}"
        return self.api.send(operation, what, **self._of(name), **request)

    def _drop(self, operation: str, verb: str, name: str, **request: Any) -> None:
        self.api.drop(operation, f"{verb} {self.prefix}/{name}", **self._of(name), **request)

    def _each(self, operation: str, member: str, name: str) -> Any:
        what = f"list the policies of {self.prefix}/{name}"
        return self.api.listed(operation, member, what, **self._of(name))

    def _of(self, name: str) -> dict[str, Any]:
        return {self.parameter: name}

    @property
    def _word(self) -> str:
        return self.prefix.capitalize()


class Roles(Principals):
    """Roles."""

    prefix = "role"
    parameter = "RoleName"

    def bare(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Without policies."""
        return {
            "path": answer["Path"],
            "description": answer.get("Description", ""),
            "max_session_duration": answer.get("MaxSessionDuration", 3600),
            "trust": canonical_document(answer["AssumeRolePolicyDocument"]),
            "boundary": self.boundary_of(answer),
            "tags": tags_of(answer),
        }

    def create(self, name: str, wanted: State) -> State:
        """Make it; for nobody, where its trust names whom IAM does not know yet, such as itself."""
        trust = wanted["trust"]
        try:
            self._create(name, wanted, trust)
        except AwsRefused as refused:
            if not is_unknown_principal(refused):
                raise
            trust = _NOBODY
            self._create(name, wanted, trust)
        self.close(name)
        return {**wanted, "trust": trust, "inline": {}, "attached": []}

    def set_own(self, name: str, live: State, wanted: State) -> None:
        """Who may be it, its boundary, and what describes it."""
        if live["trust"] != wanted["trust"]:
            trust = sent_document(wanted["trust"])
            self.api.await_principals(
                lambda: self._call(
                    "update_assume_role_policy", "set the trust of", name, PolicyDocument=trust
                )
            )
        self.set_boundary(name, live, wanted)
        if any(live[one] != wanted[one] for one in ("description", "max_session_duration")):
            self._call(
                "update_role",
                "describe",
                name,
                Description=wanted["description"],
                MaxSessionDuration=wanted["max_session_duration"],
            )
        self.tag(name, live, wanted)

    def remove(self, name: str, live: State) -> None:
        """Out of its instance profiles, and then it."""
        what = f"list the instance profiles of role/{name}"
        profiles = self.api.listed(
            "list_instance_profiles_for_role", "InstanceProfiles", what, RoleName=name
        )
        for profile in list(profiles):
            self._drop(
                "remove_role_from_instance_profile",
                "take out of its instance profile",
                name,
                InstanceProfileName=profile["InstanceProfileName"],
            )
        super().remove(name, live)

    def _create(self, name: str, wanted: State, trust: Mapping[str, Any]) -> None:
        self._call(
            "create_role",
            "make",
            name,
            Path=wanted["path"],
            AssumeRolePolicyDocument=sent_document(trust),
            MaxSessionDuration=wanted["max_session_duration"],
            **given(Description=wanted["description"], **self.first(wanted)),
        )


class Users(Principals):
    """Users, without what they log in with."""

    prefix = "user"
    parameter = "UserName"

    def bare(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Without policies."""
        return {
            "path": answer["Path"],
            "groups": sorted(answer.get("GroupList", [])),
            "boundary": self.boundary_of(answer),
            "tags": tags_of(answer),
        }

    def read(self, name: str, path: str) -> State | None:
        """As it is now, with its groups."""
        found = super().read(name, path)
        if found is None:
            return None
        what = f"list the groups of user/{name}"
        groups = self.api.listed("list_groups_for_user", "Groups", what, UserName=name)
        return {**found, "groups": sorted(one["GroupName"] for one in groups)}

    def create(self, name: str, wanted: State) -> State:
        """Make it, within its boundary from the beginning."""
        self._call("create_user", "make", name, Path=wanted["path"], **self.first(wanted))
        self.close(name)
        return {**wanted, "groups": [], "inline": {}, "attached": []}

    def set_own(self, name: str, live: State, wanted: State) -> None:
        """Its path, boundary, tags and groups."""
        if live["path"] != wanted["path"]:
            self._call("update_user", "move", name, NewPath=wanted["path"])
        self.set_boundary(name, live, wanted)
        self.tag(name, live, wanted)
        self._set_groups(name, live["groups"], wanted["groups"])

    def remove(self, name: str, live: State) -> None:
        """Out of its groups, and then it."""
        self._set_groups(name, live["groups"], [])
        super().remove(name, live)

    def _set_groups(self, name: str, live: list[str], wanted: list[str]) -> None:
        for group in sorted(set(wanted) - set(live)):
            self._call("add_user_to_group", f"add to group/{group}", name, GroupName=group)
        for group in sorted(set(live) - set(wanted)):
            verb = f"take out of group/{group}"
            self._drop("remove_user_from_group", verb, name, GroupName=group)


class Groups(Principals):
    """Groups; who is in them stands with the users."""

    prefix = "group"
    parameter = "GroupName"

    def bare(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """Without policies."""
        return {"path": answer["Path"]}

    def create(self, name: str, wanted: State) -> State:
        """Make it."""
        self._call("create_group", "make", name, Path=wanted["path"])
        self.close(name)
        return {**wanted, "inline": {}, "attached": []}

    def set_own(self, name: str, live: State, wanted: State) -> None:
        """Its path."""
        if live["path"] != wanted["path"]:
            self._call("update_group", "move", name, NewPath=wanted["path"])

    def remove(self, name: str, live: State) -> None:
        """Without members, and then it."""
        what = f"list the members of group/{name}"
        members = self.api.listed("get_group", "Users", what, GroupName=name)
        for user in list(members):
            verb = f"take user/{user['UserName']} out of"
            self._drop("remove_user_from_group", verb, name, UserName=user["UserName"])
        super().remove(name, live)
