"""What is planned, and what is refused, from catalogs written down by hand."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import Proof
from ledgerkeep.errors import ChainBroken, RecoveryPointMissing, TargetUnreachable
from ledgerkeep.recovery.plan import RecoveryPlan, plan_recovery
from ledgerkeep.recovery.target import RecoveryTarget
from tests.recovery.samples import (
    MIB,
    NOW,
    SEGMENT,
    backup,
    listed,
    minute,
    name,
    snapshot,
    stretch,
)

DAY = snapshot(
    backup("monday", stop=3, at=0, next_xid=1000),
    stretch(3, 5, until=10, next_xid=1100),
    stretch(6, 9, until=20, next_xid=1200, points=[("before-release", 7 * SEGMENT + 100)]),
    backup("tuesday", stop=8, at=15, next_xid=1150),
    stretch(10, 12, until=30, next_xid=1300),
)


def plan(target: RecoveryTarget, catalog=DAY, *, without=(), switches=None, **more) -> RecoveryPlan:
    wal = listed(catalog, without=without, switches=switches)
    return plan_recovery(catalog, wal, target, now=NOW, **more)


def refusal(target: RecoveryTarget, catalog=DAY, **more) -> tuple[str, str]:
    with pytest.raises(TargetUnreachable) as refused:
        plan(target, catalog, **more)
    return refused.value.message, refused.value.hint


def test_newest_backup_before_the_time_is_chosen():
    found = plan(RecoveryTarget(time=minute(17)))
    assert found.backup_id == "tuesday"
    assert (found.first_segment, found.last_segment) == (name(9), name(9))
    assert found.recovery_settings == {
        "recovery_target_time": "2026-03-01 12:17:00+00:00",
        "recovery_target_inclusive": "on",
    }


def test_earlier_time_uses_the_earlier_backup_and_all_wal_between():
    found = plan(RecoveryTarget(time=minute(14)))
    assert found.backup_id == "monday"
    assert (found.first_segment, found.last_segment) == (name(4), name(9))
    assert found.segment_count == 6
    assert found.bytes_to_fetch == 10 * MIB + 6 * MIB
    assert found.bytes_to_write == 40 * MIB + 6 * SEGMENT
    assert found.available_until == 13 * SEGMENT


def test_lsn_takes_wal_up_to_its_own_segment():
    found = plan(RecoveryTarget(lsn=9 * SEGMENT + 5, inclusive=False))
    assert (found.backup_id, found.last_segment) == ("tuesday", name(9))
    assert found.recovery_settings == {
        "recovery_target_lsn": "0/9000005",
        "recovery_target_inclusive": "off",
    }


def test_xid_is_sought_from_a_backup_that_ended_before_it_was_assigned():
    found = plan(RecoveryTarget(xid=1149))
    assert (found.backup_id, found.last_segment) == ("monday", name(9))
    assert not found.ends_itself


def test_name_becomes_the_position_of_the_restore_point():
    found = plan(RecoveryTarget(name="before-release"))
    assert found.backup_id == "monday"
    assert found.last_segment == name(7)
    assert found.recovery_settings == {
        "recovery_target_lsn": format_lsn(7 * SEGMENT + 100),
        "recovery_target_inclusive": "off",
    }


def test_latest_is_the_newest_backup_and_all_wal():
    found = plan(RecoveryTarget(latest=True))
    assert (found.backup_id, found.last_segment) == ("tuesday", name(12))
    assert found.reaches_time == minute(30)
    assert found.recovery_settings == {}


def test_backup_of_a_standby_needs_the_segment_in_which_it_ended():
    """A primary completes it by switching; in a standby's backup it breaks off."""
    of_primary = backup("monday", stop=3, at=0)
    of_standby = of_primary.model_copy(update={"standby": "replica:5432"})
    shipped = stretch(2, 5, until=10)
    latest = RecoveryTarget(latest=True)
    assert plan(latest, snapshot(of_primary, shipped)).first_segment == name(4)
    assert plan(latest, snapshot(of_standby, shipped)).first_segment == name(3)
    alone = plan(latest, snapshot(of_standby))
    assert alone.first_segment is None
    assert alone.recovery_settings == {"recovery_target": "immediate"}


@pytest.mark.parametrize(
    "target",
    [
        RecoveryTarget(latest=True),
        RecoveryTarget(time=minute(0)),
        RecoveryTarget(lsn=3 * SEGMENT + 400),
    ],
)
def test_the_stop_of_a_backup_is_reachable_without_wal(target):
    alone = snapshot(backup("monday", stop=3, at=0))
    found = plan(target, alone)
    assert found.first_segment is None
    assert found.segment_count == 0
    assert found.recovery_settings == {"recovery_target": "immediate"}


def test_chosen_backup_is_used():
    assert plan(RecoveryTarget(latest=True), backup_id="monday").backup_id == "monday"


def test_unknown_backup_is_refused():
    with pytest.raises(RecoveryPointMissing) as refused:
        plan(RecoveryTarget(latest=True), backup_id="sunday")
    assert refused.value.message == ("no base backup sunday of the cluster 7300000000000000001")


def test_time_before_the_first_backup_is_refused_with_its_stop():
    assert refusal(RecoveryTarget(time=minute(-5))) == (
        "2026-03-01T11:55:00+00:00 cannot be reached: it lies before the end of the first base "
        "backup, monday (2026-03-01T12:00:00+00:00)",
        "nearest that can be reached: 2026-03-01T12:00:00+00:00 after it",
    )


def test_time_after_the_shipped_wal_is_refused_with_its_end():
    assert refusal(RecoveryTarget(time=minute(31))) == (
        "2026-03-01T12:31:00+00:00 cannot be reached: the shipped WAL ends at "
        "2026-03-01T12:30:00+00:00",
        "nearest that can be reached: 2026-03-01T12:30:00+00:00 before it",
    )


def test_future_is_refused():
    message, hint = refusal(RecoveryTarget(time=NOW + timedelta(hours=1)))
    assert message == (
        "2026-03-02T13:00:00+00:00 cannot be reached: it lies in the future "
        "(now: 2026-03-02T12:00:00+00:00)"
    )
    assert hint == "nearest that can be reached: 2026-03-01T12:30:00+00:00 before it"


def test_wal_gap_is_named_with_both_segments_and_both_nearest_targets():
    gone = [name(4), name(5)]
    assert refusal(RecoveryTarget(time=minute(12)), without=gone) == (
        "2026-03-01T12:12:00+00:00 cannot be reached: WAL after 2026-03-01T12:00:00+00:00 is "
        f"missing: 2 segments from {name(4)} to {name(5)} are gone from the object store",
        "nearest that can be reached: 2026-03-01T12:00:00+00:00 before it, "
        "2026-03-01T12:15:00+00:00 after it",
    )


def test_segment_gone_in_the_middle_is_named_and_does_not_hinder_what_needs_it_not():
    message, _ = refusal(RecoveryTarget(lsn=9 * SEGMENT), without=[name(6)], backup_id="monday")
    assert f"segment {name(6)} is gone from the object store" in message
    assert plan(RecoveryTarget(time=minute(25)), without=[name(6)]).backup_id == "tuesday"


def test_wal_before_a_lost_segment_of_the_same_run_is_still_of_use():
    found = plan(RecoveryTarget(lsn=7 * SEGMENT, inclusive=False), without=[name(8)])
    assert (found.backup_id, found.last_segment) == ("monday", name(6))
    assert found.available_until == 8 * SEGMENT


def test_shipping_that_went_on_after_a_hole_is_told_apart():
    torn = snapshot(
        backup("monday", stop=3, at=0),
        stretch(3, 4, until=10),
        stretch(7, 8, until=20, hole=(5, 7)),
    )
    assert refusal(RecoveryTarget(time=minute(15)), torn) == (
        "2026-03-01T12:15:00+00:00 cannot be reached: WAL after 2026-03-01T12:10:00+00:00 is "
        f"missing: 2 segments from {name(5)} to {name(6)} are not there: "
        "the WAL from 0/5000000 to 0/7000000 is lost",
        "nearest that can be reached: 2026-03-01T12:10:00+00:00 before it",
    )
    assert plan(RecoveryTarget(latest=True), torn).missing != []


def test_unknown_restore_point_is_refused_with_the_known_ones():
    assert refusal(RecoveryTarget(name="after-release")) == (
        "restore point after-release cannot be reached: the stored WAL that a backup leads to "
        "has no restore point 'after-release'",
        "known restore points: before-release",
    )


def test_no_backup_at_all():
    assert refusal(RecoveryTarget(latest=True), snapshot(stretch(3, 4, until=1))) == (
        "the latest position cannot be reached: there is no base backup of the cluster "
        "7300000000000000001",
        "take a full backup, or name another environment or timeline",
    )


# The primary failed over in segment 6: timeline 1 was left there, with WAL after it that nobody
# else saw, and timeline 2 went on.
FAILOVER = snapshot(
    backup("monday", stop=3, at=0, next_xid=1000),
    stretch(3, 7, until=10, next_xid=1100),
    stretch(6, 9, until=20, next_xid=1200, timeline=2),
)
LEFT = {2: ((1, 6 * SEGMENT + 1000),)}


def test_recovery_follows_the_newest_timeline_and_reads_the_switch_segment_from_it():
    found = plan(RecoveryTarget(time=minute(15)), FAILOVER, switches=LEFT)
    assert found.timelines == [1, 2]
    assert (found.first_segment, found.last_segment) == (name(4, 1), name(9, 2))
    assert found.segment_count == 6


def test_wal_of_an_abandoned_branch_proves_nothing_about_the_new_timeline():
    cut = snapshot(*FAILOVER.backups, FAILOVER.stretches[0])
    found = plan(RecoveryTarget(latest=True, timeline=2), cut, switches=LEFT)
    assert found.reaches_time == minute(0)


def test_abandoned_branch_is_reached_when_it_is_asked_for():
    found = plan(RecoveryTarget(lsn=7 * SEGMENT + 9, timeline=1), FAILOVER, switches=LEFT)
    assert (found.timelines, found.last_segment) == ([1], name(7, 1))


# A full backup and incrementals on it; then the next full one.
CHAIN = snapshot(
    backup("sunday", stop=3, at=0),
    stretch(3, 20, until=100),
    backup("morning", stop=5, at=15, parent="sunday"),
    backup("noon", stop=8, at=25, parent="morning"),
    backup("evening", stop=10, at=35, parent="noon"),
    backup("monday", stop=15, at=55),
)


def without_backups(catalog: CatalogSnapshot, *lost: str) -> CatalogSnapshot:
    """The catalog without the records of these backups."""
    kept = [one for one in catalog.backups if one.id not in lost]
    return snapshot(*kept, *catalog.stretches)


def test_newest_backup_is_chosen_though_it_is_an_incremental_and_brings_its_chain():
    found = plan(RecoveryTarget(time=minute(30)), CHAIN)
    assert found.backup_id == "noon"
    assert [(one.id, one.method) for one in found.chain] == [
        ("sunday", "full"),
        ("morning", "incremental"),
        ("noon", "incremental"),
    ]
    assert found.first_segment == name(9)
    assert found.bytes_to_fetch == (10 + 1 + 1) * MIB + found.wal_stored_bytes
    # All of them, and what is made of them, lie beside each other.
    assert found.bytes_to_write == 2 * (40 + 4 + 4) * MIB + found.wal_raw_bytes


def test_incremental_is_used_when_it_is_named():
    target = RecoveryTarget(time=minute(90))
    assert plan(target, CHAIN).backup_id == "monday"
    named = plan(target, CHAIN, backup_id="evening")
    assert [one.id for one in named.chain] == ["sunday", "morning", "noon", "evening"]


def test_broken_chain_is_passed_over_and_the_plan_says_what_is_missing():
    broken = without_backups(CHAIN, "morning")
    found = plan(RecoveryTarget(time=minute(40)), broken)
    assert (found.backup_id, len(found.chain)) == ("sunday", 1)
    assert found.missing == ["backup evening builds on morning, which is gone"]
    assert found.describe()[-1] == (
        "missing:       backup evening builds on morning, which is gone"
    )


def test_broken_chain_that_would_not_have_helped_is_not_spoken_of():
    broken = without_backups(CHAIN, "morning")
    assert plan(RecoveryTarget(time=minute(60)), broken).missing == []
    assert plan(RecoveryTarget(time=minute(20)), broken).missing == []


def test_broken_chain_that_is_named_is_refused():
    with pytest.raises(ChainBroken) as refused:
        plan(RecoveryTarget(latest=True), without_backups(CHAIN, "morning"), backup_id="evening")
    assert refused.value.message == "backup evening builds on morning, which is gone"


def test_target_that_only_a_broken_chain_leads_to_is_refused_with_what_is_missing():
    broken = without_backups(CHAIN, "sunday", "monday")
    message, hint = refusal(RecoveryTarget(time=minute(40)), broken)
    assert message == (
        "2026-03-01T12:40:00+00:00 cannot be reached: there is no base backup of the cluster "
        "7300000000000000001 that can be restored; backup evening builds on sunday, which is gone"
    )
    assert hint == "take a full backup, or name another environment or timeline"


def test_backup_after_the_target_says_what_the_broken_chain_before_it_lacks():
    message, hint = refusal(RecoveryTarget(time=minute(40)), without_backups(CHAIN, "sunday"))
    assert message == (
        "2026-03-01T12:40:00+00:00 cannot be reached: it lies before the end of the first base "
        "backup, monday (2026-03-01T12:55:00+00:00); "
        "backup evening builds on sunday, which is gone"
    )
    assert hint == "nearest that can be reached: 2026-03-01T12:55:00+00:00 after it"


def test_chain_is_described_and_a_long_one_abridged():
    shown = plan(RecoveryTarget(time=minute(30)), CHAIN).describe()[2]
    assert shown == "chain:         a full backup and 2 incremental: sunday → morning → noon"
    days = [backup(f"i{day}", stop=3, at=day, parent=f"i{day - 1}") for day in range(1, 10)]
    long = snapshot(backup("i0", stop=3, at=0), *days)
    assert plan(RecoveryTarget(latest=True), long, backup_id="i9").describe()[2] == (
        "chain:         a full backup and 9 incremental: i0 → i1 → (6 more) → i8 → i9"
    )


def test_expected_time_counts_the_whole_chain_twice():
    """Its backups are unpacked, and then combined."""
    measured = snapshot(*CHAIN.backups, *CHAIN.stretches)
    measured.proofs["monday"] = [
        Proof(
            recovery_point_id="monday",
            level="restored",
            shown_at=minute(60),
            run="test",
            restore_seconds=4.0,
        )
    ]
    found = plan(RecoveryTarget(time=minute(15)), measured)
    assert (found.backup_id, found.segment_count) == ("morning", 0)
    assert found.expected_seconds == pytest.approx(2 * (40 + 4) / 10)


def test_expected_time_comes_from_the_latest_measured_restore():
    assumed = plan(RecoveryTarget(latest=True))
    assert assumed.expected_from == "100.0 MB/s assumed, none measured yet"
    shown = Proof(
        recovery_point_id="monday",
        level="restored",
        shown_at=minute(60),
        run="test",
        restore_seconds=4.0,
    )
    measured = snapshot(*DAY.backups, *DAY.stretches)
    measured.proofs["monday"] = [shown]
    found = plan(RecoveryTarget(time=minute(0)), measured)
    assert found.expected_seconds == pytest.approx(4.0)
    assert found.expected_from == "10.5 MB/s measured 2026-03-01"


def test_plan_describes_itself():
    assert plan(RecoveryTarget(time=minute(17))).describe() == [
        "target:        2026-03-01T12:17:00+00:00",
        "base backup:   tuesday, ended 2026-03-01 12:15:00Z at 0/8000190",
        f"WAL:           {name(9)} to {name(9)} (segments: 1), timeline 1",
        "WAL reaches:   2026-03-01 12:20:00Z, 0/D000000",
        "to fetch:      11.5 MB",
        "to write:      58.7 MB",
        "stops by:      recovery_target_time = 2026-03-01 12:17:00+00:00, "
        "recovery_target_inclusive = on",
        "expected time: 1 s (100.0 MB/s assumed, none measured yet)",
    ]


def test_plan_survives_its_own_json():
    found = plan(RecoveryTarget(lsn=9 * SEGMENT))
    assert RecoveryPlan.from_json(found.to_json()) == found
