"""What a cron expression promises: whether it is one, and its longest silence.

A schedule that Airflow would refuse is found when the policy is read, not when the DAG is built.
The longest time between two runs is what retention and recovery point objectives compare with.
Both are looked up once for each expression: policies share most of theirs.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise

_DAY = 24 * 60


@cache
def cron_fault(expression: str) -> str:
    """What is wrong with a cron expression, in words; empty when nothing is."""
    from croniter import CroniterBadDateError, CroniterError, croniter

    try:
        croniter(expression, _START).get_next()
    except CroniterBadDateError:
        return f"{expression!r}, which never comes true"
    except CroniterError:
        return f"{expression!r}, which is no cron expression"
    return ""


@cache
def longest_interval(expression: str) -> timedelta:
    """The longest time between two firings of a cron expression that `cron_fault` finds good."""
    from croniter import croniter

    fields, _ = croniter.expand(expression)
    minutes, hours, days, months, weekdays = (
        _numbers([str(value) for value in values], start, stop)
        for values, (start, stop) in zip(fields, _RANGES, strict=True)
    )
    moments = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    overnight = _longest_days(days, months, weekdays) * _DAY - moments[-1] + moments[0]
    within = max((later - sooner for sooner, later in pairwise(moments)), default=0)
    return timedelta(minutes=max(overnight, within))


_START = datetime(2024, 1, 1, tzinfo=UTC)
_RANGES = [(0, 60), (0, 24), (1, 32), (1, 13), (0, 7)]


def _numbers(values: list[str], start: int, stop: int) -> set[int]:
    """The numbers of one cron field; the last day of a month counts as its earliest, the 28th."""
    if values == ["*"]:
        return set(range(start, stop))
    return {28 if value == "l" else int(value) for value in values}


def _longest_days(days: set[int], months: set[int], weekdays: set[int]) -> int:
    """The most days from one day that fires to the next."""
    # Nine years hold two leap days; where only weekdays are limited, two weeks tell all.
    span = 15 if len(months) == 12 and len(days) == 31 else 9 * 366
    either = len(days) < 31 and len(weekdays) < 7
    fires = [
        number
        for number in range(_START.toordinal(), _START.toordinal() + span)
        if _fires_on(date.fromordinal(number), days, months, weekdays, either=either)
    ]
    return max(later - sooner for sooner, later in pairwise(fires))


def _fires_on(
    day: date, days: set[int], months: set[int], weekdays: set[int], *, either: bool
) -> bool:
    """Cron's rule: when day and weekday are both limited, either of them is enough."""
    if day.month not in months:
        return False
    by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
    return by_date or by_weekday if either else by_date and by_weekday


def firings(expression: str, since: datetime, until: datetime) -> list[datetime]:
    """When a cron expression fires in [since, until), in UTC."""
    from croniter import croniter

    # croniter gives moments after its start, and `since` itself belongs to the period.
    moments = croniter(expression, since.astimezone(UTC) - timedelta(seconds=1))
    found: list[datetime] = []
    while (moment := moments.get_next(datetime)) < until:
        found.append(moment)
    return found
