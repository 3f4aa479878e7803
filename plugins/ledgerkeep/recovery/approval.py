"""The second person's word on a change: a pure decision, so that it can be tested to the letter.

A change is a recovery, a repair or a failover: whatever touches production. Approved is only what a
person other than the one who asked has approved, in time, and who may. Everything else is a
rejection, silence included. Airflow itself lets nobody answer who is not in the policy's list;
that is judged here once more, because this answer is what the evidence shows.

An approval is of one plan, by its digest. Whoever carries it out asks for it again: a task that was
marked as successful by hand has approved nothing, nor has an approval of a plan that was replaced.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from ledgerkeep.errors import RecoveryRejected
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.policy.values import format_duration

APPROVE = "Approve"
APPROVED_PLAN = "approved_plan"
"""Among the facts of an approval: the digest of the plan that it is of."""


class Answer(Record):
    """What was answered."""

    chosen: list[str]
    at: UtcDatetime
    user_id: str | None = None
    """None: nobody answered, and the time ran out."""
    user_name: str | None = None
    options: dict[str, str] = {}
    """What else was filled in."""

    def is_by(self, user: str) -> bool:
        """Whether that user answered; Airflow knows users by id and by name."""
        return user in (self.user_id, self.user_name)

    @property
    def who(self) -> str:
        """The user, for people and for the evidence."""
        if self.user_id is None:
            return "nobody"
        name = self.user_name or self.user_id
        return name if name == self.user_id else f"{name} (id {self.user_id})"

    def facts(self) -> dict[str, str]:
        """As evidence."""
        return {
            "answer": ", ".join(self.chosen),
            "answered_by": self.who,
            "answered_at": self.at.isoformat(),
            **{f"answer_{name}": value for name, value in self.options.items()},
        }


def refuse_unknown_requester(requester: str | None, change: str = "recovery") -> str:
    """Who asked for the change.

    :raises RecoveryRejected: nobody knows, so a second person cannot be told from the first.
    """
    if not requester:
        raise RecoveryRejected(
            f"nobody is named as the one who asked for this {change}, "
            "so nobody else can approve it",
            hint="start it as a person, in the Airflow UI or by its REST API",
        )
    return requester


def others(approvers: Sequence[str], requester: str, change: str = "recovery") -> list[str]:
    """The policy's approvers but the one who asked; empty when the policy names none.

    :raises RecoveryRejected: the policy names nobody else.
    """
    left = [name for name in approvers if name != requester]
    if approvers and not left:
        raise RecoveryRejected(
            f"nobody but {requester}, who asked for this {change}, may approve it",
            hint="let somebody else ask for it, or name more approvers in the policy",
        )
    return left


def judge(
    answer: Answer,
    *,
    requester: str,
    approvers: Sequence[str],
    timeout: timedelta,
    change: str = "recovery",
) -> None:
    """Return when the change is approved.

    :param change: what it is, in one word.
    :raises RecoveryRejected: in every other case, saying which.
    """
    again = f"start the {change} again when it is wanted after all"
    if answer.user_id is None:
        raise RecoveryRejected(
            f"nobody answered within {format_duration(timeout)}, so the {change} is rejected",
            hint=f"{again}, and tell who shall approve it",
        )
    if answer.chosen != [APPROVE]:
        raise RecoveryRejected(f"{answer.who} rejected the {change}", hint=again)
    if answer.is_by(requester):
        raise RecoveryRejected(
            f"{requester} asked for the {change} and approved it too: that takes a second person",
            hint="start it again, and let somebody else approve it",
        )
    if approvers and not any(answer.is_by(name) for name in approvers):
        raise RecoveryRejected(
            f"{answer.who} approved the {change}, but may not",
            hint=f"the policy's approvers are {', '.join(approvers)}",
        )


def require_approval(
    approval: Mapping[str, str] | None, plan_digest: str, change: str = "recovery"
) -> None:
    """Return when the plan is the one that was approved.

    :param approval: what the approving task left; None: it left nothing.
    :raises RecoveryRejected:
    """
    if not approval:
        raise RecoveryRejected(
            f"nobody has approved this {change}",
            hint="clear the task approve: it has to be answered, not marked as success",
        )
    if approval.get(APPROVED_PLAN) != plan_digest:
        raise RecoveryRejected(
            "the plan is another than the one that was approved",
            hint="clear the task approve, so that this plan is approved",
        )
