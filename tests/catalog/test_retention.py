"""Each rule of retention on its own: what it keeps, and in which words."""

import time
from datetime import timedelta

from ledgerkeep.catalog.models import HeldWal, StreamedBackup
from ledgerkeep.catalog.retention import RetentionPlan, Stored, plan_retention
from ledgerkeep.catalog.retention_words import describe_plan
from ledgerkeep.policy.model import DatabaseRetention
from tests.catalog.simulated import PRODUCTION, Simulation, retention

DAY = timedelta(days=1)
ONLY_A_DAY = retention(daily="1d", minimum_recovery_points=1)


def days(policy: DatabaseRetention, count: int, *, each: int = 1) -> Simulation:
    """So many days with a full backup, and incrementals for the rest of their ticks."""
    one = Simulation(policy, tick=DAY / each)
    for number in range(count * each):
        one.take(full=number % each == 0)
        one.number += 1
    return one


def why(plan: RetentionPlan, point_id: str) -> list[str]:
    """Why it stays."""
    (found,) = [one for one in plan.decisions if one.id == point_id]
    return [reason.words for reason in found.keep]


def removed(plan: RetentionPlan) -> dict[str, str]:
    return {one.id: one.remove.words for one in plan.removed if one.remove}


# -- by time


def test_recent_keeps_incrementals_too_and_then_only_the_first_full_of_a_day() -> None:
    one = days(retention(recent="2d", daily="4d", minimum_recovery_points=1), 8, each=4)
    plan = one.plan()
    kept = [point for point in one.stored.backups if point.id in plan.kept_ids("full backup")]
    # The day in which the four begin counts whole.
    assert [point.stopped_at.day for point in kept] == [5, 6, 7, 8]
    recent = plan.kept_ids("incremental backup")
    assert {point.id for point in one.stored.backups[-8:]} & recent == recent
    assert len(recent) == 6
    assert set(removed(plan).values()) == {"older than 2d; stands for no day that is kept"}


def test_the_first_full_backup_of_each_period_stands_for_it() -> None:
    """Noon to noon, from Sunday 1 March 2026: the weeks begin on Mondays."""
    one = days(retention(daily="1d", weekly="21d", monthly="70d", minimum_recovery_points=1), 70)
    plan = one.plan()
    at = {point.id: point.stopped_at for point in one.stored.backups}
    weekly = [
        at[point] for point in at if any("the week of" in words for words in why(plan, point))
    ]
    assert [moment.strftime("%a") for moment in weekly] == ["Mon"] * 4
    monthly = [at[p] for p in at if any("the month of" in words for words in why(plan, p))]
    assert [moment.day for moment in monthly] == [2, 1, 1]
    assert set(removed(plan).values()) == {"stands for no day, week or month that is kept"}


def test_a_full_backup_stands_for_its_day_before_an_earlier_incremental() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY / 4)
    first = one.take()
    one.number = 3  # the next morning
    incremental = one.take(full=False)
    assert "stands for the day of 2026-03-02" in why(one.plan(), incremental.id)
    one.number = 4
    full = one.take()
    plan = one.plan()
    assert "stands for the day of 2026-03-02" in why(plan, full.id)
    assert not any("stands" in words for words in why(plan, incremental.id)), first


def test_a_sound_backup_stands_for_a_period_before_a_damaged_one() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY / 8)
    damaged = one.take(damaged=True)
    one.number = 1
    sound = one.take()
    plan = one.plan()
    assert "stands for the day of 2026-03-01" in why(plan, sound.id)
    assert damaged.id in removed(plan)


# -- however old


def test_the_minimum_stays_however_old_and_counts_sound_ones_first() -> None:
    one = Simulation(retention(daily="1d", minimum_recovery_points=2), tick=DAY)
    first, second = one.take(), None
    for _ in range(3):
        one.number += 1
        second = one.take(damaged=True)
    one.number += 1
    third = one.take()
    one.number += 400
    plan = one.plan()
    assert plan.kept_ids("full backup") == {first.id, third.id}
    assert why(plan, first.id) == ["one of the newest 2 full backups"]
    one.policy = retention(daily="1d", minimum_recovery_points=3)
    assert one.plan().kept_ids("full backup") == {first.id, second.id, third.id}  # type: ignore[union-attr]


def test_the_last_proven_one_stays_with_what_its_proof_needs() -> None:
    one = Simulation(retention(daily="1d", wal="1d", minimum_recovery_points=1), tick=DAY)
    proven = one.take()
    for number in range(5):
        one.ship()
        if number == 2:
            one.prove(proven, one.fingerprint())
        one.number += 1
    one.number += 30
    one.take()
    one.number += 30
    plan = one.plan()
    assert why(plan, proven.id) == ["the last one shown to be proven, on 2026-03-04"]
    assert [words for words in why(plan, "f0") if "proof" in words] == [
        f"the proof of {proven.id} needs it"
    ]
    needed = {stretch.id for stretch in one.stored.stretches[:3]}
    assert plan.kept_ids("wal") == needed | {one.stored.stretches[-1].id}


def test_a_hold_keeps_its_backup_and_the_chain() -> None:
    one = days(ONLY_A_DAY, 1, each=4)
    held = one.stored.backups[2]
    one.hold(held.id)
    one.number += 400
    one.take()
    plan = one.plan()
    assert why(plan, held.id) == ["legal hold h0: audit"]
    assert why(plan, one.stored.backups[0].id) == ["an incremental that stays builds on it"]
    assert set(removed(plan)) == {one.stored.backups[3].id}


def test_a_hold_on_wal_keeps_the_way_to_it() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY)
    for number in range(10):
        if number in (0, 3):
            one.take()
        one.ship()
        one.number += 1
    one.hold(one.stored.stretches[5].id)
    one.take()
    one.number += 400
    plan = one.plan()
    assert plan.kept_ids("full backup") == {one.stored.backups[1].id, one.stored.backups[2].id}
    ways = {stretch.id for stretch in one.stored.stretches[3:6]}
    assert plan.kept_ids("wal") == ways | {one.stored.stretches[-1].id}


def test_a_recovery_keeps_what_it_reads_and_no_more() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY)
    for number in range(10):
        if number in (0, 3):
            one.take()
        one.ship()
        one.number += 1
    first = one.stored.backups[0]
    reads = {"until": one.at(500), "reason": "a recovery reads it: r/1"}
    wal = HeldWal(timeline=1, end_lsn=one.stored.stretches[4].end_lsn)
    one.holds.append(one.hold(first.id).model_copy(update={**reads, "wal": wal}))
    del one.holds[0]
    one.take()
    one.number += 400
    plan = one.plan()
    assert why(plan, first.id) == ["a recovery reads it: r/1"]
    assert set(removed(plan)) >= {one.stored.backups[1].id}
    ways = {stretch.id for stretch in one.stored.stretches[:5]}
    assert plan.kept_ids("wal") == ways | {one.stored.stretches[-1].id}
    assert plan.counts()["keep", "full backup", "recovery hold"] == 1


def test_a_hold_on_something_that_is_gone_is_told() -> None:
    one = days(ONLY_A_DAY, 2)
    one.hold("gone")
    assert one.plan().notices == ["legal hold h0 is on gone, which is not there"]


def test_a_backup_before_a_deployment_waits_for_its_verification() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY)
    before = one.take(deployment="42")
    one.number += 30
    one.take()
    plan = one.plan()
    assert why(plan, before.id) == ["taken before deployment 42, which is not verified"]
    assert plan.notices == [
        f"backup {before.id} stays until somebody says that deployment 42 is verified"
    ]
    one.verify("42")
    one.number += 7
    assert why(one.plan(), before.id) == [
        "taken before deployment 42, verified on 2026-03-31, 1w are not over"
    ]
    assert one.plan().notices == []
    one.number += 1
    assert before.id in removed(one.plan())


# -- what belongs together


def test_what_is_being_recorded_keeps_what_it_builds_on() -> None:
    """It is in no snapshot yet, and nobody holds the lock while it is read back."""
    one = days(ONLY_A_DAY, 1, each=4)
    parent = one.stored.backups[-1]
    fields = StreamedBackup.model_fields
    streamed = StreamedBackup.model_validate(
        {name: getattr(parent, name) for name in fields}
        | {"id": "streamed", "parent_id": parent.id}
    )
    one.number += 400
    one.take()
    stored = Stored(one.stored.snapshot({}), unrecorded=[streamed])
    plan = plan_retention(stored, ONLY_A_DAY, None, now=one.now)
    assert plan.removed == []
    assert why(plan, parent.id) == ["streamed builds on it, which is not recorded yet"]


def test_an_incremental_whose_ancestor_is_gone_stands_for_nothing() -> None:
    one = days(ONLY_A_DAY, 1, each=4)
    orphan = one.stored.backups[2]
    del one.stored.backups[1]
    one.take()
    plan = one.plan()
    assert removed(plan)[orphan.id] == "what it builds on is gone, so it cannot be restored"


def test_without_a_backup_all_wal_stays() -> None:
    """The first backup may be on its way."""
    one = Simulation(retention(daily="1d", wal="1d"), tick=DAY)
    for _ in range(5):
        one.ship()
        one.number += 1
    assert one.plan().removed == []


def test_the_newest_wal_stays_though_nothing_needs_it() -> None:
    """Shipping knows the cluster by it, and names the hole behind it."""
    one = Simulation(retention(daily="1d", wal="1d", minimum_recovery_points=1), tick=DAY)
    for _ in range(3):
        one.take()
        one.ship()
        one.number += 1
    one.number += 30
    one.take()
    one.number += 30
    plan = one.plan()
    assert plan.kept_ids("wal") == {one.stored.stretches[-1].id}
    assert why(plan, one.stored.stretches[-1].id) == ["WAL shipping goes on from it"]


def test_histories_stay_as_long_as_anything_of_their_line() -> None:
    one = Simulation(ONLY_A_DAY, tick=DAY)
    for _ in range(3):
        one.take()
        one.promote()
        one.number += 1
    one.number += 30
    one.take()
    plan = one.plan()
    assert plan.kept_ids("history") == {f"0000000{n}.history" for n in (2, 3, 4)}
    del one.switches[4]
    one.switches[4] = (*one.switches[2][:1], (2, one.switches[3][1][1]))
    assert removed(one.plan())["00000003.history"] == (
        "nothing of the timeline or of its descendants stays"
    )


def test_the_plan_in_words_counts_each_reason_and_names_each_removal() -> None:
    one = days(ONLY_A_DAY, 4)
    plan = one.plan()
    lines = describe_plan(plan)
    assert lines[0].startswith("cluster 7300000000000000001, as of 2026-03-05 12:00:00Z: ")
    assert "  keep 1 full backup: minimum" in lines
    gone = one.stored.backups[0]
    assert f"  remove full backup {gone.id}: stands for no day that is kept" in lines


def test_seven_years_of_hourly_recovery_points_are_decided_in_seconds() -> None:
    one = days(PRODUCTION, 7 * 365, each=24)
    started = time.process_time()
    plan = one.plan()
    # The processor's own time, so that a busy machine does not count.
    assert time.process_time() - started < 10
    assert len(plan.decisions) == 61_320
    assert len(plan.kept) < 300
