"""Stored versions: what a source held at one moment, immutable, described last.

A version is the items in their canonical form (`items.zst`), the values of their secrets (`sealed`,
only where there are any), and `recovery-point.json`, which is written when both have been read
back. What is too large for an item lies apart by the item's digest, so that versions in which it
did not change share it. A version without its `recovery-point.json` does not exist.
"""

import json
import re
import secrets
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import ProofLevel
from ledgerkeep.configuration.items import Item, canonical, content_digest
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.source import Scope
from ledgerkeep.errors import CatalogError, ObjectCorrupt, SealBroken, VersionMissing
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.compression import compress, compress_bytes, decompress, decompress_bytes
from ledgerkeep.storage.port import ObjectStore, Retention, StoredObject

_ID = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{6}")
Values = dict[str, dict[str, str]]
"""Item's key → JSON pointer → value of a secret."""


class VersionFacts(Record):
    """What is known of a version before it is stored."""

    schema_version: Literal[1] = 1
    kind: Literal["configuration"] = "configuration"
    id: str
    source: str
    scope: Scope
    created_at: UtcDatetime
    made_by: str
    """Program and version, e.g. `ledgerkeep 0.1.0`."""
    run: str
    """The run (`dag_id/run_id`, or `cli`) that exported it."""
    major: str = ""
    """Why it is a major version, such as the name of a release; empty: it is none."""
    changed_at: UtcDatetime | None = None
    """When the change was made that led to it, where an event said so."""
    content_sha256: str
    """Of everything the source holds, in canonical form."""
    item_count: int
    attachments: dict[str, StoredObject] = {}
    """Item's key → bytes that belong to it."""
    previous_id: str | None
    created: int
    """Items that the previous version does not have."""
    updated: int
    deleted: int


class ConfigurationVersion(VersionFacts):
    """What describes one version."""

    items: StoredObject
    sealed: StoredObject | None = None
    """None: there is no secret in it."""
    sealed_with: str = ""
    """ARN of the KMS key."""
    secret_count: int = 0


@dataclass(frozen=True)
class Draft:
    """What is to be stored as a version."""

    facts: VersionFacts
    items: Mapping[str, Item]
    values: Values


@dataclass(frozen=True)
class StoredVersions:
    """The versions of one environment's sources, as they are without their secrets' values."""

    store: ObjectStore
    policy: Policy

    def ids(self, source: str) -> list[str]:
        """Ids below a source's prefix, oldest first; interrupted ones are among them."""
        prefix = keys.configuration_versions(self.policy.environment, source)
        return [name.rstrip("/").rsplit("/", 1)[-1] for name in self.store.list_directories(prefix)]

    def all(self, source: str) -> list[ConfigurationVersion]:
        """Every version of a source, oldest first."""
        found = (self._read(source, version_id) for version_id in self.ids(source))
        return [version for version in found if version is not None]

    def newest(self, source: str) -> ConfigurationVersion | None:
        """The newest version of a source, or None where there is none yet."""
        for version_id in reversed(self.ids(source)):
            if (version := self._read(source, version_id)) is not None:
                return version
        return None

    def get(self, source: str, version_id: str) -> ConfigurationVersion:
        """One version.

        :raises VersionMissing: there is none with that id; the hint names the nearest.
        """
        version = self._read(source, version_id) if version_id in self.ids(source) else None
        if version is None:
            raise VersionMissing(
                f"{source} has no version {version_id}",
                hint=_choose(source, self.all(source), version_id),
            )
        return version

    def at(self, source: str, moment: datetime) -> ConfigurationVersion:
        """The version that was the newest at a moment.

        :raises VersionMissing: there was none yet; the hint names the oldest.
        """
        known = self.all(source)
        before = [one for one in known if one.created_at <= moment]
        if not before:
            raise VersionMissing(
                f"{source} had no version yet at {moment:%Y-%m-%d %H:%M:%S%z}",
                hint=_choose(source, known, ""),
            )
        return before[-1]

    def items(self, version: ConfigurationVersion) -> dict[str, Item]:
        """What a version holds, by key, with marks where the secrets are.

        :raises ObjectMissing, ObjectCorrupt: it was removed or changed since it was stored.
        """
        body = b"".join(decompress(self.store.read(version.items), version.items.key))
        found = {item.key: item for item in map(Item.from_json, body.splitlines())}
        if content_digest(found.values()) != version.content_sha256:
            raise ObjectCorrupt(
                f"the items of version {version.id} of {version.source} are not those that its "
                "record names",
                hint="do not restore from it; use another version",
            )
        return found

    def attachment(self, version: ConfigurationVersion, key: str) -> Iterator[bytes]:
        """The bytes that belong to an item."""
        for chunk in self.store.read(version.attachments[key]):
            yield bytes(chunk)

    def read_attachments(self, version: ConfigurationVersion, keys: Iterable[str]) -> None:
        """Read the bytes that belong to some items, each of them once.

        :raises ObjectMissing, ObjectCorrupt: they were removed or changed since they were stored.
        """
        named = (key for key in keys if key in version.attachments)
        for key in {version.attachments[one].key: one for one in named}.values():
            for _ in self.attachment(version, key):
                pass  # only at its end is the hash compared

    def proofs(self, version: ConfigurationVersion) -> list[ConfigurationProof]:
        """What was shown of a version, oldest first."""
        prefix = keys.configuration_proofs(self.policy.environment, version.source, version.id)
        return [
            ConfigurationProof.from_json(self.store.get(one.key)) for one in self.store.list(prefix)
        ]

    def level(self, version: ConfigurationVersion) -> ProofLevel:
        """How far a version has been shown to be good."""
        shown = (ProofLevel[one.level.upper()] for one in self.proofs(version))
        return max(shown, default=ProofLevel.RECORDED)

    def _read(self, source: str, version_id: str) -> ConfigurationVersion | None:
        prefix = keys.configuration_version(self.policy.environment, source, version_id)
        key = f"{prefix}{keys.RECOVERY_POINT}"
        if self.store.head(key) is None:
            return None
        try:
            return ConfigurationVersion.from_json(self.store.get(key))
        except ValidationError as problem:
            raise CatalogError(
                f"{self.store.location}/{key} is no record of a version",
                hint="it was written by another program or a newer Ledgerkeep",
            ) from problem


@dataclass(frozen=True)
class Versions(StoredVersions):
    """The same with the key to their secrets: what a new one is written with."""

    sealer: Sealer

    def values(self, version: ConfigurationVersion) -> Values:
        """The values of a version's secrets, decrypted in memory.

        :raises SealBroken: they cannot be opened.
        :raises ObjectMissing, ObjectCorrupt: they were removed or changed since they were stored.
        """
        if version.sealed is None:
            return {}
        sealed = b"".join(bytes(chunk) for chunk in self.store.read(version.sealed))
        plain = self.sealer.open(
            sealed,
            self._context(version),
            key_arn=version.sealed_with,
            what=f"the secrets of version {version.id} of {version.source}",
        )
        found: Values = json.loads(decompress_bytes(plain, version.sealed.key))
        return found

    def prove(self, proof: ConfigurationProof) -> None:
        """Write down what was shown of a version."""
        key = keys.configuration_proof(
            self.policy.environment, proof.source, proof.version_id, proof.shown_at, proof.level
        )
        self.store.put(key, proof.to_json(), retention=self.lock(), content_type="application/json")

    def write(self, draft: Draft) -> ConfigurationVersion:
        """Store a version: items and secrets, both read back, then what describes them."""
        facts = draft.facts
        prefix = keys.configuration_version(self.policy.environment, facts.source, facts.id)
        lines = (one.to_json() + b"\n" for _, one in sorted(draft.items.items()))
        record = ConfigurationVersion(
            **facts.model_dump(),
            items=self._put(f"{prefix}items.zst", compress(lines, level=self._level)),
            **self._seal(facts, draft.values, prefix),
        )
        if self.items(record) != dict(draft.items) or self.values(record) != draft.values:
            raise SealBroken(
                f"version {record.id} of {record.source} reads otherwise than it was written",
                hint="nothing was recorded; look at the object store, then run it again",
            )
        self.store.put(
            f"{prefix}{keys.RECOVERY_POINT}",
            record.to_json(),
            retention=self.lock(),
            content_type="application/json",
        )
        return record

    def attach(self, source: str, name: str, chunks: Iterable[bytes]) -> StoredObject:
        """Store what belongs to an item.

        :param name: made of the item's digest.
        """
        return self._put(
            f"{keys.configuration_attachments(self.policy.environment, source)}{name}", chunks
        )

    def lock(self) -> Retention | None:
        """The Object Lock of what is stored now."""
        lock = self.policy.storage.object_lock
        if lock is None or lock.configuration is None:
            return None
        return Retention(mode=lock.mode, until=utc_now() + lock.configuration)

    def _seal(self, facts: VersionFacts, values: Values, prefix: str) -> dict[str, Any]:
        if not values:
            return {}
        plain = compress_bytes(canonical_values(values), level=self._level)
        sealed = self.sealer.seal(plain, self._context(facts))
        return {
            "sealed": self._put(f"{prefix}sealed", [sealed]),
            "sealed_with": self.sealer.key_arn,
            "secret_count": sum(len(one) for one in values.values()),
        }

    def _put(self, key: str, chunks: Iterable[bytes]) -> StoredObject:
        with self.store.writer(key, retention=self.lock()) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    @property
    def _level(self) -> int:
        return self.policy.storage.compression_level

    def _context(self, version: VersionFacts) -> dict[str, str]:
        return {
            "environment": self.policy.environment,
            "source": version.source,
            "version": version.id,
        }


def is_version_id(text: str) -> bool:
    """Whether this is written as `new_version_id` writes it."""
    return _ID.fullmatch(text) is not None


def new_version_id(now: datetime) -> str:
    """Ids sort like their moments."""
    return f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(3)}"


def canonical_values(values: Values) -> bytes:
    """The one text of all secrets of a version."""
    return canonical({key: dict(one) for key, one in values.items()})


def _choose(source: str, known: list[ConfigurationVersion], wanted: str) -> str:
    """Which version may have been meant: those right before and after it."""
    if not known:
        return f"configuration_backup has never exported {source}; let it run"
    ids = [one.id for one in known]
    after = bisect(ids, wanted)
    nearest = " and ".join(ids[max(0, after - 1) : after + 1])
    return f"the nearest of {len(ids)} stored: {nearest}"
