"""A source made of kinds.

The key of an item is `kind/name`. The order of the kinds is the order of putting back: what is
referred to comes first, and what is deleted goes in reverse. In an isolated place everything is
found by its prefix and nothing else is touched; what has no place there is left to the person who
reads the test's result.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from ledgerkeep.configuration.kinds import Kind, Place, Register, Single
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.errors import ConfigurationError


class KindsSource(Source):
    """A source made of kinds."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        registers: Collection[Register],
        owner: Scope,
        place: Place,
        open_beside: Callable[[str], "KindsSource | None"],
    ) -> None:
        """Nothing is asked yet.

        :param kinds: what is referred to first.
        :param open_beside: the source at a test tenant, its names behind a prefix.
        """
        self._all = list(kinds)
        self._registers, self._owner, self._place = registers, owner, place
        self._open_beside = open_beside

    def scope(self) -> Scope:
        """The tenant, as the service itself says."""
        return self._owner

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Everything, kind by kind."""
        for register in self._registers:
            register.forget()
        for kind in self._all:
            if self._place.prefix and kind.why_not_beside:
                continue
            start = f"{kind.name}/"
            names = {
                key.removeprefix(start): mark
                for key, mark in known.items()
                if key.startswith(start)
            }
            for found in kind.read(names):
                yield replace(found, key=start + found.key)

    def apply(self, change: Change) -> None:
        """Put or remove one thing."""
        kind, name = self._kind_of(change.key)
        if change.wanted is None:
            kind.remove(name)
        else:
            kind.put(name, change)

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """By kind, what is referred to first; what is deleted in reverse."""
        ranks = {kind.name: rank for rank, kind in reversed(list(enumerate(self._all)))}

        def rank(one: Planned) -> tuple[int, str]:
            return ranks.get(one.key.split("/", 1)[0], len(ranks)), one.key

        kept = sorted((one for one in changes if one.action != "delete"), key=rank)
        gone = sorted((one for one in changes if one.action == "delete"), key=rank, reverse=True)
        return [*kept, *gone]

    def by_hand(self, change: Planned) -> str:
        """What only a person can do; in an isolated place also what has none there."""
        kind, _name = self._kind_of(change.key)
        if self._place.prefix and kind.why_not_beside:
            return f"a restore test leaves {change.key} out: {kind.why_not_beside}"
        return kind.by_hand(change)

    def beside(self, label: str) -> "KindsSource | None":
        """The same kinds at the test tenant, their names behind the label."""
        return self._open_beside(f"{label.lower()}-")

    def clear(self) -> None:
        """Remove what has the label, what refers to others first."""
        if not self._place.prefix:
            super().clear()
        for register in self._registers:
            register.forget()
        for kind in reversed(self._all):
            if not kind.why_not_beside:
                kind.clear()

    def _kind_of(self, key: str) -> tuple[Kind, str]:
        first, _slash, name = key.partition("/")
        for kind in self._all:
            if kind.name == first and (not isinstance(kind, Single) or kind._name == name):
                return kind, name
        raise ConfigurationError(
            f"{self.name} has no {first} in it, as {key} would need",
            hint="the version is of another release of Ledgerkeep; restore it with that one",
        )


def refuse_same(original: Scope, test: Scope, connection: str) -> None:
    """See that a test tenant is not the tenant it stands beside.

    :raises ConfigurationError: it is.
    """
    if test.account == original.account:
        raise ConfigurationError(
            f"the connection {connection} for tests leads to {test.account}, which is the original",
            hint="let test_connection_id name a connection to a tenant that holds nothing but "
            "tests",
        )
