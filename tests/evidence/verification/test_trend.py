"""Sizes against their trend, with the figures."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.evidence.verification.trend import check_trend, expected_size
from tests.evidence.verification.test_completeness import backup, stretch

START = datetime(2026, 3, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1)
GB = 10**9


def fulls(*sizes: float, ratio: float = 0.4) -> list[BaseBackup]:
    """One each day, of so many GB; the last one is judged."""
    return [
        backup(START + number * DAY, raw_bytes=int(size * GB), stored_bytes=int(size * GB * ratio))
        for number, size in enumerate(sizes)
    ]


def check(backups: list[BaseBackup], stretches: Any = ()) -> Part:
    last = max([one.stopped_at for one in backups] + [one.created_at for one in stretches])
    now = last + timedelta(hours=6)
    kept = CatalogSnapshot("production", "7", backups, list(stretches))
    return check_trend(kept, since=now - timedelta(hours=26), now=now, percent=20)


def told(part: Part) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in part.findings]


def test_steady_growth_is_no_deviation() -> None:
    """Three percent a day: 27 % in a week, and every backup where it is expected."""
    part = check(fulls(*(200 * 1.03**day for day in range(9))))
    assert told(part) == []
    assert part.measurements["full_holds_deviation_percent"] == pytest.approx(0, abs=0.1)


def test_backup_out_of_its_trend_is_a_warning_with_both_figures() -> None:
    (last,) = [one.id for one in fulls(200, 202, 204, 206, 120)[-1:]]
    part = check(fulls(200, 202, 204, 206, 120))
    assert told(part) == [
        (
            "warning",
            f"full backup {last} holds 120.0 GB, -42 % against the 208.0 GB that the 4 before it "
            "lead to; up to 20 % is usual",
        ),
        (
            "warning",
            f"full backup {last} takes up 48.0 GB, -42 % against the 83.2 GB that the 4 before it "
            "lead to; up to 20 % is usual",
        ),
    ]


def test_data_that_no_longer_compress_are_seen_in_the_stored_size() -> None:
    made = fulls(200, 202, 204, 206, 208)
    made[-1] = made[-1].model_copy(update={"stored_bytes": 207 * GB})
    ((severity, what),) = told(check(made))
    assert severity == "warning"
    assert "takes up 207.0 GB, +149 % against the 83.2 GB" in what


def test_one_outlier_before_does_not_move_the_trend() -> None:
    """Yesterday's was half the size; today's is as ever."""
    assert told(check(fulls(200, 202, 204, 206, 208, 100, 212))) == []


def test_growth_that_was_meant_is_the_trend_a_week_later() -> None:
    grown = [200.0] * 8 + [300.0] * 8
    assert len(told(check(fulls(*grown[:9])))) == 2
    assert told(check(fulls(*grown))) == []


def test_four_backups_are_needed_for_a_trend() -> None:
    made = fulls(200, 202, 900)
    assert told(check(made)) == [
        (
            "info",
            f"full backup {made[-1].id} holds 900.0 GB: not enough history for a trend, 2 full "
            "backups before it where 4 are needed",
        )
    ]


def test_backups_from_before_the_window_are_not_judged_again() -> None:
    made = fulls(200, 202, 204, 206, 120, 208)
    assert told(check(made)) == []


def wal(*gigabytes: float) -> list[Any]:
    """WAL of so many GB each day; the last day is still under way."""
    made = []
    for number, size in enumerate(gigabytes):
        at = START + number * DAY
        made.append(stretch(at).model_copy(update={"raw_bytes": int(size * GB)}))
    return made


def test_weekends_are_within_what_days_were_before() -> None:
    assert told(check([], wal(9, 5, 5, 1, 1, 5, 5, 5.9, 3))) == []


def test_day_with_far_more_wal_is_a_warning() -> None:
    assert told(check([], wal(9, 5, 5, 1, 1, 5, 5, 6.1, 3))) == [
        (
            "warning",
            "the WAL of the day was 6.1 GB on 2026-03-09; on the 6 days before it was 1.0 GB to "
            "5.0 GB, and up to 20 % beyond that is usual",
        )
    ]


def test_day_with_far_less_wal_is_a_warning_too() -> None:
    """The application may have stopped, or somebody stopped shipping for half a day."""
    ((severity, what),) = told(check([], wal(9, 5, 5, 4, 4, 5, 5, 3.1, 3)))
    assert (severity, what.partition(";")[0]) == (
        "warning",
        "the WAL of the day was 3.1 GB on 2026-03-09",
    )


def test_few_days_of_wal_are_not_judged() -> None:
    assert told(check([], wal(5, 5, 50, 5))) == []


def test_incrementals_are_held_against_those_of_the_days_before() -> None:
    made = [
        backup(
            START + day * DAY + hour * timedelta(hours=1),
            method="incremental",
            parent_id="p",
            raw_bytes=size * 10**6,
        )
        for day, size in enumerate([70, 80, 75, 90, 78, 300, 80])
        for hour in range(3)
    ]
    assert told(check(made)) == [
        (
            "warning",
            "an incremental backup held 300.0 MB on 2026-03-07; on the 4 days before it was "
            "75.0 MB to 90.0 MB, and up to 20 % beyond that is usual",
        )
    ]


@given(
    size=st.floats(1, 1e6),
    growth=st.floats(0.9, 1.1),
    days=st.integers(4, 8),
    spoiled=st.integers(0, 3),
    factor=st.floats(0.01, 100),
)
def test_trend_follows_steady_growth_whatever_one_backup_was(
    size: float, growth: float, days: int, spoiled: int, factor: float
) -> None:
    points = [(START + day * DAY, int(1e6 * size * growth**day)) for day in range(days)]
    clean = expected_size(points, START + days * DAY)
    assert clean == pytest.approx(1e6 * size * growth**days, rel=0.001)
    at, value = points[spoiled]
    points[spoiled] = (at, max(1, int(value * factor)))
    if days >= 6:
        assert expected_size(points, START + days * DAY) == pytest.approx(clean, rel=0.35)
