"""A recovery before it happens, in words for the person who has to say yes or no to it."""

from pathlib import Path

from ledgerkeep.errors import PreflightFailed
from ledgerkeep.policy.model import Objective
from ledgerkeep.policy.values import format_duration
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.request import RecoveryRequest
from ledgerkeep.recovery.room import Room

_AFTERWARDS = {
    "stopped": "the copy is promoted, checked and left stopped, for a person to start",
    "running": "the copy is promoted, checked and started, reachable on its own Unix socket only",
}


def summarise(
    plan: RecoveryPlan, request: RecoveryRequest, asked_by: str, objective: Objective
) -> str:
    """The plan as Markdown."""
    rpo = format_duration(objective.rpo) if objective.rpo is not None else "not limited"
    facts = [
        ("asked for by", asked_by),
        ("reason", request.reason),
        *(_parted(line) for line in plan.describe()),
        (
            "objectives",
            f"{request.scenario.replace('_', ' ')}: RTO {format_duration(objective.rto)}, "
            f"RPO {rpo}",
        ),
        ("afterwards", _AFTERWARDS[request.afterwards]),
    ]
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts]
    doubts = [f"\n**Mind:** {doubt}" for doubt in doubts_about(plan, objective)]
    return "\n".join(
        [
            f"**{plan.cluster}** ({plan.environment}) is restored to **{plan.target}** into a new "
            "directory. The running database is not touched.",
            "",
            "| | |",
            "|---|---|",
            *rows,
            *doubts,
        ]
    )


def doubts_about(plan: RecoveryPlan, objective: Objective) -> list[str]:
    """What speaks against the plan, although it can be carried out."""
    if plan.expected_seconds <= objective.rto.total_seconds():
        return []
    return [
        f"the recovery is expected to take {plan.expected_seconds:.0f} s, longer than the "
        f"objective of {objective.rto.total_seconds():.0f} s"
    ]


def check_place(directory: Path, rooms: Path) -> None:
    """Refuse a destination among things that are not its own.

    :raises PreflightFailed: it holds the worker's rooms, or lies inside another copy.
    """
    within = next((parent for parent in directory.parents if (parent / "room.json").exists()), None)
    if within is not None:
        raise PreflightFailed(
            f"{directory} lies inside the restored copy {within}",
            hint="name a directory outside it",
        )
    if rooms.is_relative_to(directory) and Room.find(directory) is None:
        raise PreflightFailed(
            f"{directory} holds the rooms of this worker's other copies",
            hint=f"name a directory of its own, such as {rooms / 'recovery'}",
        )


def _parted(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
