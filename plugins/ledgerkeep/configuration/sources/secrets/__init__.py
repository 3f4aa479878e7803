"""Secrets Manager: every secret below some name prefixes, with what protects and rotates it.

A listing tells of each secret when it was changed last and which version has which staging label;
only where that is not the stored mark is the secret read: its values (those that are current twenty
to a request), its resource policy and its replicas. A value is held by its staging label, for that
is how it is asked for; ids of versions are the service's own. `AWSPENDING` is a rotation under way
and belongs to nobody's configuration.

A restore switches rotation off before it writes a value, and on after everything else, so that
nothing rotates what is about to be replaced. Deletion only schedules: within the policy's window a
secret can be brought back, and what is scheduled for deletion is brought back before it is written
to. An isolated place neither rotates nor replicates its copies, which would change the passwords of
others and reach other regions; what they would be set to is kept in tags of the copies.
(AWS Secrets Manager API reference: ListSecrets, BatchGetSecretValue, PutSecretValue,
UpdateSecretVersionStage, RotateSecret, DeleteSecret.)
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ledgerkeep.aws import ask, paged, refused_with
from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.secrets.content import (
    CURRENT,
    PENDING,
    asleep,
    awake,
    content_of,
    has_value,
    lacks_value,
    mark_of,
    replicas_of,
    tag_list,
    value_of,
    value_request,
)
from ledgerkeep.errors import AwsRefused
from ledgerkeep.policy.configuration_sources import SecretsManager
from ledgerkeep.policy.model import Policy

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient

T = TypeVar("T")
Values = dict[tuple[str, str], Content]
"""(Secret's name, id of the version) → value."""

_AT_ONCE = 20
"""BatchGetSecretValue takes no more names."""
_CONNECTION = "configuration.connection_id"
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between looking for what was just made (all operations are eventually consistent)."""
_OWN = "ledgerkeep-restore-test/"
"""Names of isolated places begin with it; no secret of the account's own does."""
_DENIED = (
    "allow secretsmanager:ListSecrets, secretsmanager:BatchGetSecretValue, and on the secrets "
    "secretsmanager:DescribeSecret, secretsmanager:GetSecretValue and "
    "secretsmanager:GetResourcePolicy, kms:Decrypt on their keys, and for a recovery "
    "secretsmanager:CreateSecret, UpdateSecret, PutSecretValue, UpdateSecretVersionStage, "
    "TagResource, UntagResource, PutResourcePolicy, DeleteResourcePolicy, "
    "ReplicateSecretToRegions, RemoveRegionsFromReplication, RotateSecret, CancelRotateSecret, "
    "RestoreSecret and DeleteSecret, to the identity of the connection"
)


def open_source(access: Access, settings: SecretsManager, policy: Policy) -> "Secrets":
    """The secrets of a policy."""
    connection, region = connection_of(settings, policy)
    return Secrets(
        prefixes=tuple(settings.prefixes),
        window=settings.recovery_window_days,
        manager=access.client("secretsmanager", connection, region),
        owner=account_of(access, settings, policy),
    )


@dataclass(frozen=True)
class Secrets(Source):
    """Secrets below some name prefixes."""

    name: ClassVar[str] = "secrets"
    prefixes: tuple[str, ...]
    window: int
    """Days for which a deleted secret can be restored."""
    manager: "SecretsManagerClient" = field(repr=False)
    owner: Scope
    place: str = ""
    """Of an isolated one: put in front of every name; ends with a slash."""
    expected: frozenset[str] = frozenset()
    """Keys that are asked for by name where they are not listed."""
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)

    # -- reading

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every secret below the prefixes, by name; replicas of other regions' are theirs."""
        listed = {one["Name"]: one for prefix in self.prefixes for one in self._listed(prefix)}
        marks = {name: mark_of(one) for name, one in listed.items()}
        changed = [name for name in sorted(listed) if known.get(self._key(name)) != marks[name]]
        for name in sorted(listed.keys() - set(changed)):
            yield Known(self._key(name))
        for start in range(0, len(changed), _AT_ONCE):
            names = changed[start : start + _AT_ONCE]
            values = self._current([name for name in names if has_value(listed[name])])
            for name in names:
                content = self._read(name, values)
                if content is not None:
                    yield Found(self._key(name), content, marks[name])
        for name in sorted(self._names(self.expected) - listed.keys()):
            content = self._read(name, {})
            if content is not None:
                yield Found(self._key(name), content)

    def looking_for(self, keys: Iterable[str]) -> "Secrets":
        """A listing may lack what was made in the last five minutes (ListSecrets)."""
        return replace(self, expected=frozenset(keys))

    def by_hand(self, change: Planned) -> str:
        """A secret that another service manages, and one that would have to lose its value."""
        before = change.before.content if change.before else {}
        after = change.after.content if change.after else {}
        if owner := after.get("owning_service") or before.get("owning_service"):
            return f"the secret {change.key} is managed by {owner}: change it there"
        if change.before and change.after and lacks_value(after) and not lacks_value(before):
            return (
                f"the secret {change.key} had no value then, and none can be taken away: delete "
                "it, then restore it"
            )
        return ""

    def _key(self, name: str) -> str:
        return name.removeprefix(self.place)

    def _names(self, keys: Iterable[str]) -> set[str]:
        return {f"{self.place}{key}" for key in keys}

    def _listed(self, prefix: str, **also: Any) -> Iterator[Mapping[str, Any]]:
        begin = f"{self.place}{prefix}"
        found: Iterator[Mapping[str, Any]] = paged(
            f"list the secrets below {begin}",
            self.manager,
            "list_secrets",
            "SecretList",
            denied=_DENIED,
            connection=_CONNECTION,
            Filters=[{"Key": "name", "Values": [begin]}],
            **also,
        )
        return (one for one in found if one["Name"].startswith(begin) and self._is_ours(one))

    def _is_ours(self, listed: Mapping[str, Any]) -> bool:
        """Neither a replica of another region's secret, nor a copy that a restore test made."""
        primary = listed.get("PrimaryRegion", self.owner.region)
        return primary == self.owner.region and (
            bool(self.place) or not listed["Name"].startswith(_OWN)
        )

    def _current(self, names: Sequence[str]) -> Values:
        """Their current values; what a request does not bring is read by itself later."""
        if not names:
            return {}
        answer = self._ask(
            f"read {names[0]} and the next",
            lambda: self.manager.batch_get_secret_value(SecretIdList=list(names)),
        )
        found = answer.get("SecretValues", [])
        return {(one["Name"], one["VersionId"]): value_of(one) for one in found}

    def _read(self, name: str, values: Values) -> dict[str, Content] | None:
        """A secret as it is; None: it is not there, or about to be deleted."""
        described = self._described(name)
        if described is None or described.get("DeletedDate"):
            return None
        labelled: dict[str, Content] = {}
        for version, stages in described.get("VersionIdsToStages", {}).items():
            if labels := set(stages) - {PENDING}:
                value = values.get((name, version)) or self._value(name, version)
                labelled |= dict.fromkeys(labels, value)
        content = content_of(described, dict(sorted(labelled.items())), self._policy(name))
        return awake(content) if self.place else content

    def _described(self, name: str) -> Mapping[str, Any] | None:
        try:
            return self._ask(
                f"describe the secret {name}", lambda: self.manager.describe_secret(SecretId=name)
            )
        except AwsRefused as problem:
            if refused_with(problem) == "ResourceNotFoundException":
                return None
            raise

    def _value(self, name: str, version: str) -> Content:
        return value_of(
            self._ask(
                f"read the secret {name}",
                lambda: self.manager.get_secret_value(SecretId=name, VersionId=version),
            )
        )

    def _policy(self, name: str) -> Content:
        answer = self._ask(
            f"read the resource policy of the secret {name}",
            lambda: self.manager.get_resource_policy(SecretId=name),
        )
        text = answer.get("ResourcePolicy")
        found: Content = json.loads(text) if text else None
        return found

    # -- writing

    def apply(self, change: Change) -> None:
        """Bring one secret to what it shall be; rotation is switched on at the end."""
        name = f"{self.place}{change.key}"
        if change.wanted is None:
            self._delete(name)
            return
        wanted = asleep(change.wanted) if self.place else change.wanted
        described = self._described(name)
        if described is None:
            self._create(name, wanted)
        elif described.get("DeletedDate"):
            self._send("restore_secret", name)
        live = self._read_plain(name)
        if live["rotation"] and live["rotation"] != wanted["rotation"]:
            self._send("cancel_rotate_secret", name)
        self._set_settings(name, live, wanted)
        self._set_values(name, wanted["versions"])
        self._set_replicas(name, live["replicas"], wanted["replicas"])
        if wanted["rotation"] and live["rotation"] != wanted["rotation"]:
            # Without RotateImmediately=False the restored value would be replaced at once.
            self._send("rotate_secret", name, RotateImmediately=False, **wanted["rotation"])

    def _read_plain(self, name: str) -> Mapping[str, Any]:
        """As the service has it, in an isolated place too."""
        for wait in (*_WAITS, None):
            found = replace(self, place="")._read(name, {})
            if found is not None:
                return found
            if wait is not None:
                self.sleep(wait)
        raise AwsRefused(
            f"the secret {name} is gone again right after it was made or restored",
            hint="somebody else deletes it; find out who before you try again",
        )

    def _create(self, name: str, wanted: Mapping[str, Any]) -> None:
        request: dict[str, Any] = {
            "Name": name,
            "Description": wanted["description"],
            "KmsKeyId": wanted["key_id"],
            "Type": wanted["type"],
            "Tags": tag_list(wanted["tags"]),
        }
        request = {key: one for key, one in request.items() if one}
        if current := wanted["versions"].get(CURRENT):
            request |= value_request(current)
        self._ask(
            f"create the secret {name}",
            lambda: self.manager.create_secret(**request),
        )

    def _set_values(self, name: str, wanted: Mapping[str, Any]) -> None:
        """The current value first: it moves the label of the previous one."""
        for label in sorted(wanted, key=lambda one: (one != CURRENT, one)):
            if self._read_plain(name)["versions"].get(label) != wanted[label]:
                self._send(
                    "put_secret_value", name, VersionStages=[label], **value_request(wanted[label])
                )
        described = self._described(name) or {}
        for version, stages in described.get("VersionIdsToStages", {}).items():
            for label in sorted(set(stages) - set(wanted) - {CURRENT, PENDING}):
                self._send(
                    "update_secret_version_stage",
                    name,
                    VersionStage=label,
                    RemoveFromVersionId=version,
                )

    def _set_settings(self, name: str, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        changed = {
            request: wanted[setting]
            for setting, request in (("description", "Description"), ("key_id", "KmsKeyId"))
            if live[setting] != wanted[setting]
        }
        if changed:
            # An empty key id means the account's own key of Secrets Manager.
            self._send("update_secret", name, **changed)
        if gone := sorted(live["tags"].keys() - wanted["tags"].keys()):
            self._send("untag_resource", name, TagKeys=gone)
        if live["tags"] != wanted["tags"] and wanted["tags"]:
            self._send("tag_resource", name, Tags=tag_list(wanted["tags"]))
        if live["policy"] != wanted["policy"]:
            if wanted["policy"] is None:
                self._send("delete_resource_policy", name)
            else:
                text = json.dumps(wanted["policy"])
                self._send("put_resource_policy", name, ResourcePolicy=text)

    def _set_replicas(self, name: str, live: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        if gone := sorted(region for region in live if live[region] != wanted.get(region)):
            self._send("remove_regions_from_replication", name, RemoveReplicaRegions=gone)
        if new := sorted(region for region in wanted if live.get(region) != wanted[region]):
            regions = [
                {"Region": region, **({"KmsKeyId": wanted[region]} if wanted[region] else {})}
                for region in new
            ]
            self._send("replicate_secret_to_regions", name, AddReplicaRegions=regions)

    def _delete(self, name: str) -> None:
        """Schedule it for deletion."""
        described = self._described(name)
        if described is None or described.get("DeletedDate"):
            return
        self._set_replicas(name, replicas_of(described), {})
        self._send("delete_secret", name, RecoveryWindowInDays=self.window)

    # -- an isolated place

    def beside(self, label: str) -> "Secrets":
        """The same secrets below a name prefix of their own."""
        return replace(self, place=f"{_OWN}{label}/")

    def clear(self) -> None:
        """Delete everything below the isolated prefix at once, without a way back."""
        if not self.place.startswith(_OWN):
            super().clear()
        listed = {one["Name"] for one in self._listed("", IncludePlannedDeletion=True)}
        for name in sorted(listed | self._names(self.expected)):
            # Of one that is not there, it is no failure.
            self._send("delete_secret", name, ForceDeleteWithoutRecovery=True)

    def _send(self, operation: str, name: str, **request: Any) -> None:
        words = operation.replace("_", " ")
        self._ask(
            f"{words} of {name}",
            lambda: getattr(self.manager, operation)(SecretId=name, **request),
        )

    def _ask(self, what: str, send: Callable[[], T]) -> T:
        return ask(what, send, denied=_DENIED, connection=_CONNECTION)
