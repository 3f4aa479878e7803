"""What a recovery of configuration says as evidence, in words; pure.

Nothing here names an evidence model: that room lies below. A finding and a criterion are plain
fields, as every task contributes them. None of them holds a value of the configuration.
"""

from datetime import datetime
from typing import Any

from ledgerkeep.configuration.recovery.plan import ConfigurationPlan
from ledgerkeep.configuration.recovery.verify import Verified

_NAMED = 10


def given_up(plan: ConfigurationPlan, now: datetime) -> float:
    """Seconds of changes that are gone back over: those since the version was stored."""
    return max(0.0, (now - plan.version_created_at).total_seconds())


def doubts_about(plan: ConfigurationPlan) -> list[str]:
    """What a person should look at before it is carried out."""
    doubts = [f"{one.key} is left to a person: {one.by_hand}" for one in plan.by_hand]
    if plan.unknown:
        doubts.append(
            f"{len(plan.unknown)} live things are not in the version and are left alone: "
            f"{named(plan.unknown)}"
        )
    return doubts


def findings_of(found: Verified) -> list[dict[str, str]]:
    """What a person should look at afterwards."""
    told = [(f"{one.key} is left to a person: {one.by_hand}", "warning") for one in found.by_hand]
    if found.others:
        told.append(
            (
                f"{len(found.others)} things differ that were the same when the plan was made: "
                f"{named(found.others)}",
                "warning",
            )
        )
    if found.wrong:
        told.append((f"not as the version holds them: {named(found.wrong)}", "critical"))
    told += [(words, "critical") for words in found.unsettled]
    return [{"what": what, "severity": severity} for what, severity in told]


def criteria_of(found: Verified) -> list[dict[str, Any]]:
    """Integrity by reading back, the application by what the service says."""
    total = len(found.right) + len(found.wrong)
    words = f"{len(found.right)} of {total} changes read back as the version holds them"
    if found.by_hand:
        words += f"; {len(found.by_hand)} are left to a person"
    return [
        {"name": "data integrity", "met": not found.wrong, "words": words},
        {
            "name": "application works",
            "met": not found.unsettled,
            "words": "; ".join(found.unsettled) or "the service finds nothing wrong",
        },
        {
            "name": "performance within range",
            "met": None,
            "words": "settings are no faster or slower for having been restored",
        },
    ]


def named(keys: list[str]) -> str:
    """The first few of them."""
    more = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {more} more" if more > 0 else "")
