"""Why a target cannot be reached, and which nearest ones can: the words of the refusal.

Whoever reads it is in the middle of an incident, so the message says the one true reason and the
hint gives targets that can be typed in as they stand.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.errors import TargetUnreachable
from ledgerkeep.recovery.reach import Milestone, Reach
from ledgerkeep.recovery.target import RecoveryTarget

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unreachable(
    snapshot: CatalogSnapshot,
    found: list[Reach],
    target: RecoveryTarget,
    now: datetime,
    broken: Sequence[str] = (),
) -> TargetUnreachable:
    """The refusal of a target that none of the reaches includes.

    :param found: the reaches of the backups that can be restored.
    :param broken: what the chains lack that would have led to the target.
    """
    if not found:
        reason = (
            "there is no base backup"
            + (f" on timeline {target.timeline}" if target.timeline else "")
            + f" of the cluster {snapshot.system_identifier}"
            + (" that can be restored" if broken else "")
        )
        hint = "take a full backup, or name another environment or timeline"
    else:
        reason = _name_reason(found, target) if target.name else _reason(found, target, now)
        hint = _nearest(found, target)
    return TargetUnreachable(
        f"{target} cannot be reached: {'; '.join([reason, *broken])}", hint=hint
    )


def _name_reason(found: list[Reach], target: RecoveryTarget) -> str:
    blocked = next((reach.blocked_by for reach in reversed(found) if reach.blocked_by), "")
    reason = f"the stored WAL that a backup leads to has no restore point {target.name!r}"
    return f"{reason}; {blocked}" if blocked else reason


def _reason(found: list[Reach], target: RecoveryTarget, now: datetime) -> str:
    if target.time is not None and target.time > now:
        return f"it lies in the future (now: {now.isoformat()})"
    scale = _Scale(target)
    wanted = scale.wanted
    before = [reach for reach in found if scale.start(reach) <= wanted]
    if not before:
        first = min(found, key=scale.start)
        return (
            f"it lies before the end of the first base backup, {first.backup.id} "
            f"({scale.text(scale.start(first))})"
        )
    furthest = max(before, key=scale.end)
    end = scale.text(scale.end(furthest))
    if furthest.blocked_by:
        return f"WAL after {end} is missing: {furthest.blocked_by}"
    return f"the shipped WAL ends at {end}"


def _nearest(found: list[Reach], target: RecoveryTarget) -> str:
    if target.name:
        names = sorted({point.name for reach in found for point in reach.restore_points})
        return f"known restore points: {', '.join(names)}" if names else "no restore point is known"
    scale = _Scale(target)
    ends = [
        scale.end(reach) for reach in found if scale.start(reach) <= scale.end(reach) < scale.wanted
    ]
    starts = [
        scale.start(reach)
        for reach in found
        if scale.wanted < scale.start(reach) <= scale.end(reach)
    ]
    near = [f"{scale.text(max(ends))} before it"] if ends else []
    near += [f"{scale.text(min(starts))} after it"] if starts else []
    return f"nearest that can be reached: {', '.join(near) or 'none of this kind'}"


class _Scale:
    """Times (as microseconds), positions and transactions, compared in one way."""

    def __init__(self, target: RecoveryTarget) -> None:
        self._kind = target.kind
        values = {"lsn": target.lsn, "xid": target.xid}
        self.wanted = _microseconds(target.time) if target.time else values[self._kind] or 0

    def start(self, reach: Reach) -> int:
        """The earliest that can be reached."""
        return self._value(reach.start)

    def end(self, reach: Reach) -> int:
        """The latest that can be reached: the transaction before the first not yet assigned."""
        return self._value(reach.end) - (1 if self._kind == "xid" else 0)

    def _value(self, milestone: Milestone) -> int:
        if self._kind == "time":
            return _microseconds(milestone.at)
        return milestone.lsn if self._kind == "lsn" else milestone.next_xid

    def text(self, value: int) -> str:
        """A value as a target is written."""
        if self._kind == "time":
            return (_EPOCH + timedelta(microseconds=value)).isoformat()
        return format_lsn(value) if self._kind == "lsn" else str(value)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
