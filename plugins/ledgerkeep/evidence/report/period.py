"""Which time a compliance report covers."""

import re
from datetime import UTC, datetime, timedelta

from ledgerkeep.errors import EvidenceError
from ledgerkeep.evidence.report.model import Period

_MONTH = re.compile(r"^(\d{4})-(0[1-9]|1[0-2])$")


def report_period(wanted: str, *, scheduled: bool, now: datetime) -> Period:
    """The month asked for; else the month before for a scheduled report, this month for others.

    A month that is not over ends now.

    :param wanted: `2026-11`, or empty.
    :raises EvidenceError: it is no month, or one that has not begun.
    """
    if wanted:
        return _month(_begin(wanted, now), now)
    this_month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if scheduled:
        return _month((this_month - timedelta(days=1)).replace(day=1), now)
    return _month(this_month, now)


def _begin(wanted: str, now: datetime) -> datetime:
    found = _MONTH.match(wanted)
    begin = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC) if found else None
    if begin is None or begin > now:
        raise EvidenceError(
            f"there is no report on {wanted!r}",
            hint=f"name a month up to {now:%Y-%m} as year and month, such as {now:%Y-%m}",
        )
    return begin


def _month(begin: datetime, now: datetime) -> Period:
    following = (begin + timedelta(days=32)).replace(day=1)
    return Period(since=begin, until=min(following, now))
