"""How far a program can bring a key's settings, and what is left to a person. Pure.

A key's id and material are its identity, and KMS gives neither out: a key that is gone cannot be
made again, and what was encrypted with it is lost. As long as its deletion is only scheduled it can
be cancelled. What a key is for and made of was decided when it was made. A deletion is never
scheduled by a recovery, and no grant is taken back, since whatever runs with it would stop at once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ledgerkeep.configuration.items import canonical

Content = Mapping[str, Any]

MADE_WITH = ("usage", "spec", "origin", "key_store")
_SETTABLE = ("Enabled", "Disabled", "PendingDeletion")
"""States that a program can lead to Enabled or Disabled."""
GONE = (
    "{key} is gone: KMS gives no key material out, so it cannot be made again, and what was "
    "encrypted with it is lost unless it is stored elsewhere too. Make another key with these "
    "settings, move the aliases {aliases} to it, and store a new version"
)
SURPLUS = (
    "schedule the deletion of {key} by hand if nothing is encrypted with it any more (CloudTrail "
    "tells its last use): a recovery never does, since all that it encrypted would be lost"
)


def within_reach(live: Content, wanted: Content) -> dict[str, Any]:
    """What a program can make of a key: as wanted, except for what it cannot set."""
    found = {**wanted, **{name: live[name] for name in (*MADE_WITH, "multi_region")}}
    settable = live["state"] in _SETTABLE and wanted["state"] in ("Enabled", "Disabled")
    found["state"] = wanted["state"] if settable else live["state"]
    if _is_replica(live):
        found["rotation"] = live["rotation"]
    missing = [one for one in wanted["grants"] if one not in live["grants"]]
    found["grants"] = grants_in_order([*live["grants"], *missing])
    return found


def grants_in_order(grants: Iterable[Content]) -> list[Content]:
    """Grants have no order of their own; this is ours."""
    return sorted(grants, key=lambda one: canonical(dict(one)))


def left_over(key: str, live: Content, wanted: Content) -> list[str]:
    """What a person has to do, in words."""
    found = [
        f"its {name.replace('_', ' ')} cannot be changed: it is {live[name] or 'none'} and was "
        f"{wanted[name] or 'none'}"
        for name in MADE_WITH
        if live[name] != wanted[name]
    ]
    if live["multi_region"] != wanted["multi_region"]:
        found.append(f"make or remove replicas so that it has {_regions(wanted)}")
    if _is_replica(live) and live["rotation"] != wanted["rotation"]:
        found.append(
            f"set its rotation in {live['multi_region']['primary']}, where its primary key is"
        )
    if within_reach(live, wanted)["state"] != wanted["state"]:
        found.append(_state(live["state"], wanted["state"]))
    found += [
        f"revoke the grant {one['name'] or 'without a name'} to {one['grantee']}, when nothing "
        "runs with it"
        for one in live["grants"]
        if one not in wanted["grants"]
    ]
    return [f"{key}: {one}" for one in found]


def _state(live: str, wanted: str) -> str:
    if wanted == "PendingDeletion":
        return "its deletion was scheduled: schedule it by hand if that is still meant"
    if live == "PendingImport":
        return "import its key material again: KMS has none"
    return f"it is {live} and was {wanted}: see the key's page in the KMS console"


def _is_replica(live: Content) -> bool:
    """Its rotation is that of its primary key, and set there (EnableKeyRotation)."""
    return live["multi_region"].get("type") == "REPLICA"  # type: ignore[no-any-return]


def _regions(wanted: Content) -> str:
    replicas = wanted["multi_region"].get("replicas", [])
    return f"replicas in {', '.join(replicas)}" if replicas else "none"
