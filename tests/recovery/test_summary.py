"""What a person reads before saying yes, and the moment that a copy stands at."""

from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.errors import PreflightFailed
from ledgerkeep.policy.model import Objective
from ledgerkeep.recovery.handover import stands_at
from ledgerkeep.recovery.plan import RecoveryPlan, plan_recovery
from ledgerkeep.recovery.request import RecoveryRequest
from ledgerkeep.recovery.summary import check_place, doubts_about, summarise
from ledgerkeep.recovery.target import RecoveryTarget
from tests.recovery.samples import NOW, SEGMENT, backup, listed, minute, snapshot, stretch

HOUR = Objective(rto=timedelta(hours=1), rpo=timedelta(minutes=15))


def plan(**target: object) -> RecoveryPlan:
    """Of a backup at noon and WAL until ten past."""
    catalog = snapshot(backup("monday", stop=3, at=0), stretch(3, 9, until=10))
    wanted = RecoveryTarget.model_validate(target)
    return plan_recovery(catalog, listed(catalog), wanted, now=NOW)


def test_summary_has_the_facts_and_breaks_no_table() -> None:
    request = RecoveryRequest(
        target=RecoveryTarget(latest=True),
        scenario="accidental_deletion",
        reason="a | b\nINC-1",
    )
    text = summarise(plan(latest=True), request, "dana", HOUR)
    assert text.startswith("**loans** (production) is restored to **the latest position** into a")
    assert "| asked for by | dana |" in text
    assert "| reason | a \\| b INC-1 |" in text
    assert "| base backup | monday, ended 2026-03-01 12:00:00Z" in text
    assert "| objectives | accidental deletion: RTO 1h, RPO 15m |" in text
    assert "left stopped, for a person to start" in text


def test_plan_that_takes_longer_than_the_objective_is_doubted() -> None:
    slow = plan(latest=True).model_copy(update={"expected_seconds": 4000.0})
    assert doubts_about(slow, HOUR) == [
        "the recovery is expected to take 4000 s, longer than the objective of 3600 s"
    ]
    assert doubts_about(plan(latest=True), HOUR) == []


def test_copy_stands_at_its_target_or_where_the_wal_ended() -> None:
    assert stands_at(plan(time=minute(5)), minute(4)) == minute(5)
    assert stands_at(plan(latest=True), minute(4)) == minute(10)
    # Of a position only the last commit before it has a time.
    assert stands_at(plan(lsn=5 * SEGMENT), minute(4)) == minute(4)
    assert stands_at(plan(lsn=5 * SEGMENT), None) == minute(0)


def test_place_inside_another_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "room.json").touch()
    with pytest.raises(PreflightFailed) as caught:
        check_place(tmp_path / "other" / "data" / "mine", tmp_path / "rooms")
    assert caught.value.message == (
        f"{tmp_path}/other/data/mine lies inside the restored copy {tmp_path}/other"
    )
    check_place(tmp_path / "rooms" / "mine", tmp_path / "rooms")
