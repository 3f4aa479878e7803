"""Managed policies of the account's own, and instance profiles.

A policy has up to five versions, of which one is in force; only that one is exported. Putting a
document back first looks whether a version says the same already, and puts that in force. Only
otherwise is one written, and where there are five the oldest that is not in force makes room.
(IAM user guide, Versioning IAM policies; IAM API reference, CreatePolicyVersion.)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.sources.iam.api import given, sent_tags, tags_of
from ledgerkeep.configuration.sources.iam.documents import canonical_document, sent_document
from ledgerkeep.configuration.sources.iam.kind import Kind, State
from ledgerkeep.errors import ConfigurationError

_MOST_VERSIONS = 5
_HOLDERS = (
    ("Role", "PolicyRoles", "RoleName"),
    ("User", "PolicyUsers", "UserName"),
    ("Group", "PolicyGroups", "GroupName"),
)
_BOUNDARY = (
    "it is the permissions boundary of a role or user: give that another one, or none, first"
)


class Policies(Kind):
    """Managed policies of the account's own."""

    prefix = "policy"

    def listed(self, detail: Mapping[str, Any]) -> dict[str, Any] | None:
        """The content of an entry of the account's authorization details.

        What those leave out, tags and (AWS does not say when) the description, takes a request of
        its own. None where the policy has gone since.
        """
        what = f"read policy/{name_of(detail)}"
        answer = self.api.find("get_policy", what, PolicyArn=detail["Arn"])
        current = next(one for one in detail["PolicyVersionList"] if one["IsDefaultVersion"])
        return answer and _content(answer["Policy"], current["Document"])

    def read(self, name: str, path: str) -> State | None:
        """As it is now."""
        arn = self._arn(name, path)
        answer = self.api.find("get_policy", f"read policy/{name}", PolicyArn=arn)
        if answer is None:
            return None
        version = answer["Policy"]["DefaultVersionId"]
        return _content(answer["Policy"], self._document(name, arn, version))

    def create(self, name: str, wanted: State) -> State:
        """Make it whole: of all it has, its description can be set only now."""
        self.api.send(
            "create_policy",
            f"make policy/{name}",
            PolicyName=name,
            Path=wanted["path"],
            PolicyDocument=sent_document(wanted["document"]),
            **given(Description=wanted["description"], Tags=sent_tags(wanted["tags"])),
        )
        return wanted

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Its document and tags.

        :raises ConfigurationError: its description differs too; the rest is as it is wanted.
        """
        arn = self._arn(name, wanted["path"])
        if live["document"] != wanted["document"]:
            self._set_document(name, arn, wanted["document"])
        operations = ("tag_policy", "untag_policy")
        self.set_tags(operations, f"policy/{name}", live, wanted, PolicyArn=arn)
        if live["description"] != wanted["description"]:
            raise ConfigurationError(
                f"policy/{name} has its document and tags again, but not its description, which "
                "IAM sets only when a policy is made",
                hint="leave it; or delete it, once nothing uses it any more, and run the recovery "
                "again",
            )

    def remove(self, name: str, live: State) -> None:
        """From everybody who has it, then its versions, and then it."""
        arn = self._arn(name, live["path"])
        for holder, member, parameter in _HOLDERS:
            what = f"list who has policy/{name}"
            held = self.api.listed(
                "list_entities_for_policy", member, what, PolicyArn=arn, EntityFilter=holder
            )
            for one in list(held):
                self.api.drop(
                    f"detach_{holder.lower()}_policy",
                    f"detach policy/{name} from {holder.lower()}/{one[parameter]}",
                    PolicyArn=arn,
                    **{parameter: one[parameter]},
                )
        for version in self._others(name, arn):
            self._drop_version(name, arn, version)
        hints = {"DeleteConflict": _BOUNDARY}
        self.api.drop("delete_policy", f"delete policy/{name}", hints, PolicyArn=arn)

    def _set_document(self, name: str, arn: str, wanted: State) -> None:
        others = self._others(name, arn)
        for version in reversed(others):
            if canonical_document(self._document(name, arn, version)) == wanted:
                self.api.send(
                    "set_default_policy_version",
                    f"put {version} of policy/{name} in force",
                    PolicyArn=arn,
                    VersionId=version,
                )
                return
        if len(others) + 1 >= _MOST_VERSIONS:
            self._drop_version(name, arn, others[0])
        self.api.send(
            "create_policy_version",
            f"write policy/{name}",
            PolicyArn=arn,
            PolicyDocument=sent_document(wanted),
            SetAsDefault=True,
        )

    def _others(self, name: str, arn: str) -> list[str]:
        """Versions that are not in force, oldest first."""
        what = f"list the versions of policy/{name}"
        listed = self.api.listed("list_policy_versions", "Versions", what, PolicyArn=arn)
        found = [one["VersionId"] for one in listed if not one["IsDefaultVersion"]]
        return sorted(found, key=lambda version: int(version.removeprefix("v")))

    def _document(self, name: str, arn: str, version: str) -> Any:
        what = f"read {version} of policy/{name}"
        answer = self.api.send("get_policy_version", what, PolicyArn=arn, VersionId=version)
        return answer["PolicyVersion"]["Document"]

    def _drop_version(self, name: str, arn: str, version: str) -> None:
        what = f"delete {version} of policy/{name}"
        self.api.drop("delete_policy_version", what, PolicyArn=arn, VersionId=version)

    def _arn(self, name: str, path: str) -> str:
        return self.api.arn(f"policy{path}{name}")


class InstanceProfiles(Kind):
    """Instance profiles: how a machine gets its role."""

    prefix = "instance-profile"

    def read(self, name: str, path: str) -> State | None:
        """As it is now."""
        what = f"read instance-profile/{name}"
        answer = self.api.find("get_instance_profile", what, InstanceProfileName=name)
        if answer is None:
            return None
        profile = answer["InstanceProfile"]
        return {"path": profile["Path"], "role": role_of(profile), "tags": tags_of(profile)}

    def create(self, name: str, wanted: State) -> State:
        """Make it, without its role."""
        self.api.send(
            "create_instance_profile",
            f"make instance-profile/{name}",
            InstanceProfileName=name,
            Path=wanted["path"],
            **given(Tags=sent_tags(wanted["tags"])),
        )
        return {**wanted, "role": ""}

    def alter(self, name: str, live: State, wanted: State) -> None:
        """Its role, of which it has one at the most, and its tags."""
        if live["role"] != wanted["role"]:
            self._set_role(name, live["role"], wanted["role"])
        operations = ("tag_instance_profile", "untag_instance_profile")
        what = f"instance-profile/{name}"
        self.set_tags(operations, what, live, wanted, InstanceProfileName=name)

    def remove(self, name: str, live: State) -> None:
        """Without its role, and then it."""
        self._set_role(name, live["role"], "")
        what = f"delete instance-profile/{name}"
        self.api.drop("delete_instance_profile", what, InstanceProfileName=name)

    def _set_role(self, name: str, live: str, wanted: str) -> None:
        of: dict[str, Any] = {"InstanceProfileName": name}
        if live:
            what = f"take role/{live} out of instance-profile/{name}"
            self.api.drop("remove_role_from_instance_profile", what, RoleName=live, **of)
        if wanted:
            what = f"put role/{wanted} into instance-profile/{name}"
            self.api.send("add_role_to_instance_profile", what, RoleName=wanted, **of)


def name_of(policy: Mapping[str, Any]) -> str:
    """A policy's name, from its ARN."""
    arn: str = policy["Arn"]
    return arn.rsplit("/", 1)[-1]


def role_of(profile: Mapping[str, Any]) -> str:
    """The name of its role; empty where it has none."""
    return next((one["RoleName"] for one in profile["Roles"]), "")


def _content(policy: Mapping[str, Any], document: Any) -> dict[str, Any]:
    return {
        "path": policy["Path"],
        "description": policy.get("Description", ""),
        "document": canonical_document(document),
        "tags": tags_of(policy),
    }
