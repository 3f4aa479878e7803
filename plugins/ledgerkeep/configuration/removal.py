"""Carrying the retention of versions out, so that nothing ever looks whole and is not.

The record of a version goes first: without it the rest does not exist, and what a killed removal
leaves looks like what an interrupted export left. Both are removed a day later. Object Lock is
not fought: a version of which any object is locked stays whole, and the day on which it may go is
told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.recovery.held import held_versions
from ledgerkeep.configuration.registry import configuration_of, settings_of
from ledgerkeep.configuration.retention import VersionDecision, plan_versions, unreferenced
from ledgerkeep.configuration.versions import ConfigurationVersion, StoredVersions

LEFT_BEHIND = timedelta(days=1)
"""What no record names is somebody's who is still writing, until it is older than that."""


@dataclass(frozen=True)
class LockedVersion:
    """A version that should go and may not yet."""

    version: ConfigurationVersion
    until: datetime | None
    """None: nobody knows, since the store has a legal hold on it."""

    @property
    def words(self) -> str:
        """For logs and evidence."""
        when = f"until {self.until:%Y-%m-%d}" if self.until else "without an end"
        return f"{self.version.source}/{self.version.id} stays under Object Lock {when}"


@dataclass
class RemovedVersions:
    """What came of the plan of one source."""

    source: str
    removed: list[VersionDecision] = field(default_factory=list)
    locked: list[LockedVersion] = field(default_factory=list)
    attachments: int = 0
    """Attachments that no version refers to any more, and that are gone."""
    left_behind: int = 0
    """Objects of interrupted exports and removals that are gone."""


def plan_source(versions: StoredVersions, source: str, *, now: datetime) -> list[VersionDecision]:
    """What stays and what goes of a source; touches nothing.

    :raises StorageError, CatalogError: what is stored cannot be read.
    """
    policy = versions.policy
    retention, keep = configuration_of(policy).retention, settings_of(source, policy).keep
    held = held_versions(versions, source, hold=retention.recovery_hold, now=now)
    return plan_versions(versions.all(source), retention, keep=keep, now=now, held=held)


def remove_versions(
    versions: StoredVersions, source: str, decisions: list[VersionDecision], *, now: datetime
) -> RemovedVersions:
    """Remove what a plan removes, and what nobody refers to.

    :raises StorageError: the store failed; the next run goes on where this one stopped.
    """
    done = RemovedVersions(source)
    for decision in decisions:
        if not decision.stays:
            _remove(versions, decision, done, now)
    gone = {one.version.id for one in done.removed}
    staying = [one.version for one in decisions if one.version.id not in gone]
    done.left_behind = _sweep(versions, source, decisions, now)
    done.attachments = _remove_attachments(versions, source, staying, now)
    return done


def _remove(
    versions: StoredVersions, decision: VersionDecision, done: RemovedVersions, now: datetime
) -> None:
    version, store = decision.version, versions.store
    prefix = _prefix(versions, version.source, version.id)
    locked = _lock_of(versions, version, now)
    if locked is not None:
        done.locked.append(locked)
        return
    record = f"{prefix}{keys.RECOVERY_POINT}"
    store.delete_prefix(record)
    if store.head(record) is not None:
        # An earlier version of the object has come to light, and is locked: it still exists.
        done.locked.append(LockedVersion(version, None))
        return
    store.delete_prefix(prefix)
    done.removed.append(decision)


def _lock_of(
    versions: StoredVersions, version: ConfigurationVersion, now: datetime
) -> LockedVersion | None:
    """The latest lock on any object of a version."""
    until: datetime | None = None
    for listed in versions.store.list(_prefix(versions, version.source, version.id)):
        head = versions.store.head(listed.key)
        if head is None:
            continue
        if head.legal_hold:
            return LockedVersion(version, None)
        if head.retention is not None and head.retention.until > now:
            until = max(until or now, head.retention.until)
    return LockedVersion(version, until) if until else None


def _sweep(
    versions: StoredVersions, source: str, decisions: list[VersionDecision], now: datetime
) -> int:
    """What has no record: an export was interrupted, or a removal was."""
    known = {one.version.id for one in decisions}
    return sum(
        versions.store.delete_prefix(
            _prefix(versions, source, version_id), older_than=now - LEFT_BEHIND
        )
        for version_id in versions.ids(source)
        if version_id not in known
        # It may have been recorded since the plan was made.
        and versions.store.head(f"{_prefix(versions, source, version_id)}{keys.RECOVERY_POINT}")
        is None
    )


def _remove_attachments(
    versions: StoredVersions, source: str, staying: list[ConfigurationVersion], now: datetime
) -> int:
    store = versions.store
    prefix = keys.configuration_attachments(versions.policy.environment, source)
    names = [one.key for one in store.list(prefix) if one.modified_at < now - LEFT_BEHIND]
    found: Iterator[int] = (store.delete_prefix(name) for name in unreferenced(names, staying))
    return sum(found)


def _prefix(versions: StoredVersions, source: str, version_id: str) -> str:
    return keys.configuration_version(versions.policy.environment, source, version_id)
