"""The four criteria of a recovery, each stated in its evidence."""

import pytest

from ledgerkeep.evidence.collect import collect_record
from ledgerkeep.evidence.criteria import ALL, Criterion, all_four, within_objectives
from ledgerkeep.evidence.records import EvidenceRecord
from tests.evidence.support import NOON, policy_of


def collect(kind: str, *contributions: dict) -> EvidenceRecord:
    return collect_record(
        policy=policy_of("production"),
        dag_id="production_database_full_restore",
        run_id="manual__1",
        kind=kind,
        outcome="success",
        started_at=NOON,
        triggered_by="dana",
        tasks={},
        contributions=contributions,
    )


def test_each_is_stated_also_when_the_run_ended_early() -> None:
    made = collect("recovery", {"objective": "database_failure"})
    assert [(one.name, one.met, one.words) for one in made.criteria] == [
        (name, False, "not shown") for name in ALL
    ]


def test_what_the_tasks_found_is_stated_in_order() -> None:
    made = collect(
        "recovery",
        {"criteria": [{"name": "application works", "met": True, "words": "2 checks"}]},
        {"criteria": [{"name": "data integrity", "met": True, "words": "validated"}]},
        {"objective": "database_failure", "measurements": {"rto_seconds": 60, "rpo_seconds": 9}},
        {"facts": {"approved_by": "bea"}},
    )
    assert [(one.name, one.met) for one in made.criteria] == [
        ("data integrity", True),
        ("application works", True),
        ("performance within range", False),
        ("recovery within RTO and RPO", True),
    ]
    assert made.criteria[3].words == (
        "recovered in 60 s of 3600 s allowed; 9 s of data lost of 900 s allowed"
    )
    assert made.facts == {"approved_by": "bea"}


def test_other_runs_have_no_criteria() -> None:
    assert collect("backup").criteria == []


@pytest.mark.parametrize(
    ("measured", "rpo", "met", "words"),
    [
        (
            {"rto_seconds": 61, "rpo_seconds": 0},
            None,
            False,
            "recovered in 61 s of 60 s allowed; it ends 0 s before the run began, to which the "
            "policy sets no limit",
        ),
        (
            {"rto_seconds": 60, "rpo_seconds": 11},
            10,
            False,
            "recovered in 60 s of 60 s allowed; 11 s of data lost of 10 s allowed",
        ),
        (
            {"rto_seconds": 1},
            10,
            False,
            "recovered in 1 s of 60 s allowed; the loss was not measured",
        ),
    ],
)
def test_missed_objective_is_said(
    measured: dict[str, float], rpo: float | None, met: bool, words: str
) -> None:
    found = within_objectives(measured, 60, rpo)
    assert found is not None
    assert (found.met, found.words) == (met, words)


def test_last_word_on_a_criterion_counts() -> None:
    """A task that was tried again."""
    stated = [Criterion(name="data integrity", met=met, words="") for met in (False, True)]
    assert all_four(stated, None)[0].met
