"""What KMS says of the keys that are ours to set, and the requests that set them.

Keys that AWS services made for themselves are no configuration of ours; most are told by an alias
below `alias/aws/`, the others by who manages them. Grants that services gave themselves (one for
every volume and every database that is running) come and go with what they are for: they are left
out. The deletion date is left out, that a deletion is scheduled is the key's state.
(KMS API reference: ListKeys, DescribeKey, GetKeyRotationStatus, ListGrants.)
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkeep.aws import ask, paged, refused_with
from ledgerkeep.configuration.sources.iam.documents import canonical_document
from ledgerkeep.configuration.sources.kms.reach import grants_in_order
from ledgerkeep.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_kms.client import KMSClient

T = TypeVar("T")

_CONNECTION = "configuration.connection_id"
_DENIED = (
    "allow kms:ListKeys, kms:ListAliases, kms:DescribeKey, kms:GetKeyPolicy, "
    "kms:GetKeyRotationStatus, kms:ListResourceTags and kms:ListGrants, and for a recovery "
    "kms:PutKeyPolicy, kms:EnableKey, kms:DisableKey, kms:CancelKeyDeletion, "
    "kms:EnableKeyRotation, kms:DisableKeyRotation, kms:UpdateKeyDescription, kms:TagResource, "
    "kms:UntagResource, kms:CreateAlias, kms:UpdateAlias, kms:DeleteAlias and kms:CreateGrant, to "
    "the identity of the connection, in its own policy and in the policy of each key"
)
_HINTS = {
    "MalformedPolicyDocumentException": "KMS takes no policy that names somebody who is gone, nor "
    "one that would shut out whoever sets it: correct the policy by hand, and store a new version",
    "DisabledException": "rotation is set on enabled keys only: enable the key, run this again, "
    "and disable it",
    "KMSInvalidStateException": "look at the key's state: what is scheduled for deletion, waits "
    "for its key material or has lost its key store can only be set when that is over",
}
_OF_AWS = "alias/aws/"
_MANAGED = "AWS"
_ROTATES = ("SYMMETRIC_DEFAULT", "AWS_KMS")
"""Spec and origin of the keys that KMS rotates (KMS developer guide, Rotating AWS KMS keys)."""
_DEFAULT_PERIOD = 365
_USED_FOR = "ENCRYPT_DECRYPT"
"""What a key is for when its maker did not say (CreateKey)."""
_PASSING = {"Creating": "Enabled", "Updating": "Enabled"}
Described = Mapping[str, Any]


@dataclass(frozen=True)
class Api:
    """KMS in one account and region."""

    kms: "KMSClient" = field(repr=False)

    def aliases(self) -> dict[str, list[str]]:
        """Key's id → its aliases, by name; AWS's own aliases are among them."""
        found: dict[str, list[str]] = {}
        for one in self._list("list_aliases", "Aliases"):
            if "TargetKeyId" in one:
                found.setdefault(one["TargetKeyId"], []).append(one["AliasName"])
        return {key: sorted(names) for key, names in found.items()}

    def keys(
        self, aliases: Mapping[str, list[str]], *, only: Callable[[list[str]], bool]
    ) -> Iterator[Described]:
        """Keys that no service manages, in the order of their ids.

        :param only: whether a key with these aliases is looked at; another's policy may forbid it.
        """
        every = {one["KeyId"] for one in self._list("list_keys", "Keys", at_once=1000)}
        managed = {key for key, names in aliases.items() if names[0].startswith(_OF_AWS)}
        for key_id in sorted(every - managed):
            described = self.describe(key_id) if only(aliases.get(key_id, [])) else None
            if described is not None and described["KeyManager"] != _MANAGED:
                yield described

    def describe(self, key_id: str) -> Described | None:
        """One key; None: it is gone."""
        try:
            answer = self.send(
                f"read the key {key_id}", lambda: self.kms.describe_key(KeyId=key_id)
            )
        except AwsRefused as refused:
            if refused_with(refused) == "NotFoundException":
                return None
            raise
        return answer["KeyMetadata"]

    def tags(self, key_id: str) -> dict[str, str]:
        """Tags, without those that AWS sets."""
        found = {
            one["TagKey"]: one["TagValue"]
            for one in self._list("list_resource_tags", "Tags", KeyId=key_id)
        }
        return {key: found[key] for key in sorted(found) if not key.startswith("aws:")}

    def content(
        self, described: Described, aliases: list[str], tags: Mapping[str, str]
    ) -> dict[str, Any]:
        """A key's settings in canonical form."""
        key_id = described["KeyId"]
        policy = self.send(
            f"read the policy of {key_id}",
            lambda: self.kms.get_key_policy(KeyId=key_id, PolicyName="default"),
        )
        return {
            "description": described.get("Description", ""),
            "usage": described.get("KeyUsage", _USED_FOR),
            "spec": described["KeySpec"],
            "origin": described["Origin"],
            "key_store": described.get("CustomKeyStoreId", ""),
            "multi_region": _multi_region(described),
            "state": _PASSING.get(described["KeyState"], described["KeyState"]),
            "policy": canonical_document(json.loads(policy["Policy"])),
            "rotation": self._rotation(described),
            "tags": dict(tags),
            "aliases": list(aliases),
            "grants": self.grants(key_id),
        }

    def grants(self, key_id: str) -> list[Mapping[str, Any]]:
        """Who was let use a key besides its policy; not the services' own."""
        found = (_grant(one) for one in self._list("list_grants", "Grants", KeyId=key_id))
        return grants_in_order(one for one in found if not _is_of_a_service(one["grantee"]))

    def send(self, what: str, request: Callable[[], T]) -> T:
        """A request, with what to do when KMS says no."""
        return ask(what, request, denied=_DENIED, connection=_CONNECTION, hints=_HINTS)

    def _rotation(self, described: Described) -> dict[str, Any]:
        """Empty for keys that KMS does not rotate."""
        if (described["KeySpec"], described["Origin"]) != _ROTATES:
            return {}
        key_id = described["KeyId"]
        status = self.send(
            f"read the rotation of {key_id}", lambda: self.kms.get_key_rotation_status(KeyId=key_id)
        )
        if not status["KeyRotationEnabled"]:
            return {"enabled": False}
        return {"enabled": True, "days": status.get("RotationPeriodInDays", _DEFAULT_PERIOD)}

    def _list(
        self, operation: str, member: str, at_once: int = 50, **request: Any
    ) -> Iterator[Any]:
        return paged(
            operation.replace("_", " "),
            self.kms,
            operation,
            member,
            denied=_DENIED,
            connection=_CONNECTION,
            PaginationConfig={"PageSize": at_once},
            **request,
        )


def _multi_region(described: Described) -> dict[str, Any]:
    """Empty for a key of one region."""
    told = described.get("MultiRegionConfiguration")
    if not told:
        return {}
    return {
        "type": told["MultiRegionKeyType"],
        "primary": told["PrimaryKey"]["Region"],
        "replicas": sorted(one["Region"] for one in told["ReplicaKeys"]),
    }


def _grant(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": told.get("Name", ""),
        "grantee": told.get("GranteePrincipal") or told.get("GranteeServicePrincipal", ""),
        "retiring": told.get("RetiringPrincipal") or told.get("RetiringServicePrincipal", ""),
        "operations": sorted(told["Operations"]),
        "constraints": told.get("Constraints") or {},
    }


def _is_of_a_service(grantee: str) -> bool:
    return grantee.endswith(".amazonaws.com") or ":assumed-role/aws:" in grantee
