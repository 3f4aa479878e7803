"""A source made of kinds.

The key of an item is `kind/name`. The order of the kinds is the order of putting back: what is
referred to comes first, and what is deleted goes in reverse. In an isolated place everything is
found by its prefix and nothing else is touched; what has no place there is left to the person who
reads the test's result.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Generic, Self, TypeVar

from ledgerkeep.configuration.kinds import Kind, Single
from ledgerkeep.configuration.owner import Owner, Place
from ledgerkeep.configuration.source import Change, Found, Known, Planned, Scope, Source
from ledgerkeep.errors import ConfigurationError
from ledgerkeep.policy.configuration_sources import ManagementApiSource

OwnerT = TypeVar("OwnerT", bound=Owner)


class KindsSource(Source, Generic[OwnerT]):
    """A source made of kinds."""

    def __init__(
        self,
        owner: OwnerT,
        open_test: Callable[[str, Place], OwnerT],
        settings: ManagementApiSource,
        environment: str,
    ) -> None:
        """Ask whose it is.

        :param open_test: opens the one for tests, by its connection and its names' place.
        """
        self.owner = owner
        self._open_test, self._settings, self._environment = open_test, settings, environment
        self._scope = owner.scope(environment)
        self._all = self.kinds(owner)

    @staticmethod
    @abstractmethod
    def kinds(owner: OwnerT) -> list[Kind]:
        """All of them, what is referred to first."""

    def scope(self) -> Scope:
        """The tenant, as the service itself says."""
        return self._scope

    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Everything, kind by kind."""
        for register in self.owner.registers:
            register.forget()
        for kind in self._all:
            if self.owner.place.prefix and kind.why_not_beside:
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
        if self.owner.place.prefix and kind.why_not_beside:
            return f"a restore test leaves {change.key} out: {kind.why_not_beside}"
        return kind.by_hand(change)

    def beside(self, label: str) -> Self | None:
        """The same kinds at the test tenant, their names behind the label.

        :raises ConfigurationError: the test tenant is the original.
        """
        connection = self._settings.test_connection_id
        if connection is None:
            return None
        test = self._open_test(connection, Place(f"{label.lower()}-"))
        _refuse_same(self._scope, test.scope(self._environment), connection)
        return type(self)(test, self._open_test, self._settings, self._environment)

    def clear(self) -> None:
        """Remove what has the label, what refers to others first."""
        if not self.owner.place.prefix:
            super().clear()
        for register in self.owner.registers:
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


def _refuse_same(original: Scope, test: Scope, connection: str) -> None:
    """See that a test tenant is not the tenant it stands beside.

    :raises ConfigurationError: it is.
    """
    if test.account == original.account:
        raise ConfigurationError(
            f"the connection {connection} for tests leads to {test.account}, which is the original",
            hint="let test_connection_id name a connection to a tenant that holds nothing but "
            "tests",
        )
