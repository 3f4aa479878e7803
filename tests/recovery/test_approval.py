"""Who may say yes to a recovery, and what counts as a no."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.errors import RecoveryRejected
from ledgerkeep.recovery.approval import (
    Answer,
    judge,
    others,
    refuse_unknown_requester,
    require_approval,
)

AT = datetime(2026, 3, 1, 3, 10, tzinfo=UTC)


def answer(user: str | None = "bea", chosen: str = "Approve", **more: Any) -> Answer:
    return Answer(chosen=[chosen], at=AT, user_id=user, user_name=user, **more)


def judged(given: Answer, *approvers: str) -> None:
    judge(given, requester="dana", approvers=approvers, timeout=timedelta(hours=4))


def test_second_person_approves() -> None:
    judged(answer())
    judged(answer(), "ari", "bea")


@pytest.mark.parametrize(
    ("given", "approvers", "message", "hint"),
    [
        (
            answer(chosen="Reject"),
            (),
            "bea rejected the recovery",
            "start the recovery again when it is wanted after all",
        ),
        (
            answer(None, "Reject"),
            (),
            "nobody answered within 4h, so the recovery is rejected",
            "start the recovery again when it is wanted after all, and tell who shall approve it",
        ),
        (
            answer("dana"),
            (),
            "dana asked for the recovery and approved it too: that takes a second person",
            "start it again, and let somebody else approve it",
        ),
        (
            answer("cem"),
            ("ari", "bea"),
            "cem approved the recovery, but may not",
            "the policy's approvers are ari, bea",
        ),
    ],
)
def test_everything_else_is_a_rejection(
    given: Answer, approvers: tuple[str, ...], message: str, hint: str
) -> None:
    with pytest.raises(RecoveryRejected) as caught:
        judged(given, *approvers)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_rejection_names_what_was_rejected() -> None:
    """An approval is also asked for a repair and for a failover."""
    with pytest.raises(RecoveryRejected) as caught:
        judge(
            answer(chosen="Reject"),
            requester="dana",
            approvers=(),
            timeout=timedelta(hours=4),
            change="failover",
        )
    assert caught.value.message == "bea rejected the failover"
    assert caught.value.hint == "start the failover again when it is wanted after all"


def test_requester_is_known_by_id_and_by_name() -> None:
    """Some auth managers tell a number as the id; the run names its starter by name."""
    given = Answer(chosen=["Approve"], at=AT, user_id="17", user_name="dana")
    with pytest.raises(RecoveryRejected, match="that takes a second person"):
        judged(given)


def test_own_rejection_is_a_withdrawal() -> None:
    with pytest.raises(RecoveryRejected, match="dana rejected the recovery"):
        judged(answer("dana", "Reject"))


def test_nobody_else_to_ask_is_refused_at_once() -> None:
    assert others(["ari", "dana"], "dana") == ["ari"]
    assert others([], "dana") == []
    with pytest.raises(RecoveryRejected) as caught:
        others(["dana"], "dana")
    assert caught.value.message == "nobody but dana, who asked for this recovery, may approve it"


def test_recovery_that_nobody_asked_for_cannot_be_approved() -> None:
    with pytest.raises(RecoveryRejected) as caught:
        refuse_unknown_requester(None)
    assert caught.value.hint == "start it as a person, in the Airflow UI or by its REST API"


def test_answer_is_evidence() -> None:
    given = Answer(
        chosen=["Approve"], at=AT, user_id="17", user_name="bea", options={"ticket": "CHG-1"}
    )
    assert given.facts() == {
        "answer": "Approve",
        "answered_by": "bea (id 17)",
        "answered_at": "2026-03-01T03:10:00+00:00",
        "answer_ticket": "CHG-1",
    }


@pytest.mark.parametrize(
    ("approval", "message", "hint"),
    [
        (
            None,
            "nobody has approved this recovery",
            "clear the task approve: it has to be answered, not marked as success",
        ),
        (
            {"answer": "Approve", "approved_plan": "old"},
            "the plan is another than the one that was approved",
            "clear the task approve, so that this plan is approved",
        ),
    ],
)
def test_only_the_plan_that_was_approved_is_carried_out(
    approval: dict[str, str] | None, message: str, hint: str
) -> None:
    """Neither a task marked as successful by hand nor a plan made anew gets past it."""
    require_approval({"approved_plan": "new"}, "new")
    with pytest.raises(RecoveryRejected) as caught:
        require_approval(approval, "new")
    assert (caught.value.message, caught.value.hint) == (message, hint)
