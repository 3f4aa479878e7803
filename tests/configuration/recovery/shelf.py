"""A source whose things are a dictionary, and which fails where it is told to; a fake at the port.

In its isolated place lie the same things under the same keys, on another shelf.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.source import Attachment, Change, Found, Known, Planned, Scope, Source

Things = dict[str, dict[str, Any]]


@dataclass
class Shelf(Source):
    """Things by name; those that begin with `hand-` only a person can change."""

    name: ClassVar[str] = "shelf"
    things: Things = field(default_factory=dict)
    account: str = "1"
    environment: str = "production"
    bundles: dict[str, bytes] = field(default_factory=dict)
    failing: dict[str, Exception] = field(default_factory=dict)
    """Key → what `apply` raises."""
    half: set[str] = field(default_factory=set)
    """Keys that `apply` leaves half done before it raises."""
    unsettled: list[str] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, "Shelf"] = field(default_factory=dict)
    before_apply: Callable[[Change], None] | None = None

    def scope(self) -> Scope:
        return Scope(environment=self.environment, account=self.account)

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        for key in sorted(self.things):
            attachment = None
            if key in self.bundles:
                attachment = Attachment(lambda key=key: iter([self.bundles[key]]))  # type: ignore[misc]
            yield Found(key, self.things[key], "", attachment)

    def apply(self, change: Change) -> None:
        if self.before_apply is not None:
            self.before_apply(change)
        if change.key in self.half:
            self.things[change.key] = {"half": "done"}
        if change.key in self.failing:
            raise self.failing[change.key]
        self.applied.append((change.action, change.key))
        if change.wanted is None:
            del self.things[change.key]
            return
        self.things[change.key] = dict(change.wanted)
        if change.attachment is not None:
            self.bundles[change.key] = b"".join(change.attachment())

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """Those that begin with a z are what the others refer to."""
        return sorted(super().order(changes), key=lambda one: not one.key.startswith("z"))

    def by_hand(self, change: Planned) -> str:
        return "turn the key" if change.key.startswith("hand-") else ""

    def settled(self, keys: Iterable[str]) -> list[str]:
        return self.unsettled

    def beside(self, label: str) -> "Shelf | None":
        if self.why_no_place:
            return None
        return self.places.setdefault(label, Shelf(failing=self.failing, unsettled=self.unsettled))

    def clear(self) -> None:
        self.things.clear()


class NoPlace(Shelf):
    """A shelf with no room beside it."""

    why_no_place: ClassVar[str] = "there is one shelf to a room"


def stocked() -> Shelf:
    """Three things, of which one has a secret."""
    return Shelf(
        things={
            "a": {"size": 1},
            "b": {"password": Secret("correct horse"), "user": "loans"},
            "c": {"size": 3},
        }
    )
