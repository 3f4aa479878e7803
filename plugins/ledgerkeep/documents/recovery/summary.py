"""A plan before it is carried out, in words for the person who says yes or no to it."""

from ledgerkeep.documents.recovery.decide import ACTIONS, Action
from ledgerkeep.documents.recovery.plan import DocumentPlan
from ledgerkeep.progress import format_bytes

_WORDS: dict[Action, str] = {
    "conflict": "conflicts: somebody has written since; left alone",
    "copy": "brought back, by a copy over the key",
    "remove": "written later: get a delete marker",
    "later": "written later: left as they are",
    "missing": "cannot be brought back",
    "unchanged": "are as they are wanted",
}


def summarise(plan: DocumentPlan, *, reason: str, asked_by: str) -> str:
    """The plan as Markdown, conflicts first."""
    facts = [
        ("asked for by", asked_by),
        ("reason", reason),
        ("which", plan.selection),
        ("back to", plan.goal),
        ("taken from", plan.source),
        ("to copy", f"{plan.keys['copy']} documents, {format_bytes(plan.bytes_to_copy)}"),
        ("every key", f"`{plan.lines.key}`, sha256 `{plan.lines.sha256}`"),
    ]
    return "\n".join(
        [
            f"Documents in **{plan.destination}** are brought back. No version is removed: what is "
            "replaced stays as an older version.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_cell(value)} |" for name, value in facts),
            "",
            *(f"**Mind:** {doubt}\n" for doubt in doubts_about(plan)),
            *(line for action in ACTIONS for line in _examples(plan, action)),
        ]
    )


def describe(plan: DocumentPlan) -> list[str]:
    """The plan for a log, conflicts first."""
    counted = [f"{plan.keys[action]:>9} {_WORDS[action]}" for action in ACTIONS]
    examples = [
        f"          {one.key}: {one.because}"
        for action in ACTIONS
        if action != "unchanged"
        for one in plan.examples.get(action, [])
    ]
    return [f"{plan.selection}: {plan.goal}", *counted, *examples]


def doubts_about(plan: DocumentPlan) -> list[str]:
    """What speaks against the plan, although it can be carried out."""
    doubts = []
    if plan.overwrites:
        doubts.append(
            f"{plan.overwrites} documents that somebody has written since the incident are gone "
            "over, because the request says so"
        )
    if plan.hides:
        doubts.append(
            f"{plan.hides} documents have a newer version that can be read now; it becomes an "
            "older one"
        )
    if plan.keys["missing"]:
        doubts.append(f"{plan.keys['missing']} documents cannot be brought back")
    if plan.cold:
        doubts.append(f"{plan.cold} documents lie in cold storage, which takes minutes to 48 hours")
    return doubts


def _examples(plan: DocumentPlan, action: Action) -> list[str]:
    count = plan.keys[action]
    if not count or action == "unchanged":
        return [f"- {count} {_WORDS[action]}"] if count else []
    shown = plan.examples.get(action, [])
    more = f" … and {count - len(shown)} more" if count > len(shown) else ""
    listed = "; ".join(f"`{_cell(one.key)}` ({one.because})" for one in shown)
    return [f"- {count} {_WORDS[action]}: {listed}{more}"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
