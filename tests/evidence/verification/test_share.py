"""Each object is read within the promised time, and no day carries the load of many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledgerkeep.evidence.verification.share import Stored, overdue, todays_share

START = datetime(2026, 3, 1, 7, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)
GB = 10**9


def stored(name: str, size: int, at: datetime) -> Stored:
    return Stored(system_identifier="7", id=name, size=size, objects=1, last_read=at)


class Store:
    """What is stored, with a verification each day."""

    def __init__(self, within: timedelta = MONTH) -> None:
        self.within = within
        self.kept: dict[str, Stored] = {}
        self.loads: list[int] = []
        self.oldest = timedelta(0)

    def write(self, name: str, size: int, at: datetime) -> None:
        self.kept[name] = stored(name, size, at)

    def verify(self, now: datetime) -> None:
        share = todays_share(self.kept.values(), now=now, within=self.within, interval=DAY)
        self.loads.append(sum(one.size for one in share))
        for one in share:
            self.oldest = max(self.oldest, now - one.last_read)
            self.kept[one.id] = replace(one, last_read=now)
        assert overdue(self.kept.values(), now=now, within=self.within) == []


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=25),
    new=st.lists(st.integers(1, 50), min_size=1, max_size=7),
    keep=st.integers(2, 60),
    missed=st.sets(st.integers(0, 149)),
    late=st.lists(st.integers(0, 59), min_size=1, max_size=5),
)
@example(sizes=[50], new=[1], keep=60, missed=set(range(20, 23)), late=[59, 0])
@settings(max_examples=30, deadline=None)
def test_nothing_goes_unread_for_longer_than_promised(
    sizes: list[int], new: list[int], keep: int, missed: set[int], late: list[int]
) -> None:
    """Over five months, with up to two runs in a row missed, and runs that begin late."""
    store = Store()
    for number, size in enumerate(sizes):
        store.write(f"old-{number}", size, START)
    run = 0
    for day in range(150):
        now = START + day * DAY
        store.write(f"new-{day}", new[day % len(new)], now)
        store.kept.pop(f"new-{day - keep}", None)
        if day in missed and run < 2:
            run += 1
            continue
        run = 0
        store.verify(now + timedelta(minutes=late[day % len(late)]))
    assert store.oldest <= MONTH


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=60))
@settings(max_examples=30, deadline=None)
def test_load_is_even_although_all_was_written_on_one_day(sizes: list[int]) -> None:
    """No day reads much more than its part of the month and one object, which is not divided."""
    store = Store()
    for number, size in enumerate(sizes):
        store.write(f"{number}", size, START)
    for day in range(1, 120):
        store.verify(START + day * DAY)
    assert max(store.loads) <= 1.25 * sum(sizes) / 27 + 2 * max(sizes)
    # Nothing is read far too often: at most every 17 days where a month is promised.
    assert sum(store.loads) <= sum(sizes) * 7


def test_load_stays_even_where_backups_come_and_go() -> None:
    """A full backup of 200 GB each day kept for 30 days, WAL of 5 GB a day kept for 7."""
    store = Store()
    for day in range(200):
        now = START + day * DAY
        store.write(f"full-{day}", 200 * GB, now)
        store.write(f"wal-{day}", 5 * GB, now)
        store.kept.pop(f"full-{day - 30}", None)
        store.kept.pop(f"wal-{day - 7}", None)
        store.verify(now + timedelta(hours=1))
    # Each full is read once before it goes: one a day. WAL goes before it is due.
    assert max(store.loads[30:]) <= 400 * GB
    assert sum(store.loads[30:]) / 170 <= 205 * GB


def test_oldest_reading_comes_first() -> None:
    kept = [stored(name, 10, START - age * DAY) for name, age in (("a", 3), ("b", 27), ("c", 26))]
    share = todays_share(kept, now=START, within=MONTH, interval=DAY)
    assert [one.id for one in share] == ["b"]


def test_what_is_damaged_is_read_each_time() -> None:
    kept = [stored("sound", 10, START), replace(stored("damaged", 10, START), damaged=True)]
    for day in (0, 1, 2):
        share = todays_share(kept, now=START + day * DAY, within=MONTH, interval=DAY)
        assert [one.id for one in share] == ["damaged"]


def test_large_object_is_not_read_long_before_it_must_be() -> None:
    store = Store()
    store.write("only", 200 * GB, START)
    for day in range(1, 109):
        store.verify(START + day * DAY)
    assert [day for day, load in enumerate(store.loads, 1) if load] == [27, 54, 81, 108]


def test_everything_is_read_each_time_where_runs_are_rare() -> None:
    kept = [stored(f"{number}", 10, START - number * DAY) for number in range(5)]
    share = todays_share(kept, now=START, within=MONTH, interval=MONTH)
    assert {one.id for one in share} == {"0", "1", "2", "3", "4"}


def test_missed_runs_are_made_up_for() -> None:
    store = Store()
    for number in range(27):
        store.write(f"{number}", 10, START)
    store.verify(START + 15 * DAY)
    # 270 in the 13 runs that are left, the usual day being 12.5
    assert store.loads == [120]
    store.verify(START + 16 * DAY)
    assert store.loads == [120, 20]


def test_empty_store_has_no_share() -> None:
    assert todays_share([], now=START, within=MONTH, interval=DAY) == []
