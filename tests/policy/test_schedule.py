"""The longest silence of a cron expression, by the rules of cron."""

from datetime import timedelta

import pytest

from ledgerkeep.policy.schedule import longest_interval


@pytest.mark.parametrize(
    ("cron", "length"),
    [
        ("*/15 * * * *", timedelta(minutes=15)),
        ("0 1 * * *", timedelta(days=1)),
        ("0 1,2 * * *", timedelta(hours=23)),
        ("0 3 * * SUN", timedelta(days=7)),
        ("0 8-18 * * 1-5", timedelta(hours=62)),
        ("0 6 1 * *", timedelta(days=31)),
        ("0 6 1 */6 *", timedelta(days=184)),
        ("0 0 1 * 1", timedelta(days=7)),  # day or weekday: either of them is enough
        ("0 0 29 2 *", timedelta(days=1461)),
        ("0 0 L * *", timedelta(days=31)),
    ],
)
def test_longest_interval(cron: str, length: timedelta) -> None:
    assert longest_interval(cron) == length
