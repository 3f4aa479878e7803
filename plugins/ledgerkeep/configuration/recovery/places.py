"""Isolated places of restore tests, noted before anything is put there and forgotten when cleared.

A place lies in a service, where nobody looks for it. The note in the bucket says that it is there,
so that what a killed run has left is found again and removed.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.source import Source
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.errors import ConfigurationError, LedgerkeepError, ObjectMissing
from ledgerkeep.model import Record

_NOTE = "place.json"


class Place(Record):
    """One isolated place."""

    schema_version: Literal[1] = 1
    source: str
    label: str
    run: str
    keys: list[str] = []
    """What is put there; a service may list it only minutes later."""


def label_of(run: str, source: str) -> str:
    """The same for each attempt of a run, and for no other run."""
    return f"t{hashlib.sha256(f'{run} {source}'.encode()).hexdigest()[:12]}"


def note_place(
    versions: Versions, source: str, label: str, run: str, held: Iterable[str] = ()
) -> None:
    """Write down that a place is about to be used; again is harmless."""
    note = Place(source=source, label=label, run=run, keys=sorted(held))
    versions.store.put(_key(versions, label), note.to_json(), content_type="application/json")


def clear_place(source: Source, versions: Versions, label: str) -> bool:
    """Remove an isolated place with everything in it, then its note; whether there was one.

    :raises AwsRefused, ServiceRefused, StorageError: the note stays.
    """
    place = source.beside(label)
    if place is None:
        return False
    place.looking_for(_held(versions, label)).clear()
    versions.store.delete_prefix(keys.configuration_place(versions.policy.environment, label))
    return True


def _held(versions: Versions, label: str) -> list[str]:
    try:
        return Place.from_json(versions.store.get(_key(versions, label))).keys
    except ObjectMissing:
        return []


def _key(versions: Versions, label: str) -> str:
    return f"{keys.configuration_place(versions.policy.environment, label)}{_NOTE}"


def old_places(versions: Versions, *, keep: timedelta, now: datetime) -> Iterator[Place]:
    """The places that outlived the time that copies are kept."""
    prefix = keys.configuration_places(versions.policy.environment)
    for listed in versions.store.list(prefix):
        if listed.modified_at < now - keep:
            yield Place.from_json(versions.store.get(listed.key))


def clear_old_places(
    versions: Versions,
    open_place: Callable[[str], Source],
    *,
    keep: timedelta,
    now: datetime,
) -> tuple[list[Place], list[tuple[Place, LedgerkeepError]]]:
    """Remove what killed tests have left behind: those that are gone, and those that are not.

    :param open_place: name → source.
    """
    cleared: list[Place] = []
    left: list[tuple[Place, LedgerkeepError]] = []
    for place in list(old_places(versions, keep=keep, now=now)):
        try:
            clear_place(open_place(place.source), versions, place.label)
        except LedgerkeepError as problem:  # the other places are to be removed all the same
            left.append((place, problem))
        else:
            cleared.append(place)
    return cleared, left


def refuse_left(left: list[tuple[Place, LedgerkeepError]]) -> None:
    """Fail when a place could not be removed.

    :raises ConfigurationError:
    """
    if left:
        place, problem = left[0]
        more = f" (and {len(left) - 1} more places)" if len(left) > 1 else ""
        raise ConfigurationError(
            f"the isolated place {place.label} of {place.source}, of {place.run}, could not be "
            f"removed: {problem.message}{more}",
            hint=problem.hint,
        )
