"""KMS: the settings of customer-managed keys; key material never, KMS gives it to nobody.

An item is a key by its id, with its aliases in it: the id is the one thing of a key that no other
can ever have, so an alias that was led to another key is told as what it is, a change of two keys.
KMS keeps no version of a key's settings, so every export reads all of them.

What a recovery can do is set a living key's policy, rotation, description, tags, aliases, missing
grants and whether it is enabled, and cancel a deletion that is only scheduled. What it cannot do
it says (`reach`).

    api        what KMS says of keys, in canonical form
    reach      how far a program can bring a key, and what is left to a person; pure
    writing    one key's settings put back
    copies     keys made for a restore test, and removed
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.settings import account_of, connection_of
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.configuration.sources.kms.api import Api, Described
from ledgerkeep.configuration.sources.kms.copies import MARK, Copies
from ledgerkeep.configuration.sources.kms.reach import GONE, SURPLUS, left_over, within_reach
from ledgerkeep.configuration.sources.kms.writing import cancel_deletion, put
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import KmsKeys as Settings
from ledgerkeep.policy.model import Policy

_PENDING = "PendingDeletion"


def open_source(access: Access, settings: Settings, policy: Policy) -> "Kms":
    """The keys of a policy."""
    connection, region = connection_of(settings, policy)
    return Kms(
        api=Api(access.client("kms", connection, region)),
        settings=settings,
        owner=account_of(access, settings, policy),
    )


@dataclass(frozen=True)
class Kms(Source):
    """Customer-managed keys of one account and region."""

    name: ClassVar[str] = "kms"
    why_no_place: ClassVar[str] = (
        "the policy lets a restore test make no key (configuration.sources.kms.test_keys is 0)"
    )
    api: Api = field(repr=False)
    settings: Settings
    owner: Scope
    copies: Copies | None = None
    """Of an isolated place."""

    def scope(self) -> Scope:
        """The AWS account, and the region."""
        return self.owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Every key that the policy means, by id."""
        aliases = self.api.aliases()
        originals = self.copies.originals(aliases) if self.copies else {}
        for described in self.api.keys(aliases, only=self._may_be_meant):
            key_id = str(described["KeyId"])
            named = aliases.get(key_id, [])
            if self.copies and key_id not in originals:
                continue
            tags = self.api.tags(key_id)
            if not self.copies and not self._is_meant(named, tags):
                continue
            content = self.api.content(described, named, tags)
            yield Found(originals.get(key_id, key_id), self._inward(content))

    def apply(self, change: Change) -> None:
        """Set one key's settings.

        :raises ConfigurationError: the key is gone, or something is left to a person; all that can
            be done without is done.
        """
        if change.wanted is None:
            raise ConfigurationError(
                f"no program deletes the key {change.key}", hint=SURPLUS.format(key=change.key)
            )
        key_id = self.copies.make(change.key, change.wanted) if self.copies else change.key
        wanted = self.copies.outward(change.key, change.wanted) if self.copies else change.wanted
        described = self.api.describe(key_id)
        if described is None:
            raise ConfigurationError(
                f"the key {change.key} is gone", hint=_gone(change.key, change.wanted)
            )
        if described["KeyState"] == _PENDING and wanted["state"] != _PENDING:
            cancel_deletion(self.api, key_id)
            described = self.api.describe(key_id) or described
        live = self._live(described)
        put(self.api, key_id, live, within_reach(live, wanted))
        left = left_over(change.key, live, wanted)
        if left:
            raise ConfigurationError(
                f"not all of the key {change.key} can be put back by a program",
                hint="; ".join(left),
            )

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """Keys that get an alias come first: it is moved, and leads to a key at every moment."""
        return sorted(super().order(changes), key=lambda one: not _gains_alias(one))

    def by_hand(self, change: Planned) -> str:
        """Keys that are gone or too many, and what of a key no program can set, if nothing else."""
        if change.after is None:
            return SURPLUS.format(key=change.key)
        wanted: Mapping[str, Any] = change.after.content
        if self.copies:
            return self.copies.why_not(change.key, wanted)
        if change.before is None:
            return _gone(change.key, wanted) if self.api.describe(change.key) is None else ""
        live: Mapping[str, Any] = change.before.content
        if within_reach(live, wanted) != live:
            return ""
        return "; ".join(left_over(change.key, live, wanted))

    def beside(self, label: str) -> "Kms | None":
        """Copies of the keys; None where the policy lets a test make none."""
        if not self.settings.test_keys:
            return None
        return replace(self, copies=Copies(self.api, label, self.settings.test_keys))

    def clear(self) -> None:
        """Schedule the deletion of the copies, in the seven days that KMS wants at least."""
        if self.copies is None:
            super().clear()
        else:
            self.copies.remove()

    def _may_be_meant(self, aliases: list[str]) -> bool:
        """Before its tags are known: only its own policy may let us see those."""
        if self.copies:
            return bool(self.copies.originals({"": aliases}))
        if self.settings.tags or not self.settings.aliases:
            return True
        return self._is_meant(aliases, {})

    def _is_meant(self, aliases: list[str], tags: Mapping[str, str]) -> bool:
        if MARK in tags:
            return False
        if not self.settings.aliases and not self.settings.tags:
            return True
        by_alias = any(one.startswith(tuple(self.settings.aliases)) for one in aliases)
        by_tags = bool(self.settings.tags) and self.settings.tags.items() <= tags.items()
        return by_alias or by_tags

    def _live(self, described: Described) -> dict[str, Any]:
        key_id = described["KeyId"]
        named = self.api.aliases().get(key_id, [])
        return self.api.content(described, named, self.api.tags(key_id))

    def _inward(self, content: dict[str, Any]) -> dict[str, Any]:
        return self.copies.inward(content) if self.copies else content


def _gone(key: str, wanted: Mapping[str, Any]) -> str:
    return GONE.format(key=key, aliases=", ".join(wanted["aliases"]) or "(none)")


def _gains_alias(change: Planned) -> bool:
    if change.before is None or change.after is None:
        return False
    before, after = change.before.content["aliases"], change.after.content["aliases"]
    return bool(set(after) - set(before))  # type: ignore[arg-type]
