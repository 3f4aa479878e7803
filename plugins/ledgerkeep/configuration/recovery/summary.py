"""A plan of a recovery of configuration in words, for the person who says yes or no to it.

Secrets never stand in it: a plan holds only their marks, and of a mark it is said that it differs.
"""

import re
from collections.abc import Sequence

from ledgerkeep.configuration.difference import describe
from ledgerkeep.configuration.recovery.decide import PlannedChange
from ledgerkeep.configuration.recovery.plan import ConfigurationPlan, PlanInShort

_LINES = 120
_CHARACTERS = 6_000
"""What an approval shows of the difference; the whole lies in the bucket."""
_NAMED = 20
_NAME = 120


def readable(plan: ConfigurationPlan) -> str:
    """The whole plan as Markdown."""
    lines = _difference(plan.changes)
    return "\n".join([*_opening(plan), *_fenced(lines), *_rest(plan, len(plan.unknown)), ""])


def summarise(plan: ConfigurationPlan, short: PlanInShort, *, reason: str, asked_by: str) -> str:
    """The plan as Markdown for an approval: as much of the difference as fits."""
    lines = _difference(plan.changes)
    shown = _capped(lines)
    more = len(lines) - len(shown)
    facts = [
        ("asked for by", asked_by),
        ("reason", reason),
        ("all of it", f"`{short.readable.key}`"),
        ("the plan", f"`{short.stored.key}`, sha256 `{short.stored.sha256}`"),
    ]
    left_out = [f"… and {more} more lines, in `{short.readable.key}`", ""] if more else []
    return "\n".join(
        [
            *_opening(plan),
            "| | |",
            "|---|---|",
            *(f"| {name} | {_cell(value)} |" for name, value in facts),
            "",
            *_fenced(shown),
            *left_out,
            *_rest(plan, _NAMED),
        ]
    )


def counts(plan: ConfigurationPlan) -> str:
    """What the plan comes to, in one line."""
    told = [
        (plan.count("create"), "to create"),
        (plan.count("update"), "to change"),
        (plan.count("delete"), "to delete"),
        (len(plan.by_hand), "left to a person"),
        (len(plan.unknown), "unknown to the version and left alone"),
        (plan.same, "the same"),
        (plan.outside, "not asked for"),
    ]
    return ", ".join(f"{count} {what}" for count, what in told if count) or "nothing at all"


def _opening(plan: ConfigurationPlan) -> list[str]:
    if not plan.changes:
        goal = "There is nothing to apply."
    else:
        goal = "`-` is what is live, `+` what it would become. Secrets are never shown."
    return [
        f"**{plan.source}** of {plan.scope.describe()}, back to version `{plan.version_id}` of "
        f"{plan.version_created_at:%Y-%m-%d %H:%M:%S}Z: {counts(plan)}.",
        "",
        goal,
        "",
    ]


def _difference(changes: Sequence[PlannedChange]) -> list[str]:
    return [line for one in changes for line in describe(one.planned())]


def _fenced(lines: Sequence[str]) -> list[str]:
    """In a block that nothing in the lines can end."""
    if not lines:
        return []
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}diff", *lines, fence, ""]


def _rest(plan: ConfigurationPlan, most: int) -> list[str]:
    lines = [f"- **Left to a person:** `{one.key}`: {one.by_hand}" for one in plan.by_hand]
    if plan.unknown:
        named = ", ".join(f"`{_cell(key[:_NAME])}`" for key in plan.unknown[:most])
        more = len(plan.unknown) - most
        rest = f" … and {more} more" if more > 0 else ""
        lines.append(f"- **Left alone**, being live and not in the version: {named}{rest}")
    return lines


def _capped(lines: list[str]) -> list[str]:
    shown: list[str] = []
    size = 0
    for line in lines[:_LINES]:
        size += len(line)
        if size > _CHARACTERS:
            break
        shown.append(line)
    return shown


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
