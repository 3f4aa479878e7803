"""A retention plan, and what came of it, in words: for logs, evidence and the shell. Pure."""

from collections.abc import Iterable

from ledgerkeep.catalog.removal import Locked, Removal
from ledgerkeep.catalog.retention import Decision, RetentionPlan
from ledgerkeep.progress import format_bytes

_MANY = {"wal": "stretches of WAL", "history": "timeline histories"}
_ONE = {"wal": "stretch of WAL", "history": "timeline history"}


def describe_plan(plan: RetentionPlan) -> list[str]:
    """How much stays and goes, by reason; then each removal."""
    gone = plan.removed
    size = format_bytes(sum(one.stored_bytes for one in gone))
    lines = [
        f"cluster {plan.system_identifier}, as of {plan.now:%Y-%m-%d %H:%M:%S}Z: "
        f"{len(plan.kept)} stay, {len(gone)} go ({size})"
    ]
    for (what, kind, rule), count in plan.counts().items():
        lines.append(f"  {what} {_counted(count, kind)}: {rule}")
    lines += [f"  remove {one.kind} {one.id}: {_because(one)}" for one in gone]
    return lines + [f"  note: {notice}" for notice in plan.notices]


def removed_in_groups(decisions: Iterable[Decision]) -> list[str]:
    """One line for all of a kind that go for the same reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in decisions:
        groups.setdefault((one.kind, _because(one)), []).append(one.id)
    return [
        f"{_counted(len(ids), kind)} removed ({_span(ids)}): {because}"
        for (kind, because), ids in sorted(groups.items())
    ]


def locked_in_groups(locked: Iterable[Locked]) -> list[str]:
    """One line for all of a kind that stay under lock, with the days on which they may go."""
    groups: dict[str, list[Locked]] = {}
    for one in locked:
        groups.setdefault(one.decision.kind, []).append(one)
    lines = []
    for kind, found in sorted(groups.items()):
        dates = sorted(one.until for one in found if one.until is not None)
        when = f"until {dates[0]:%Y-%m-%d}" if dates else "without an end"
        if dates and dates[-1].date() != dates[0].date():
            when = f"{when} to {dates[-1]:%Y-%m-%d}"
        if dates and len(dates) < len(found):
            when = f"{when}, {len(found) - len(dates)} without an end"
        ids = [one.decision.id for one in found]
        lines.append(f"{_counted(len(found), kind)} under Object Lock {when} ({_span(ids)})")
    return lines


def describe_removal(removal: Removal) -> list[str]:
    """What came of a plan, in groups."""
    lines = [*removed_in_groups(removal.removed), *locked_in_groups(removal.locked)]
    if removal.stopped:
        lines.append("a hold was placed meanwhile: the rest goes next time")
    if removal.record_key is not None:
        lines.append(f"each of them is named in {removal.record_key}")
    return lines


def _because(decision: Decision) -> str:
    return decision.remove.words if decision.remove else ""


def _counted(count: int, kind: str) -> str:
    if count == 1:
        return f"1 {_ONE.get(kind, kind)}"
    return f"{count} {_MANY.get(kind, f'{kind}s')}"


def _span(ids: list[str]) -> str:
    first, last = min(ids), max(ids)
    return first if first == last else f"{first} to {last}"
