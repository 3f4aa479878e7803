"""The plan of a recovery of configuration: decided once, written down, and carried out as written.

The plan is an object in the backup bucket, canonical JSON with marks where the secrets are. What
is approved is its SHA-256, so the approval is of every value of it; nothing is planned anew
afterwards. Beside it lies the same as a person reads it. Only after the version was read whole and
its secrets were opened is there a plan: what cannot be restored is refused before anybody is asked.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.back_up import read_live, refuse_foreign
from ledgerkeep.configuration.items import Item, Marker, marks
from ledgerkeep.configuration.recovery.decide import Decided, PlannedChange, decide
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.source import Scope, Source
from ledgerkeep.configuration.versions import (
    ConfigurationVersion,
    StoredVersions,
    Values,
    Versions,
)
from ledgerkeep.errors import ForeignVersion, SealBroken, VersionMissing
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.storage.port import Retention, StoredObject

IN_SHORT = "recovery.json"
"""Written last: what has none was never shown to anybody."""


class ConfigurationPlan(Record):
    """What will be done, whole."""

    schema_version: Literal[1] = 1
    id: str
    made_at: UtcDatetime
    request: ConfigurationRequest
    scope: Scope
    version_id: str
    version_created_at: UtcDatetime
    content_sha256: str
    """Of the version."""
    changes: list[PlannedChange]
    """In the order in which they are carried out."""
    by_hand: list[PlannedChange]
    """What no program can do, with the words for the person who does it."""
    unknown: list[str]
    """Keys that are live and not in the version, and are left alone."""
    same: int
    outside: int
    """Not asked for."""

    @property
    def source(self) -> str:
        """The source's name."""
        return self.request.source

    def count(self, action: str) -> int:
        """Changes of one kind."""
        return sum(one.action == action for one in self.changes)


class PlanInShort(Record):
    """A plan as it passes from task to task: where it is, and what it comes to."""

    id: str
    source: str
    scope: Scope
    version_id: str
    version_created_at: UtcDatetime
    stored: StoredObject
    """The plan itself; its SHA-256 is what is approved."""
    readable: StoredObject
    """The same for a person, all of it."""
    created: int
    updated: int
    deleted: int
    by_hand: int
    unknown: int
    same: int

    @property
    def changes(self) -> int:
        """How many changes there are to carry out."""
        return self.created + self.updated + self.deleted


@dataclass(frozen=True)
class Planning:
    """A plan that was made."""

    plan: ConfigurationPlan
    short: PlanInShort


def make_plan(
    source: Source,
    versions: Versions,
    marker: Marker,
    request: ConfigurationRequest,
    *,
    now: Callable[[], datetime] = utc_now,
) -> Planning:
    """Read both sides, decide, write down; nothing is touched.

    :raises VersionMissing: there is no such version; the hint names the nearest.
    :raises ForeignVersion: it is of another environment, account or tenant.
    :raises ObjectMissing, ObjectCorrupt, SealBroken: it was changed since it was stored.
    :raises ConfigurationError: a name that is asked for is nowhere.
    :raises AwsRefused, ServiceRefused, StorageError:
    """
    from ledgerkeep.configuration.recovery.summary import readable

    version = choose(versions, request)
    stored, _ = read_version(source, versions, version)
    made_at = now()
    live = read_live(source.looking_for(stored), marker, {})
    plan = _plan(version, request, decide(stored, live.items, request, source), made_at)
    prefix = keys.configuration_recovery(versions.policy.environment, plan.id)
    short = _in_short(
        plan,
        stored=_write(versions, f"{prefix}plan.json", plan.to_json()),
        shown=_write(versions, f"{prefix}plan.md", readable(plan).encode()),
    )
    _write(versions, f"{prefix}{IN_SHORT}", short.to_json())
    return Planning(plan, short)


def choose(versions: StoredVersions, request: ConfigurationRequest) -> ConfigurationVersion:
    """The version that is meant.

    :raises VersionMissing: there is none; the hint names the nearest.
    """
    if request.version_id is not None:
        return versions.get(request.source, request.version_id)
    if request.at is not None:
        return versions.at(request.source, request.at)
    newest = versions.newest(request.source)
    if newest is None:
        raise VersionMissing(
            f"{request.source} has no version yet",
            hint=f"configuration_backup has never exported {request.source}; let it run",
        )
    return newest


def read_version(
    source: Source, versions: Versions, version: ConfigurationVersion
) -> tuple[dict[str, Item], Values]:
    """What a version holds, after it was shown to be of this account, whole, and to open.

    :raises ForeignVersion, ObjectMissing, ObjectCorrupt, SealBroken:
    """
    if version.scope.environment != versions.policy.environment:
        raise ForeignVersion(
            f"version {version.id} of {version.source} is of {version.scope.describe()}, and this "
            f"is {versions.policy.environment}",
            hint="somebody moved objects between buckets; restore it where it belongs",
        )
    refuse_foreign(version, source.scope())
    items, values = versions.items(version), versions.values(version)
    for key, item in items.items():
        if not set(marks(item)) <= values.get(key, {}).keys():
            raise SealBroken(
                f"version {version.id} of {version.source} lacks the value of a secret of {key}",
                hint="do not restore from it; use another version",
            )
    return items, values


def read_plan(versions: Versions, short: PlanInShort) -> ConfigurationPlan:
    """The plan, after its bytes were found to be those that were written.

    :raises ObjectMissing, ObjectCorrupt, StorageError:
    """
    body = b"".join(bytes(chunk) for chunk in versions.store.read(short.stored))
    return ConfigurationPlan.from_json(body)


def evidence_lock(versions: Versions) -> Retention | None:
    """Plans and journals are evidence, and locked like it."""
    lock = versions.policy.storage.object_lock
    if lock is None:
        return None
    return Retention(mode=lock.mode, until=utc_now() + lock.evidence)


def _write(versions: Versions, key: str, body: bytes) -> StoredObject:
    with versions.store.writer(key, retention=evidence_lock(versions)) as writer:
        writer.write(body)
        return writer.commit()


def _plan(
    version: ConfigurationVersion,
    request: ConfigurationRequest,
    decided: Decided,
    made_at: datetime,
) -> ConfigurationPlan:
    return ConfigurationPlan(
        id=f"{made_at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        made_at=made_at,
        request=request,
        scope=version.scope,
        version_id=version.id,
        version_created_at=version.created_at,
        content_sha256=version.content_sha256,
        changes=decided.changes,
        by_hand=decided.by_hand,
        unknown=decided.unknown,
        same=decided.same,
        outside=decided.outside,
    )


def _in_short(plan: ConfigurationPlan, *, stored: StoredObject, shown: StoredObject) -> PlanInShort:
    return PlanInShort(
        id=plan.id,
        source=plan.source,
        scope=plan.scope,
        version_id=plan.version_id,
        version_created_at=plan.version_created_at,
        stored=stored,
        readable=shown,
        created=plan.count("create"),
        updated=plan.count("update"),
        deleted=plan.count("delete"),
        by_hand=len(plan.by_hand),
        unknown=len(plan.unknown),
        same=plan.same,
    )
