"""Which versions of a source stay, and why: decided purely, from the policy and the clock.

A version says what was live until the next one was stored. So "the last 8 weeks" are the versions
that were live within them: also the one that was stored before and lasted into them, or the state
of their first days would be lost. The newest version stays whatever the figures say: it is what
is live.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledgerkeep.configuration.versions import ConfigurationVersion
from ledgerkeep.policy.configuration import ConfigurationRetention
from ledgerkeep.policy.values import format_duration


@dataclass(frozen=True)
class VersionDecision:
    """What becomes of one version."""

    version: ConfigurationVersion
    stays: bool
    because: str


def plan_versions(
    versions: Sequence[ConfigurationVersion],
    retention: ConfigurationRetention,
    *,
    keep: timedelta | None,
    now: datetime,
    held: Mapping[str, str] = {},
) -> list[VersionDecision]:
    """What stays and what goes of one source.

    :param versions: all of it, oldest first.
    :param keep: the source's own period, if it has one.
    :param held: id of a version → id of the recovery that goes back to it.
    """
    decisions = []
    for at, version in enumerate(versions):
        follower = versions[at + 1] if at + 1 < len(versions) else None
        reason = _reason(version, follower, len(versions) - at, retention, keep, now)
        if not reason and version.id in held:
            reason = f"the recovery {held[version.id]} goes back to it"
        because = reason or _why_not(retention, keep)
        decisions.append(VersionDecision(version, bool(reason), because))
    return decisions


def unreferenced(names: Iterable[str], kept: Iterable[ConfigurationVersion]) -> list[str]:
    """Keys of attachments that no version that stays refers to.

    :param names: keys of all attachments of the source.
    """
    referred: Collection[str] = {
        one.key for version in kept for one in version.attachments.values()
    }
    return [name for name in names if name not in referred]


def describe_decisions(source: str, decisions: Sequence[VersionDecision]) -> list[str]:
    """The plan in words: how much stays, then each version that goes."""
    gone = [one for one in decisions if not one.stays]
    lines = [f"{source}: {len(decisions) - len(gone)} versions stay, {len(gone)} go"]
    return lines + [f"  remove {one.version.id}: {one.because}" for one in gone]


def _reason(
    version: ConfigurationVersion,
    follower: ConfigurationVersion | None,
    place: int,
    retention: ConfigurationRetention,
    keep: timedelta | None,
    now: datetime,
) -> str:
    """Why it stays; empty: it does not.

    :param place: 1 for the newest.
    """
    if follower is None:
        return "it is the newest"
    if place <= retention.versions:
        return f"it is one of the newest {retention.versions}"
    if version.major and version.created_at > now - retention.major:
        return f"it is a major version ({version.major})"
    if keep is not None and follower.created_at > now - keep:
        return f"it was live within the last {format_duration(keep)}"
    return ""


def _why_not(retention: ConfigurationRetention, keep: timedelta | None) -> str:
    reasons = [
        f"there are {retention.versions} newer ones",
        f"it is no major version of the last {format_duration(retention.major)}",
    ]
    if keep is not None:
        reasons.append(f"it was not live within the last {format_duration(keep)}")
    return f"{', '.join(reasons[:-1])} and {reasons[-1]}"
