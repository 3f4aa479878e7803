"""What the bucket's lifecycle rules do to documents, against what they may do.

Two questions of different kind. What *must* happen is asked of the rules that hold for every
document: enabled, and with no narrower prefix, tag or size. What must *not* happen (a current
document expires or is archived, an old version goes too early) is asked of every enabled rule that
touches any document, since one rule for one tag is enough to lose something.
(AWS: S3 User Guide, Lifecycle configuration elements.)
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from ledgerkeep.documents.protection.lines import Line, Lines
from ledgerkeep.documents.protection.settings import Settings
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.policy.document_protection import DocumentLifecycle, Transition

Rule = Mapping[str, Any]

ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
"""Classes whose objects cannot be read before they were requested and waited for."""
NEVER = "never"


def compare_lifecycle(settings: Settings, wanted: Wanted) -> list[Line]:
    """What rules do to current documents, to old versions and to unfinished uploads."""
    lines = Lines(settings, "lifecycle")
    if lines.unseen("expiry of current documents", NEVER):
        return lines.found
    rules = [rule for rule in lines.plain.get("Rules", []) if is_enabled(rule)]
    touching = [rule for rule in rules if touches(rule, wanted.prefix)]
    covering = [rule for rule in touching if covers(rule, wanted.prefix)]
    _compare_current(lines, touching)
    lifecycle = wanted.protection.lifecycle
    if lifecycle is not None:
        if settings.store.moves_versions:
            _compare_transitions(lines, lifecycle.transitions, covering)
        else:
            for step in lifecycle.transitions:
                name = f"old versions to {step.storage_class}"
                lines.skip(name, _after(step.after.days), f"{settings.store.name} has none")
        _compare_expiry(lines, lifecycle, touching, covering)
        _compare_uploads(lines, lifecycle, covering)
    return lines.found


def is_enabled(rule: Rule) -> bool:
    """Whether the rule does anything."""
    return rule.get("Status") == "Enabled"


def touches(rule: Rule, prefix: str) -> bool:
    """Whether the rule may hold for a document."""
    own = prefix_of(rule)
    return own.startswith(prefix) or prefix.startswith(own)


def covers(rule: Rule, prefix: str) -> bool:
    """Whether the rule holds for every document."""
    narrow = {"Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"}
    chosen = rule.get("Filter", {})
    conditions = set(chosen) | set(chosen.get("And", {}))
    return prefix.startswith(prefix_of(rule)) and not conditions & (narrow | {"Tags"})


def prefix_of(rule: Rule) -> str:
    """The prefix that the rule is for; empty: the whole bucket.

    It stands in the filter, or, in rules of the old form, in the rule.
    """
    chosen = rule.get("Filter", {})
    places = (chosen.get("And", {}), chosen, rule)
    return next((place["Prefix"] for place in places if place.get("Prefix")), "")


def name_of(rule: Rule) -> str:
    """The rule, for people."""
    return f"rule {rule['ID']}" if rule.get("ID") else f"the rule for {prefix_of(rule) or 'all'}"


def _compare_current(lines: Lines, touching: list[Rule]) -> None:
    expiring = [
        f"{_when(rule['Expiration'])} by {name_of(rule)}"
        for rule in touching
        if expires_current(rule)
    ]
    lines.hold(
        "expiry of current documents", NEVER, " and ".join(expiring) or NEVER, ok=not expiring
    )
    moving = [
        f"{step['StorageClass']} {_when(step)} by {name_of(rule)}"
        for rule in touching
        for step in rule.get("Transitions", [])
    ]
    archived = any(
        step["StorageClass"] in ARCHIVES
        for rule in touching
        for step in rule.get("Transitions", [])
    )
    lines.hold(
        "move of current documents",
        NEVER,
        f"to {' and '.join(moving)}" if moving else NEVER,
        ok=not moving,
        severity="critical" if archived else "warning",
    )


def expires_current(rule: Rule) -> bool:
    """Whether current objects expire (delete markers with nothing behind them are none)."""
    expiration = rule.get("Expiration", {})
    return bool(expiration.get("Days") or expiration.get("Date"))


def _compare_transitions(lines: Lines, steps: Iterable[Transition], covering: list[Rule]) -> None:
    asked: dict[str, int] = {step.storage_class: step.after.days for step in steps}
    found: dict[str, int] = {}
    for rule in covering:
        for step in rule.get("NoncurrentVersionTransitions", []):
            name = step["StorageClass"]
            days = step.get("NoncurrentDays", 0)
            found[name] = min(days, found.get(name, days))
    for name in [*asked, *(found.keys() - asked.keys())]:
        lines.hold(
            f"old versions to {name}",
            _after(asked.get(name)),
            _after(found.get(name)),
            ok=asked.get(name) == found.get(name),
            severity="warning",
        )


def _compare_expiry(
    lines: Lines, lifecycle: DocumentLifecycle, touching: list[Rule], covering: list[Rule]
) -> None:
    """One that comes too early loses what must be kept; one too late costs money."""
    asked = days_of(lifecycle.expire_after)
    soonest = min(((_expiry(rule), rule) for rule in touching), default=None, key=_days_first)
    early = soonest is not None and soonest[0] is not None and (asked is None or soonest[0] < asked)
    if early and soonest is not None:
        found = f"{_after(soonest[0])} by {name_of(soonest[1])}"
        lines.hold("expiry of old versions", _after(asked), found, ok=False)
        return
    days = min((days for rule in covering if (days := _expiry(rule)) is not None), default=None)
    kept = max((_kept(rule) for rule in covering if _expiry(rule) == days), default=0)
    found = _after(days) + (f" but for the newest {kept}" if days is not None and kept else "")
    lines.hold(
        "expiry of old versions",
        _after(asked),
        found,
        ok=found == _after(asked),
        severity="warning",
    )


def _expiry(rule: Rule) -> int | None:
    days: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return days


def _kept(rule: Rule) -> int:
    count: int = rule.get("NoncurrentVersionExpiration", {}).get("NewerNoncurrentVersions", 0)
    return count


def _days_first(found: tuple[int | None, Rule]) -> float:
    return float("inf") if found[0] is None else found[0]


def _compare_uploads(lines: Lines, lifecycle: DocumentLifecycle, covering: list[Rule]) -> None:
    asked = days_of(lifecycle.abort_uploads_after)
    if asked is None:
        return
    ends = [rule.get("AbortIncompleteMultipartUpload", {}) for rule in covering]
    days = min((end["DaysAfterInitiation"] for end in ends if end), default=None)
    lines.hold(
        "end of uploads that were never completed",
        _after(asked),
        _after(days),
        ok=days == asked,
        severity="warning",
    )


def days_of(length: timedelta | None) -> int | None:
    """Whole days, which is how S3 counts."""
    return None if length is None else length.days


def _after(days: int | None) -> str:
    return NEVER if days is None else f"after {days} d"


def _when(step: Mapping[str, Any]) -> str:
    if step.get("Date"):
        return f"on {step['Date']:%Y-%m-%d}"
    return f"after {step.get('Days', 0)} d"
