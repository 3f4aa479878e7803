"""Versions that a recovery goes back to: retention leaves them while it may still need them.

A plan waits for its approval, and what it changes makes new versions, which would push the one that
it goes back to out of those that are kept. So a version stays for a time from each plan on that
names it; there is nothing to release.
"""

from datetime import datetime, timedelta

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.recovery.plan import IN_SHORT, PlanInShort
from ledgerkeep.configuration.versions import StoredVersions


def held_versions(
    versions: StoredVersions, source: str, *, hold: timedelta, now: datetime
) -> dict[str, str]:
    """Id of a version → id of the newest recovery that goes back to it.

    :raises StorageError:
    """
    environment = versions.policy.environment
    oldest = f"{now - hold:%Y%m%dT%H%M%SZ}"
    found: dict[str, str] = {}
    for recovery_id in versions.store.list_directories(keys.configuration_recoveries(environment)):
        key = f"{keys.configuration_recovery(environment, recovery_id)}{IN_SHORT}"
        if recovery_id < oldest or versions.store.head(key) is None:
            continue
        short = PlanInShort.from_json(versions.store.get(key))
        if short.source == source:
            found[short.version_id] = short.id
    return found
