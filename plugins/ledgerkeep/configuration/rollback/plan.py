"""The plan of a rollback: from which revision each service goes to which, and what that changes.

It is made before anything is touched. What differs is shown variable by variable, and of a secret
only that it differs. A plan holds the digest of what each service would run, marks in the place of
secrets; what is carried out has that digest, or it is not carried out.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.difference import value_lines
from ledgerkeep.configuration.items import Item, Marker
from ledgerkeep.configuration.recovery.plan import evidence_lock
from ledgerkeep.configuration.rollback.request import RollbackRequest
from ledgerkeep.configuration.sources.services.revisions import short
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.ecs import ServiceState
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.storage.port import StoredObject

_CHARACTERS = 6_000
"""Of the difference, in an approval; the whole lies in the bucket."""


@dataclass(frozen=True)
class Target:
    """What one service shall run."""

    content: Mapping[str, Any]
    """The task definition in canonical form, with the values of its secrets."""
    revision: str
    """ARN of an active revision that holds it; empty: it has to be registered anew."""
    origin: str
    """ARN of the revision that was asked for, or the id of the stored version."""


class Step(Record):
    """One service, from one revision to another."""

    key: str
    """`cluster/service`."""
    before: str
    """ARN of the revision that it runs."""
    after: str
    """ARN of the revision that it shall run; empty: what was stored is registered anew."""
    origin: str
    content_sha256: str
    """Of the task definition that it shall run, with marks in the place of secrets."""
    tasks: int
    """How many tasks it has to run."""
    lines: list[str]
    """What differs."""

    @property
    def words(self) -> str:
        """Which service, from what to what."""
        return f"{self.key}: {self.way}"

    @property
    def way(self) -> str:
        """From what to what."""
        after = short(self.after) if self.after else f"a new revision, as in {short(self.origin)}"
        return f"{short(self.before)} → {after}"


class RollbackPlan(Record):
    """What a rollback will do."""

    id: str
    made_at: UtcDatetime
    request: RollbackRequest
    version_id: str
    """Of the stored version; empty: a revision was asked for."""
    steps: list[Step]
    same: list[str]
    """Services that run it already."""

    def doubts(self) -> list[str]:
        """What whoever approves should know."""
        idle = [step.key for step in self.steps if step.tasks == 0]
        if not idle:
            return []
        return [f"{', '.join(idle)} shall run no task, so nothing shows whether one would start"]

    def describe(self) -> list[str]:
        """The whole plan, line by line."""
        lines = [self.request.words]
        for step in self.steps:
            # Two short lines: whoever approves reads them in a narrow place.
            lines += [step.key, f"  {step.way}", *step.lines]
        return [*lines, *(f"{key} runs it already" for key in self.same)]


class RollbackInShort(Record):
    """A plan as it passes from task to task: where it is, and what it comes to."""

    id: str
    stored: StoredObject
    changes: int
    """Services that are to run something else."""


def step_of(
    key: str, state: ServiceState, running: Mapping[str, Any], target: Target, marker: Marker
) -> Step | None:
    """What has to be done to one service; None where it runs the target already.

    :param running: what it runs, in canonical form.
    """
    if running == target.content:
        return None
    before, after = (marked(key, one, marker) for one in (running, target.content))
    return Step(
        key=key,
        before=state.task_definition,
        after=target.revision,
        origin=target.origin,
        content_sha256=after.digest(),
        tasks=state.desired,
        lines=value_lines(before, after),
    )


def marked(key: str, content: Mapping[str, Any], marker: Marker) -> Item:
    """A task definition with marks in the place of secrets, as a stored service has them."""
    return marker.mark(key, {"task_definition": content}).item


def new_plan_id(now: datetime) -> str:
    """Ids sort like their moments."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def write_plan(versions: Versions, plan: RollbackPlan) -> RollbackInShort:
    """Store it.

    :raises StorageError:
    """
    prefix = keys.configuration_rollback(versions.policy.environment, plan.id)
    with versions.store.writer(f"{prefix}plan.json", retention=evidence_lock(versions)) as writer:
        writer.write(plan.to_json())
        stored = writer.commit()
    return RollbackInShort(id=plan.id, stored=stored, changes=len(plan.steps))


def read_plan(versions: Versions, short: RollbackInShort) -> RollbackPlan:
    """The plan, after its bytes were found to be those that were written.

    :raises ObjectMissing, ObjectCorrupt, StorageError:
    """
    body = b"".join(bytes(chunk) for chunk in versions.store.read(short.stored))
    return RollbackPlan.from_json(body)


def readable(plan: RollbackPlan, *, reason: str, asked_by: str) -> str:
    """The plan in Markdown, for whoever approves it."""
    rows = [("asked for by", asked_by), ("reason", reason), ("what", plan.request.words)]
    if plan.version_id:
        rows.append(("stored version", f"`{plan.version_id}`"))
    table = [f"| {name} | {_cell(value)} |" for name, value in rows]
    text = "\n".join(plan.describe()[1:])
    more = len(text) - _CHARACTERS
    cut = [f"… and {more} more characters, in the log of the task plan"] if more > 0 else []
    fence = "`" * (3 if "```" not in text else 12)
    doubts = [f"- **{doubt}**" for doubt in plan.doubts()]
    shown = text[:_CHARACTERS] or "There is nothing to change."
    return "\n".join(
        ["| rollback | |", "|---|---|", *table, "", f"{fence}diff", shown, fence, *cut, *doubts]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
