"""What a restore test of several sources says as evidence, in words; pure."""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.recovery.beside import RestoredBeside
from ledgerkeep.configuration.recovery.evidence import named


def findings_beside(found: RestoredBeside) -> list[dict[str, str]]:
    """What a person should look at, of one source; what made the test fail is told apart."""
    told = []
    if found.no_place:
        told.append((f"{found.source}: {found.words}", "info"))
    if found.left_out_count:
        what = f"{found.left_out_count} of {found.items} things were left out of the test"
        why = _some(found.left_out, found.left_out_count, "; ")
        told.append((f"{found.source}: {what}: {why}", "info"))
    if found.drift_count:
        what = f"{found.drift_count} things are live otherwise than the newest version holds them"
        which = _some(found.drift, found.drift_count, ", ")
        told.append((f"{found.source}: {what}: {which}", "warning"))
    return [{"what": what, "severity": severity} for what, severity in told]


def measurements_of(found: Mapping[str, RestoredBeside | None]) -> dict[str, float]:
    """How long all sources took one after the other, and how much would be lost.

    Nothing is lost of a source that is live as its version holds it; otherwise, at most what was
    changed since that version.
    """
    done = [one for one in found.values() if one is not None]
    if len(done) < len(found) or not done:
        return {}
    return {
        "rto_seconds": sum(one.seconds for one in done),
        "rpo_seconds": max(one.age_seconds if one.drift_count else 0.0 for one in done),
    }


def criteria_of_test(found: Mapping[str, RestoredBeside | None]) -> list[dict[str, Any]]:
    """Over all sources; one whose task told nothing has shown nothing."""
    silent = [name for name, one in found.items() if one is None]
    done = [one for one in found.values() if one is not None]
    integrity = [f"{one.source}: {one.words}" for one in done]
    placed = [one for one in done if not one.no_place]
    works = [f"{one.source}: {'; '.join(one.unsettled) or 'works'}" for one in placed]
    not_shown = [f"{named(silent)}: not restored"] if silent else []
    return [
        {
            "name": "data integrity",
            "met": not silent and all(one.level is not None for one in done),
            "words": ". ".join([*integrity, *not_shown]),
        },
        {
            "name": "application works",
            "met": _works(placed, silent),
            "words": ". ".join([*works, *not_shown]) or "no service has an isolated place",
        },
        {
            "name": "performance within range",
            "met": None,
            "words": "settings are no faster or slower for having been restored",
        },
    ]


def _works(placed: list[RestoredBeside], silent: list[str]) -> bool | None:
    """None: nothing could be asked."""
    if silent:
        return False
    return not any(one.unsettled for one in placed) if placed else None


def _some(shown: list[str], count: int, between: str) -> str:
    more = count - len(shown)
    return between.join(shown) + (f" and {more} more" if more else "")
