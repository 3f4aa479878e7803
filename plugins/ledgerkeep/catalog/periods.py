"""Days, weeks, months and years, each represented by one backup.

The first full backup of a period stands for it. Once there is one it stays the first, whatever
comes later, so nothing is ever promoted and no promise hangs on when retention runs. The first of
a month is not the first of its week: both stay from the start, each for its own period. An
incremental, or a backup with damaged pages, stands for a period only until there is a better one.

A period is kept as long as any of it lies within the promised time, so what stands for it stays
at least as long as promised, and at most one period longer. Weeks are ISO weeks; UTC. Pure.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.policy.model import DatabaseRetention

Day = Callable[[date], date]


@dataclass(frozen=True)
class PeriodClass:
    """One kind of period, by the first days of it and of the next one."""

    name: str
    word: str
    first_day: Day
    next_first_day: Day


def _week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _month(day: date) -> date:
    return day.replace(day=1)


def _year(day: date) -> date:
    return day.replace(month=1, day=1)


CLASSES = (
    PeriodClass("daily", "day", lambda day: day, lambda first: first + timedelta(days=1)),
    PeriodClass("weekly", "week", _week, lambda first: first + timedelta(days=7)),
    PeriodClass("monthly", "month", _month, lambda first: _month(first + timedelta(days=31))),
    PeriodClass("yearly", "year", _year, lambda first: _year(first + timedelta(days=366))),
)


def standing(
    backups: Iterable[BaseBackup], retention: DatabaseRetention, now: datetime
) -> Iterator[tuple[PeriodClass, date, BaseBackup]]:
    """(kind of period, its first day, the backup that stands for it), as far as they are kept.

    :param backups: those that can be restored.
    """
    ordered = sorted(backups, key=_rank)
    for kind in CLASSES:
        length: timedelta | None = getattr(retention, kind.name)
        if length is None:
            continue
        best: dict[date, BaseBackup] = {}
        for backup in ordered:
            best.setdefault(kind.first_day(backup.stopped_at.date()), backup)
        for first, backup in best.items():
            if _midnight(kind.next_first_day(first)) > now - length:
                yield kind, first, backup


def _rank(backup: BaseBackup) -> tuple[bool, bool, datetime, str]:
    incremental = backup.parent_id is not None
    return incremental, bool(backup.page_checksum_failures), backup.stopped_at, backup.id


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
