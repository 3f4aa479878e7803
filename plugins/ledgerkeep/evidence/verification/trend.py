"""Whether backups and WAL are as large as they were to be expected.

A database grows steadily, so each full backup is held against the line through the ones before it:
the median of all their pairwise slopes (Theil-Sen), which a third of outliers does not move, on a
logarithmic scale, where steady relative growth is a straight line. Both sizes are looked at. The
raw one follows the data: half of it gone is a mass deletion. The stored one follows how well they
compress: encrypted by somebody else, they no longer do.

Incrementals and WAL follow the business and its weekends, where a line says nothing. Of them each
whole day is held against the lowest and the highest of the days before.

A deviation is a warning: only a person can say whether it was meant. Pure: no I/O.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import combinations
from statistics import mean, median

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.progress import format_bytes

_FEWEST = 4
"""Points before the one that is judged; fewer show no trend."""
_RECENT = 8
"""Points that make the trend: a growth that was meant is the trend a week later."""
_DAYS = 14
"""Days that a day is held against: two weekends are among them."""


def check_trend(
    snapshot: CatalogSnapshot, *, since: datetime, now: datetime, percent: float
) -> Part:
    """Judge what was made in [since, now).

    :param percent: the deviation that is still usual.
    """
    part = Part()
    fulls = [one for one in snapshot.backups if one.method == "full"]
    for place, backup in enumerate(fulls):
        if since <= backup.stopped_at < now:
            _judge_full(part, backup, fulls[max(0, place - _RECENT) : place], percent)
    increments = _by_day(
        (one.started_at, one.raw_bytes) for one in snapshot.backups if one.method == "incremental"
    )
    wal = _by_day((one.covered_until, one.raw_bytes) for one in snapshot.stretches)
    yesterday = now.date() - timedelta(days=1)
    _judge_day(part, "an incremental backup held", _each(increments, mean), yesterday, percent)
    _judge_day(part, "the WAL of the day was", _each(wal, sum), yesterday, percent)
    return part


def expected_size(earlier: Sequence[tuple[datetime, int]], at: datetime) -> float:
    """What the trend of earlier (moment, bytes) says for a moment, in bytes."""
    points = [((when - at).total_seconds(), math.log(max(1, size))) for when, size in earlier]
    slopes = [
        (later[1] - sooner[1]) / (later[0] - sooner[0])
        for sooner, later in combinations(points, 2)
        if later[0] != sooner[0]
    ]
    slope = median(slopes) if slopes else 0.0
    return math.exp(median(logarithm - slope * seconds for seconds, logarithm in points))


def _judge_full(
    part: Part, backup: BaseBackup, before: Sequence[BaseBackup], percent: float
) -> None:
    if len(before) < _FEWEST:
        part.find(
            "info",
            f"full backup {backup.id} holds {format_bytes(backup.raw_bytes)}: not enough history "
            f"for a trend, {len(before)} full backups before it where {_FEWEST} are needed",
        )
        return
    sizes: list[tuple[str, Callable[[BaseBackup], int]]] = [
        ("holds", lambda one: one.raw_bytes),
        ("takes up", lambda one: one.stored_bytes),
    ]
    for verb, size in sizes:
        expected = expected_size([(one.stopped_at, size(one)) for one in before], backup.stopped_at)
        deviation = 100 * (size(backup) - expected) / expected
        part.measurements[f"full_{verb.replace(' ', '_')}_deviation_percent"] = deviation
        if abs(deviation) > percent:
            part.find(
                "warning",
                f"full backup {backup.id} {verb} {format_bytes(size(backup))}, {deviation:+.0f} % "
                f"against the {format_bytes(round(expected))} that the {len(before)} before it "
                f"lead to; up to {percent:g} % is usual",
            )


def _judge_day(part: Part, what: str, by_day: dict[date, float], day: date, percent: float) -> None:
    """Hold one whole day against the ones before, of which the oldest may be cut off."""
    days = sorted(one for one in by_day if one < day)[1:][-_DAYS:]
    if day not in by_day or len(days) < _FEWEST:
        return
    size = by_day[day]
    low, high = min(by_day[one] for one in days), max(by_day[one] for one in days)
    if low * (1 - percent / 100) <= size <= high * (1 + percent / 100):
        return
    part.find(
        "warning",
        f"{what} {format_bytes(round(size))} on {day:%Y-%m-%d}; on the {len(days)} days before it "
        f"was {format_bytes(round(low))} to {format_bytes(round(high))}, and up to {percent:g} % "
        "beyond that is usual",
    )


def _by_day(sizes: Iterable[tuple[datetime, int]]) -> dict[date, list[int]]:
    found: dict[date, list[int]] = defaultdict(list)
    for at, size in sizes:
        found[at.date()].append(size)
    return found


def _each(by_day: dict[date, list[int]], total: Callable[[list[int]], float]) -> dict[date, float]:
    return {day: float(total(sizes)) for day, sizes in by_day.items()}
