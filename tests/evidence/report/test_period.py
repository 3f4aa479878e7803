"""A report covers a month: the one asked for, the one before, or this one so far."""

from datetime import UTC, datetime

import pytest

from ledgerkeep.errors import EvidenceError
from ledgerkeep.evidence.report.model import Period
from ledgerkeep.evidence.report.period import report_period

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


def at(year: int, month: int) -> datetime:
    return datetime(year, month, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "scheduled", "since", "until"),
    [
        ("", True, at(2025, 12), at(2026, 1)),
        ("", False, at(2026, 1), NOW),
        ("2025-11", True, at(2025, 11), at(2025, 12)),
        ("2026-01", True, at(2026, 1), NOW),
    ],
)
def test_period(wanted: str, scheduled: bool, since: datetime, until: datetime) -> None:
    assert report_period(wanted, scheduled=scheduled, now=NOW) == Period(since=since, until=until)


@pytest.mark.parametrize("wanted", ["2026-02", "2025-13", "last month"])
def test_month_that_is_none_or_has_not_begun_is_refused(wanted: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        report_period(wanted, scheduled=False, now=NOW)
    assert caught.value.message == f"there is no report on {wanted!r}"
    assert caught.value.hint == ("name a month up to 2026-01 as year and month, such as 2026-01")
