"""Listings of any length as streams, the replica's with known differences."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.storage.versions import ObjectVersion

_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_OLD, _YOUNG = _NOON - timedelta(days=3), _NOON + timedelta(seconds=1)
RULES = Rules(by_id=True, plain_etags=True, young_from=_NOON)
"""How the two are compared: by ids, and what was written after noon is on its way."""

_EVERY = 10_000
"""One difference of each kind in so many versions."""


def simulated(count: int, *, replica: bool = False) -> Iterator[ObjectVersion]:
    """`count` versions, three of each key, every tenth key deleted last; or their replica."""
    for number in range(count):
        place = number % _EVERY
        key, etag = f"documents/{number // 3:09d}.pdf", f"{number:032x}"
        marker = _is_marker(number)
        written = _YOUNG if number % 100_000 == 1 else _OLD
        if replica:
            if place == 1000 or written == _YOUNG:
                continue
            if marker and place == 3000:
                continue
            if place == 5000:
                etag = f"{number + 1:032x}"
        yield ObjectVersion(
            key,
            f"v{number}",
            written,
            0 if marker else 1000,
            "" if marker else etag,
            is_delete_marker=marker,
        )
        if replica and place == 7000:
            yield ObjectVersion(key, f"x{number}", _OLD, 1000, f"{count + number:032x}")


def known(count: int) -> dict[str, int]:
    """How many differences of each kind there are in so many versions."""
    starts = range(0, count, _EVERY)

    def of(place: int, *, markers: bool) -> int:
        return sum(_is_marker(start + place) == markers for start in starts)

    return {
        "missing": of(1000, markers=False),
        "marker_missing": of(1000, markers=True) + of(3000, markers=True),
        "different": of(5000, markers=False),
        "extra": len(starts),
    }


def _is_marker(number: int) -> bool:
    return number % 30 == 0
