"""For any catalog and loss: no plan has a hole, and every target that can be reached is planned.

The oracle is written the other way round from the planner: it looks, segment by segment, whether
some backup leads to the target.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.lsn import parse_segment_name
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import TargetUnreachable
from ledgerkeep.recovery.plan import plan_recovery
from ledgerkeep.recovery.target import RecoveryTarget, parse_target
from tests.recovery.samples import NOW, SEGMENT, backup, listed, minute, name, snapshot, stretch

FIRST, LAST = 3, 24


@st.composite
def histories(draw) -> tuple[CatalogSnapshot, list[str]]:
    """One timeline: shipping runs, some of which follow a hole, backups, and what was lost of both.

    A backup is a full one or builds on any one before it, which may be gone.

    Segment n is written during minute n, so minutes, positions and transactions agree.
    """
    number, points = FIRST, []
    while number < LAST:
        number += draw(st.sampled_from([0, 0, 0, 1, 2]))
        last = number + draw(st.integers(0, 4))
        points.append(stretch(number, last, until=last + 1, next_xid=1000 + (last + 1) * 10))
        number = last + 1
    older: list[str] = []
    for stop in sorted(draw(st.sets(st.integers(FIRST - 1, LAST), max_size=6))):
        parent = draw(st.sampled_from([*older, None]))
        made = backup(
            f"b{stop}", stop=stop, at=stop + 0.5, next_xid=1005 + stop * 10, parent=parent
        )
        older.append(made.id)
        if not draw(st.sampled_from([False, False, True])):
            points.append(made)
    catalog = snapshot(*points)
    stored = sorted(listed(catalog).segments)
    return catalog, draw(st.lists(st.sampled_from(stored), unique=True, max_size=3))


def restorable(catalog: CatalogSnapshot) -> list[BaseBackup]:
    """The backups with all that they build on, found from the full ones upwards."""
    whole: dict[str | None, BaseBackup | None] = {None: None}
    for one in sorted(catalog.backups, key=lambda backup: backup.stop_lsn):
        if one.parent_id in whole:
            whole[one.id] = one
    return [one for one in whole.values() if one is not None]


def leads_to(catalog: CatalogSnapshot, lost: list[str], minutes: float) -> bool:
    """Whether a backup, the shipping runs and what is left of them lead to that minute."""
    shipped = {
        number
        for one in catalog.stretches
        for number in range(one.start_lsn // SEGMENT, one.end_lsn // SEGMENT)
    }
    kept = {number for number in shipped if name(number) not in lost}
    for one in restorable(catalog):
        stop = one.stop_lsn // SEGMENT
        if minutes == stop + 0.5:
            return True
        ends = [
            run.end_lsn // SEGMENT
            for run in catalog.stretches
            if run.covered_until >= minute(minutes)
        ]
        if minutes > stop + 0.5 and ends and set(range(stop + 1, min(ends))) <= kept:
            return True
    return False


@given(histories(), st.integers(2 * FIRST - 4, 2 * LAST + 12).map(lambda half: half / 2))
def test_every_reachable_moment_is_planned_and_no_other(history, minutes):
    catalog, lost = history
    wal = listed(catalog, without=lost)
    target = RecoveryTarget(time=minute(minutes))
    try:
        plan = plan_recovery(catalog, wal, target, now=NOW)
    except TargetUnreachable:
        assert not leads_to(catalog, lost, minutes)
        return
    assert leads_to(catalog, lost, minutes)
    assert plan.backup_id in {one.id for one in restorable(catalog)}
    assert plan.backup_stopped_at <= minute(minutes) <= plan.reaches_time


@given(histories(), st.integers(FIRST * SEGMENT, (LAST + 4) * SEGMENT))
def test_no_plan_has_a_hole_and_no_position_is_refused_without_one(history, lsn):
    catalog, lost = history
    wal = listed(catalog, without=lost)
    try:
        plan = plan_recovery(catalog, wal, RecoveryTarget(lsn=lsn), now=NOW)
    except TargetUnreachable:
        for one in restorable(catalog):
            after_stop = range(one.stop_lsn // SEGMENT + 1, -(-lsn // SEGMENT))
            in_backup = not after_stop and lsn > one.stop_lsn
            whole = {name(number) for number in after_stop} <= set(wal.segments)
            assert lsn < one.stop_lsn or in_backup or not whole
        return
    stop = (plan.backup_stop_lsn - 1) // SEGMENT
    end = stop
    if plan.last_segment is not None:
        assert parse_segment_name(plan.first_segment, SEGMENT) == (1, stop + 1)
        end = parse_segment_name(plan.last_segment, SEGMENT)[1]
    needed = [name(number) for number in range(stop + 1, plan.available_until // SEGMENT)]
    assert set(needed) <= set(wal.segments)
    assert plan.segment_count == end - stop
    assert lsn <= (end + 1) * SEGMENT <= max(plan.available_until, (stop + 1) * SEGMENT)


@given(histories(), st.sampled_from(["time", "lsn", "xid"]), st.integers(0, LAST + 6))
def test_the_nearest_targets_of_a_refusal_can_be_reached(history, kind, number):
    catalog, lost = history
    wal = listed(catalog, without=lost)
    values = {
        "time": minute(number).isoformat(),
        "lsn": f"0/{number * SEGMENT:X}",
        "xid": str(1000 + number * 10),
    }
    try:
        plan_recovery(catalog, wal, parse_target(kind, values[kind]), now=NOW)
    except TargetUnreachable as refused:
        if not restorable(catalog) or refused.hint.endswith("none of this kind"):
            return
        for near in refused.hint.removeprefix("nearest that can be reached: ").split(", "):
            plan_recovery(catalog, wal, parse_target(kind, near.split()[0]), now=NOW)


@given(histories())
def test_a_plan_restores_a_full_backup_and_every_incremental_up_to_the_newest_whole_one(history):
    catalog, lost = history
    sound = restorable(catalog)
    wal, target = listed(catalog, without=lost), RecoveryTarget(latest=True)
    if not sound:
        with pytest.raises(TargetUnreachable):
            plan_recovery(catalog, wal, target, now=NOW)
        return
    plan = plan_recovery(catalog, wal, target, now=NOW)
    known = {one.id: one for one in catalog.backups}
    chain = [known[one.id] for one in plan.chain]
    assert [one.parent_id for one in chain] == [None, *(one.id for one in chain[:-1])]
    assert chain[-1].id == plan.backup_id
    assert chain[-1] == max(sound, key=lambda one: one.stop_lsn)
