"""What is stored behind the last record, found without one."""

from datetime import UTC, datetime, timedelta

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import segment_name
from ledgerkeep.catalog.models import WalStretch
from ledgerkeep.database.postgres.wal_goal import Mark, Marks
from ledgerkeep.database.postgres.wal_segment import Segment, describe_segment
from ledgerkeep.database.postgres.wal_tail import stored_tail, with_tail
from tests.database.postgres.wal_support import MEGABYTE, catalog_for

SYSTEM = "7300000000000000001"
THEN = datetime(2026, 11, 22, 10, tzinfo=UTC)
LAST = WalStretch(
    id="last",
    environment="production",
    cluster="c",
    system_identifier=SYSTEM,
    created_at=THEN,
    made_by="test",
    timeline=1,
    segment_size=MEGABYTE,
    start_lsn=4 * MEGABYTE,
    end_lsn=8 * MEGABYTE,
    first_segment=segment_name(1, 4, MEGABYTE),
    last_segment=segment_name(1, 7, MEGABYTE),
    segment_count=4,
    raw_bytes=4 * MEGABYTE,
    stored_bytes=400,
    covered_until=THEN,
    next_xid=700,
)


def stored(catalog: Catalog, *numbers: int, timeline: int = 1, marked: bool = True) -> None:
    for number in numbers:
        segment = Segment("production", SYSTEM, timeline, number * MEGABYTE, MEGABYTE)
        mark = Mark(segment.end - 1, THEN + timedelta(seconds=number), 1000 + number)
        about = describe_segment(segment, Marks(mark) if marked else None)
        catalog.store.put(segment.key, b"%d" % number, metadata=about)


def test_the_tail_follows_the_last_record_up_to_the_first_gap() -> None:
    catalog = catalog_for("s")
    stored(catalog, 4, 5, 6, 7, 8, 9, 11)
    tail = stored_tail(catalog, SYSTEM, LAST)
    assert tail is not None
    assert (tail.start_lsn, tail.end_lsn) == (8 * MEGABYTE, 10 * MEGABYTE)
    assert tail.id == f"{segment_name(1, 8, MEGABYTE)}-{segment_name(1, 9, MEGABYTE)}"
    assert (tail.segment_count, tail.stored_bytes) == (2, 2)
    assert (tail.covered_until, tail.next_xid) == (THEN + timedelta(seconds=9), 1009)


def test_there_is_none_where_nothing_follows() -> None:
    catalog = catalog_for("s")
    stored(catalog, 4, 5, 6, 7)
    assert stored_tail(catalog, SYSTEM, LAST) is None
    stored(catalog, 9)
    assert stored_tail(catalog, SYSTEM, LAST) is None


def test_a_tail_that_says_nothing_of_its_time_does_not_count() -> None:
    catalog = catalog_for("s")
    stored(catalog, 8, marked=False)
    assert stored_tail(catalog, SYSTEM, LAST) is None


def test_a_partial_segment_is_no_segment() -> None:
    catalog = catalog_for("s")
    stored(catalog, 8)
    partial = keys.wal_segment("production", SYSTEM, segment_name(1, 9, MEGABYTE) + ".partial")
    catalog.store.put(partial, b"partial")
    tail = stored_tail(catalog, SYSTEM, LAST)
    assert tail is not None
    assert tail.segment_count == 1


def test_a_newer_timeline_counts_where_it_goes_on_at_the_very_end() -> None:
    catalog = catalog_for("s")
    stored(catalog, 8, timeline=2)
    stored(catalog, 12, timeline=3)
    tail = stored_tail(catalog, SYSTEM, LAST)
    assert tail is not None
    assert (tail.timeline, tail.start_lsn) == (2, 8 * MEGABYTE)


def test_a_snapshot_gets_its_tail() -> None:
    catalog = catalog_for("s")
    assert with_tail(catalog, catalog.snapshot(SYSTEM)).stretches == []
    catalog.commit_stretch(LAST)
    stored(catalog, 8)
    snapshot = with_tail(catalog, catalog.snapshot(SYSTEM))
    assert [one.end_lsn for one in snapshot.stretches] == [8 * MEGABYTE, 9 * MEGABYTE]


def test_the_newest_mark_before_a_position_is_the_one_it_makes_good() -> None:
    first, second, third = (Mark(lsn, THEN, lsn) for lsn in (10, 20, 30))
    marks = Marks(None, first, second)
    marks.add(third)
    assert [marks.at(lsn) for lsn in (9, 10, 29, 30)] == [None, first, second, third]
    marks.forget_before(25)
    assert [marks.at(lsn) for lsn in (10, 25, 30)] == [None, second, third]
