"""Figures as people read them, the same in every sentence, table and chart."""

from datetime import datetime


def duration(seconds: float | None) -> str:
    """`0.4 s`, `42 s`, `7 min 3 s`, `3 h 20 min`, `12 d 4 h`; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit, smaller, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def moment(at: datetime | None) -> str:
    """`2026-03-14 12:00 UTC`; a dash for None."""
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
