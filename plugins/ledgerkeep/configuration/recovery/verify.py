"""After a recovery: everything is read back and compared again, and the service is asked.

That a change was accepted is not that it is live. So the comparison that made the plan is made
again, of what is live now; then the source verifies what reading back does not show.
"""

from dataclasses import dataclass

from ledgerkeep.configuration.back_up import read_live
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.recovery.carry_out import same_content
from ledgerkeep.configuration.recovery.decide import PlannedChange, decide
from ledgerkeep.configuration.recovery.plan import ConfigurationPlan, read_version
from ledgerkeep.configuration.source import Source
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.errors import RecoveryIncomplete

_SHOWN = 5


@dataclass(frozen=True)
class Verified:
    """What is live after a recovery."""

    right: list[str]
    """Keys of the plan that are as the version holds them."""
    wrong: list[str]
    """Keys of the plan that are not."""
    others: list[str]
    """Keys that differ now although the plan found them the same."""
    by_hand: list[PlannedChange]
    """What a person has still to do."""
    unsettled: list[str]
    """What the service says is wrong, in words."""


def verify(source: Source, versions: Versions, marker: Marker, plan: ConfigurationPlan) -> Verified:
    """Read back, compare, ask.

    :raises ConfigurationError, AwsRefused, ServiceRefused, StorageError:
    """
    version = versions.get(plan.source, plan.version_id)
    stored, _ = read_version(source, versions, version)
    live = read_live(source.looking_for(stored), marker, {}).items
    request = plan.request.model_copy(update={"only": ()})
    covered = {key: item for key, item in live.items() if plan.request.covers(key)}
    wanted = {key: item for key, item in stored.items() if plan.request.covers(key)}
    again = decide(wanted, covered, request, source)
    planned = {one.key for one in plan.changes}
    return Verified(
        right=[one.key for one in plan.changes if same_content(live.get(one.key), one.after)],
        wrong=[one.key for one in plan.changes if not same_content(live.get(one.key), one.after)],
        others=[one.key for one in again.changes if one.key not in planned],
        by_hand=again.by_hand,
        unsettled=source.settled([one.key for one in plan.changes]),
    )


def refuse_unverified(found: Verified) -> None:
    """Fail when what was changed is not as it was wanted, or does not work.

    :raises RecoveryIncomplete:
    """
    if found.wrong:
        raise RecoveryIncomplete(
            f"{len(found.wrong)} of {len(found.right) + len(found.wrong)} changes read otherwise "
            f"after they were applied: {', '.join(found.wrong[:_SHOWN])}",
            hint="somebody or something changes them at the same time; look who, then start the "
            "recovery again",
        )
    if found.unsettled:
        raise RecoveryIncomplete(
            f"everything is as the version holds it, but {'; '.join(found.unsettled[:_SHOWN])}",
            hint="the configuration is restored; what depends on it is not well yet: look there, "
            "then clear the task verify",
        )
