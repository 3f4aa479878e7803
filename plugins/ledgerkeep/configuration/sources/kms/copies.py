"""Copies of keys for a restore test, told from the originals by name, and removed after it.

KMS has no corner of its own for them: a copy is a key like any other, which costs by the hour until
its deletion is scheduled, and stays for the shortest window there is, seven days, without a price.
So the policy says how many a test may make. A copy has other material than its original, and
nothing is ever encrypted with it.

An alias tells which original it is a copy of, a tag to which test it belongs; its aliases and the
keys of its tags have a prefix, so that nothing that goes by names takes it for the original.
(KMS developer guide, Deleting AWS KMS keys; AWS Key Management Service pricing.)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledgerkeep.configuration.items import canonical
from ledgerkeep.configuration.sources.kms.api import Api, Described
from ledgerkeep.configuration.sources.kms.reach import Content
from ledgerkeep.configuration.sources.kms.writing import put_policy
from ledgerkeep.errors import ConfigurationError

MARK = "ledgerkeep-restore-test"
"""The tag that every copy has, and no original; its value is the test's label."""
_WINDOW_DAYS = 7
_ALIAS = "alias/"


@dataclass(frozen=True)
class Copies:
    """The copies of one test."""

    api: Api
    label: str
    most: int

    def why_not(self, key: str, content: Content) -> str:
        """Why a key has no copy; empty: it has one."""
        if content["origin"] != "AWS_KMS":
            return f"{key} has key material from elsewhere, which a copy would not have"
        if content["multi_region"]:
            return f"{key} is of several regions: a copy would need replicas in each of them"
        if content["state"] not in ("Enabled", "Disabled"):
            return f"{key} is {content['state']}: a copy would need to be so too"
        return ""

    def originals(self, aliases: Mapping[str, list[str]]) -> dict[str, str]:
        """Copy's id → the id of its original."""
        return {
            key: name.removeprefix(self._of(""))
            for key, names in aliases.items()
            for name in names
            if name.startswith(self._of(""))
        }

    def make(self, original: str, wanted: Content) -> str:
        """The id of the copy of a key; it is made where there is none.

        :raises ConfigurationError: the test has as many as the policy lets it.
        """
        copies = self.originals(self.api.aliases())
        for copy, of in copies.items():
            if of == original:
                return copy
        if len(copies) >= self.most:
            raise ConfigurationError(
                f"a restore test makes no more than {self.most} keys, and {original} is one more",
                hint="raise configuration.sources.kms.test_keys; keys cost while the test runs",
            )
        made = self.api.send(
            f"make a copy of {original}",
            lambda: self.api.kms.create_key(
                KeyUsage=wanted["usage"],
                KeySpec=wanted["spec"],
                Policy=canonical(wanted["policy"]).decode(),
                BypassPolicyLockoutSafetyCheck=False,
                Tags=[{"TagKey": MARK, "TagValue": self.label}],
            ),
        )["KeyMetadata"]["KeyId"]
        self.api.send(
            f"name the copy of {original}",
            lambda: self.api.kms.create_alias(AliasName=self._of(original), TargetKeyId=made),
        )
        return made

    def outward(self, original: str, content: Content) -> dict[str, Any]:
        """The settings of an original, as its copy has them."""
        return {
            **content,
            "aliases": sorted(
                [self._of(original), *(self._named(one) for one in content["aliases"])]
            ),
            "tags": {
                MARK: self.label,
                **{f"{self._prefix}{key}": one for key, one in content["tags"].items()},
            },
        }

    def inward(self, content: Content) -> dict[str, Any]:
        """The settings of a copy, as its original has them."""
        aliases = [one for one in content["aliases"] if not one.startswith(self._of(""))]
        tags = {key: one for key, one in content["tags"].items() if key != MARK}
        return {
            **content,
            "aliases": sorted(f"{_ALIAS}{one.removeprefix(self._named(''))}" for one in aliases),
            "tags": {key.removeprefix(self._prefix): one for key, one in tags.items()},
        }

    def remove(self) -> None:
        """Schedule the deletion of every copy, also of one that was made and not named any more."""
        aliases = self.api.aliases()
        for described in self.api.keys(aliases, only=self._may_be_ours):
            key_id = described["KeyId"]
            if self.api.tags(key_id).get(MARK) != self.label:
                continue
            if described["KeyState"] != "PendingDeletion":
                self._schedule(described)
            for name in aliases.get(key_id, []):
                self.api.send(
                    f"remove {name}",
                    lambda name=name: self.api.kms.delete_alias(AliasName=name),  # type: ignore[misc]
                )

    def _may_be_ours(self, aliases: list[str]) -> bool:
        return not aliases or bool(self.originals({"": aliases}))

    def _schedule(self, described: Described) -> None:
        """The copied policy may let nobody delete the key; it lets us set another policy."""
        put_policy(self.api, described["KeyId"], json.dumps(_plain_policy(described["Arn"])))
        self.api.send(
            f"schedule the deletion of the copy {described['KeyId']}",
            lambda: self.api.kms.schedule_key_deletion(
                KeyId=described["KeyId"], PendingWindowInDays=_WINDOW_DAYS
            ),
        )

    @property
    def _prefix(self) -> str:
        return f"{MARK}-{self.label}-"

    def _of(self, original: str) -> str:
        return f"{_ALIAS}{self._prefix}of/{original}"

    def _named(self, alias: str) -> str:
        return f"{_ALIAS}{self._prefix}as/{alias.removeprefix(_ALIAS)}"


def _plain_policy(arn: str) -> dict[str, Any]:
    """What KMS gives a new key: the account decides by IAM."""
    _, partition, _, _, account, *_ = arn.split(":")
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
