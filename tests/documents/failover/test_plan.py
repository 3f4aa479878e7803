"""What is planned for a switch, what is doubted, and what is refused."""

import pytest

from ledgerkeep.documents.failover.access import AccessTest
from ledgerkeep.documents.failover.plan import (
    Behind,
    Direction,
    FailoverPlan,
    refuse_strangers,
    refuse_to_lose,
)
from ledgerkeep.errors import PreflightFailed

SAME = Behind(compared=10, lacking=0)
LACKING = Behind(compared=10, lacking=2, examples=["a", "b"], oldest_seconds=90)


def plan(direction: Direction = "failover", behind: Behind | None = SAME, **more: object):
    return FailoverPlan.model_validate(
        {
            "direction": direction,
            "parameter": "/BUCKET",
            "now": "primary" if direction == "failover" else "replica",
            "to": "replica" if direction == "failover" else "primary",
            "services": ["backend"],
            "access": AccessTest(bucket="x", read=3, read_bytes=30, checked=2, seconds=1.25),
            "behind": behind,
            "replicates_back": True,
            **more,
        }
    )


def test_plan_is_told_line_by_line() -> None:
    assert plan().describe() == [
        "failover: /BUCKET changes from primary to replica",
        "restarts: backend",
        "compared: 10 documents, 0 lacking",
        "access test: x: 3 documents read (2 with their SHA-256), one written, read back and "
        "deleted, in 1.2 s",
    ]
    assert plan(now="replica").describe()[0] == "failover: /BUCKET already names replica"


def test_nothing_is_doubted_when_all_is_well() -> None:
    assert plan().doubts() == []


def test_what_may_be_lost_is_doubted() -> None:
    assert plan(behind=None, services=[], replicates_back=False).doubts() == [
        "primary does not answer: what was written last may not have reached replica",
        "the policy names no services: whoever reads the parameter only at its start goes on "
        "with primary",
        "nothing replicates from replica to primary by itself; before the way back it has to be "
        "set up",
    ]
    assert plan(behind=LACKING).doubts() == [
        "replica lacks the current content of 2 of 10 documents, the oldest since 90 s: a, b"
    ]


def test_whoever_approves_sees_the_doubts() -> None:
    shown = plan(behind=LACKING).readable("region lost, INC-9", "dana")
    assert "| reason | region lost, INC-9 |" in shown
    assert "- **replica lacks the current content of 2 of 10 documents" in shown


def test_failover_may_lose_and_failback_may_not() -> None:
    refuse_to_lose(plan(behind=LACKING))
    refuse_to_lose(plan(behind=None))
    refuse_to_lose(plan("failback"))
    with pytest.raises(PreflightFailed) as caught:
        refuse_to_lose(plan("failback", LACKING))
    assert str(caught.value) == (
        "primary lacks the current content of 2 documents: a, b\n"
        "Hint: let replica replicate to it, or repair it with documents_replica_consistency, "
        "and run this again"
    )
    with pytest.raises(PreflightFailed, match="replica does not answer, so it cannot be shown"):
        refuse_to_lose(plan("failback", None))


def test_third_bucket_is_not_switched_away_from() -> None:
    refuse_strangers("primary", ["primary", "replica"], "/BUCKET")
    with pytest.raises(PreflightFailed) as caught:
        refuse_strangers("elsewhere", ["primary", "replica"], "/BUCKET")
    assert caught.value.message == (
        "the parameter /BUCKET names elsewhere, which is neither the documents' bucket nor its "
        "replica"
    )


def test_digest_covers_what_is_switched() -> None:
    assert plan().digest() != plan(to="elsewhere").digest()
