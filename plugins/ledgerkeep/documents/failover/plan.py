"""The plan of a failover or a failback: what the application uses, what it will use, what is lost.

Both are the same movement in opposite directions, with one difference. Whoever fails over does so
because the primary is in trouble: what the replica lacks is told, and a person decides. Whoever
fails back has time: the primary must hold everything that was written to the replica meanwhile, or
the switch is refused. This is decided here, before anything is touched.
"""

from collections.abc import Sequence
from typing import Literal

from ledgerkeep.documents.failover.access import AccessTest
from ledgerkeep.errors import PreflightFailed
from ledgerkeep.model import Record

Direction = Literal["failover", "failback"]


class Behind(Record):
    """What the bucket to be used lacks of the one in use."""

    compared: int
    """Keys that were compared."""
    lacking: int
    """Keys whose current content it does not have."""
    examples: list[str] = []
    """The first of them."""
    oldest_seconds: float = 0.0
    """How long ago the oldest of what it lacks was written."""

    def measurements(self) -> dict[str, float]:
        """As evidence."""
        return {
            "compared_documents": self.compared,
            "lacking_documents": self.lacking,
            "lag_seconds": self.oldest_seconds,
        }


class FailoverPlan(Record):
    """What a failover or a failback will do."""

    direction: Direction
    parameter: str
    now: str
    """The bucket that the parameter names."""
    to: str
    """The bucket that it will name."""
    services: list[str] = []
    """Restarted in this order."""
    access: AccessTest
    """Of the bucket that will be used."""
    behind: Behind | None
    """None: the bucket in use does not answer, so nobody knows what the other one lacks."""
    replicates_back: bool
    """Whether the store is told to replicate in the other direction afterwards."""

    @property
    def is_done(self) -> bool:
        """Whether the parameter names the right bucket already."""
        return self.now == self.to

    def doubts(self) -> list[str]:
        """What whoever approves should know."""
        found = []
        if self.behind is None:
            found.append(
                f"{self.now} does not answer: what was written last may not have reached {self.to}"
            )
        elif self.behind.lacking:
            found.append(
                f"{self.to} lacks the current content of {self.behind.lacking} of "
                f"{self.behind.compared} documents, the oldest since "
                f"{self.behind.oldest_seconds:.0f} s: {', '.join(self.behind.examples)}"
            )
        if not self.services:
            found.append(
                "the policy names no services: whoever reads the parameter only at its start "
                f"goes on with {self.now}"
            )
        if not self.replicates_back:
            found.append(
                f"nothing replicates from {self.to} to {self.now} by itself; before the way back "
                "it has to be set up"
            )
        return found

    def describe(self) -> list[str]:
        """The plan, line by line."""
        what = "already names" if self.is_done else f"changes from {self.now} to"
        restarts = ", ".join(self.services) or "none"
        lines = [f"{self.direction}: {self.parameter} {what} {self.to}", f"restarts: {restarts}"]
        if self.behind is not None:
            lines.append(
                f"compared: {self.behind.compared} documents, {self.behind.lacking} lacking"
            )
        return [*lines, f"access test: {self.access.describe()}"]

    def readable(self, reason: str, asked_by: str) -> str:
        """The plan in Markdown, for whoever approves it."""
        rows = [
            ("asked by", asked_by),
            ("reason", reason),
            ("parameter", f"`{self.parameter}`"),
            ("bucket now", f"`{self.now}`"),
            ("bucket then", f"`{self.to}`"),
            ("services restarted", ", ".join(self.services) or "none"),
            ("access test", self.access.describe()),
        ]
        table = "\n".join(f"| {name} | {value} |" for name, value in rows)
        doubts = "".join(f"\n- **{doubt}**" for doubt in self.doubts())
        return f"| {self.direction} | |\n|---|---|\n{table}\n{doubts}"


def refuse_to_lose(plan: FailoverPlan) -> None:
    """Return unless a failback would leave documents behind.

    :raises PreflightFailed: with how many, and which the first are.
    """
    if plan.direction == "failover":
        return
    if plan.behind is None:
        raise PreflightFailed(
            f"{plan.now} does not answer, so it cannot be shown that {plan.to} holds everything",
            hint="fail back when both buckets can be read",
        )
    if plan.behind.lacking:
        raise PreflightFailed(
            f"{plan.to} lacks the current content of {plan.behind.lacking} documents: "
            f"{', '.join(plan.behind.examples)}",
            hint=f"let {plan.now} replicate to it, or repair it with "
            "documents_replica_consistency, and run this again",
        )


def refuse_strangers(now: str, known: Sequence[str], parameter: str) -> None:
    """Return when the parameter names one of the two buckets.

    :raises PreflightFailed: it names a third one.
    """
    if now not in known:
        raise PreflightFailed(
            f"the parameter {parameter} names {now}, which is neither the documents' bucket nor "
            "its replica",
            hint="find out who set it so; the policy's documents.bucket and "
            "documents.replica.bucket are what Ledgerkeep switches between",
        )
