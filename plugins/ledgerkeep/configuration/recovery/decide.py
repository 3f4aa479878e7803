"""What has to be done so that what is live becomes what a version holds. Pure.

Every key is in exactly one place: the same on both sides, to be changed, left to a person because
the service lets no program do it, live but unknown to the version and so left alone, or not asked
for. The changes come in the source's order; that of what is left to a person is the same.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.source import Action, Planned, Source
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.model import Record

_SIMILAR = 3


class PlannedChange(Record):
    """One change, as it is written down: marks stand where the secrets are."""

    action: Action
    key: str
    before: Item | None
    """As it is live; None where it is created."""
    after: Item | None
    """As the version holds it; None where it is deleted."""
    by_hand: str = ""
    """What a person has to do, because no program can; empty: nothing."""

    def planned(self) -> Planned:
        """As the sources take it."""
        return Planned(self.action, self.key, self.before, self.after)


@dataclass(frozen=True)
class Decided:
    """Everything that was looked at."""

    changes: list[PlannedChange]
    by_hand: list[PlannedChange]
    unknown: list[str]
    """Live, not in the version, and left alone."""
    same: int
    outside: int
    """Not asked for."""


def decide(
    stored: Mapping[str, Item],
    live: Mapping[str, Item],
    request: ConfigurationRequest,
    source: Source,
) -> Decided:
    """Compare, and sort out who does what.

    :raises ConfigurationError: a name of the request is in neither; the hint names similar ones.
    """
    every = sorted(stored.keys() | live.keys())
    _refuse_unmatched(request, every)
    asked = {key for key in every if request.covers(key)}
    found = compare(
        {key: live[key] for key in asked & live.keys()},
        {key: stored[key] for key in asked & stored.keys()},
    )
    wanted = [one for one in found if one.action != "delete" or request.delete_unknown]
    changes = [_written(one, source.by_hand(one)) for one in source.order(wanted)]
    return Decided(
        changes=[one for one in changes if not one.by_hand],
        by_hand=[one for one in changes if one.by_hand],
        unknown=[] if request.delete_unknown else [one.key for one in found if one.after is None],
        same=len(asked) - len(found),
        outside=len(every) - len(asked),
    )


def _written(one: Planned, by_hand: str) -> PlannedChange:
    return PlannedChange(
        action=one.action, key=one.key, before=one.before, after=one.after, by_hand=by_hand
    )


def _refuse_unmatched(request: ConfigurationRequest, keys: list[str]) -> None:
    missing = request.unmatched(keys)
    if not missing:
        return
    similar = difflib.get_close_matches(missing[0], keys, n=_SIMILAR, cutoff=0.5)
    raise ConfigurationError(
        f"{request.source} has no {', '.join(missing)}, neither live nor in the version",
        hint=f"similar names are {', '.join(similar)}; * stands for anything"
        if similar
        else "write names as the source does; * stands for anything",
    )
