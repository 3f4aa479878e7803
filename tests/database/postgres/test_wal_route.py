"""Which WAL a run ships, decided from plain data."""

import pytest

from ledgerkeep.catalog.lsn import segment_of
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.timeline_history import TimelineHistory
from ledgerkeep.database.postgres.wal_route import (
    Available,
    Leg,
    first_legs,
    legs_from,
    resumed_legs,
    walk_back,
)
from ledgerkeep.errors import WalGap

SIZE = 1 << 20
PROMOTED = TimelineHistory(2, ((1, 5 * SIZE + 96),))


def _last(end: int, timeline: int = 1) -> WalStretch:
    return WalStretch(
        id="x",
        environment="production",
        cluster="c",
        system_identifier="1",
        created_at="2026-01-01T00:00:00Z",
        made_by="test",
        timeline=timeline,
        segment_size=SIZE,
        start_lsn=end - SIZE,
        end_lsn=end,
        first_segment=segment_of(timeline, end - SIZE, SIZE),
        last_segment=segment_of(timeline, end - SIZE, SIZE),
        segment_count=1,
        raw_bytes=SIZE,
        stored_bytes=1,
        covered_until="2026-01-01T00:00:00Z",
        next_xid=1,
    )


def _names(timeline: int, *numbers: int) -> set[str]:
    return {segment_of(timeline, number * SIZE, SIZE) for number in numbers}


def test_stored_segments_right_before_the_reserved_ones_are_available() -> None:
    """Down to the first that is missing, or to where the caller says stop."""
    stored = _names(1, 2, 4, 5, 6, 9)
    assert walk_back(1, 7 * SIZE, stored, SIZE) == Available(1, 4 * SIZE, 7 * SIZE)
    assert walk_back(1, 7 * SIZE, stored, SIZE, stop=6 * SIZE).start == 6 * SIZE
    assert walk_back(1, 8 * SIZE, stored, SIZE).start == 8 * SIZE


def test_without_a_switch_there_is_one_leg() -> None:
    """From the last end to the target."""
    legs = legs_from(TimelineHistory(1), 1, 3 * SIZE, 9 * SIZE, SIZE)
    assert legs == [Leg(1, 3 * SIZE, 3 * SIZE, 9 * SIZE)]


def test_a_switch_inside_a_segment_leaves_a_partial_one() -> None:
    """The new timeline starts with the segment that holds the switch."""
    old, new = legs_from(PROMOTED, 1, 3 * SIZE, 9 * SIZE, SIZE)
    assert old == Leg(1, 3 * SIZE, 3 * SIZE, 5 * SIZE, left_at=5 * SIZE + 96)
    assert old.partial_start(SIZE) == 5 * SIZE
    assert new == Leg(2, 5 * SIZE, 5 * SIZE, 9 * SIZE)
    assert new.partial_start(SIZE) is None


def test_a_switch_at_a_border_leaves_no_partial_segment() -> None:
    """Everything of the old timeline is whole."""
    old, new = legs_from(TimelineHistory(2, ((1, 5 * SIZE),)), 1, 5 * SIZE, 9 * SIZE, SIZE)
    assert (old.start, old.end, old.partial_start(SIZE)) == (5 * SIZE, 5 * SIZE, None)
    assert new.start == 5 * SIZE


def test_a_first_run_takes_what_is_stored_along() -> None:
    """It streams only what is not."""
    legs = first_legs(TimelineHistory(1), Available(1, 2 * SIZE, 4 * SIZE), 9 * SIZE, SIZE)
    assert legs == [Leg(1, 2 * SIZE, 4 * SIZE, 9 * SIZE)]


def test_stored_segments_close_what_the_server_has_forgotten() -> None:
    """No hole, on the same timeline and on one that followed completely."""
    available = Available(1, 3 * SIZE, 7 * SIZE)
    (leg,) = resumed_legs(TimelineHistory(1), _last(3 * SIZE), available, [], 9 * SIZE)
    assert (leg.start, leg.stream_from, leg.end, leg.hole_before) == (
        3 * SIZE,
        7 * SIZE,
        9 * SIZE,
        None,
    )
    available = Available(2, 5 * SIZE, 7 * SIZE)
    (leg,) = resumed_legs(PROMOTED, _last(5 * SIZE), available, [], 9 * SIZE)
    assert (leg.timeline, leg.start, leg.stream_from) == (2, 5 * SIZE, 7 * SIZE)


def test_a_gap_without_a_base_backup_behind_it_is_refused() -> None:
    """Both segments are named."""
    available = Available(1, 5 * SIZE, 7 * SIZE)
    with pytest.raises(WalGap) as refused:
        resumed_legs(TimelineHistory(1), _last(3 * SIZE), available, [4 * SIZE], 9 * SIZE)
    assert refused.value.message == (
        "WAL is lost: the last stored segment is 000000010000000000000002, "
        "the first one the server still has is 000000010000000000000005"
    )


def test_the_old_timelines_rest_is_part_of_the_gap() -> None:
    """A server that has only its new timeline has not got what came before."""
    available = Available(2, 5 * SIZE, 5 * SIZE)
    with pytest.raises(WalGap):
        resumed_legs(PROMOTED, _last(3 * SIZE), available, [], 9 * SIZE)


def test_a_base_backup_behind_the_gap_lets_shipping_go_on() -> None:
    """With the hole on record."""
    available = Available(2, 6 * SIZE, 7 * SIZE)
    (leg,) = resumed_legs(PROMOTED, _last(3 * SIZE), available, [6 * SIZE + 40], 9 * SIZE)
    assert (leg.timeline, leg.start, leg.stream_from) == (2, 6 * SIZE, 7 * SIZE)
    assert leg.hole_before is not None
    assert (leg.hole_before.start_lsn, leg.hole_before.end_lsn) == (3 * SIZE, 6 * SIZE)
