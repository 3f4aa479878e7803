"""The owner of what a service keeps: its tenant or account, and the names and ids of its things.

Things are known by their names, since a thing that is made anew gets another id. So a collection is
listed once, and its names and ids are kept beside each other (`Register`) for all who refer to it.
An isolated place is a test tenant in which every name has a prefix.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ledgerkeep.configuration.source import Scope
from ledgerkeep.errors import ConfigurationError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where names live: as they are, or behind a prefix."""

    prefix: str = ""

    def outward(self, name: str) -> str:
        """A name as the service knows it."""
        return self.prefix + name

    def inward(self, name: str) -> str | None:
        """A name as our keys know it; None: it is not of this place."""
        return name[len(self.prefix) :] if name.startswith(self.prefix) else None


class Register:
    """The things of one collection by name, as the service knows them."""

    def __init__(
        self, plural: str, rows: Callable[[], Iterable[Row]], name: str = "name", id_: str = "id"
    ) -> None:
        """Nothing is listed yet.

        :param plural: for messages: "roles".
        :param name: the member that holds the name.
        :param id_: the member that holds the id.
        """
        self.plural = plural
        self._list, self._name, self._id = rows, name, id_
        self._rows: dict[str, Row] | None = None

    def rows(self) -> dict[str, Row]:
        """Name → thing.

        :raises ConfigurationError: two have the same name.
        """
        if self._rows is None:
            found: dict[str, Row] = {}
            for row in self._list():
                if row[self._name] in found:
                    raise ConfigurationError(
                        f"there are two {self.plural} named {row[self._name]}",
                        hint="give one of them another name: what is put back is found by its name",
                    )
                found[row[self._name]] = row
            self._rows = found
        return self._rows

    def id_of(self, name: str) -> str | None:
        """The id of what has that name; None: nothing has."""
        row = self.rows().get(name)
        return None if row is None else str(row[self._id])

    def needed(self, name: str) -> str:
        """The id of what something refers to.

        :raises ConfigurationError: nothing has that name.
        """
        found = self.id_of(name)
        if found is None:
            raise ConfigurationError(
                f"there is none of the {self.plural} named {name}, which others refer to",
                hint="put it back first, or together with what refers to it",
            )
        return found

    def name_of(self, id_: Any) -> str | None:
        """The name of what has that id; None: it is not listed."""
        return next(
            (name for name, row in self.rows().items() if str(row[self._id]) == str(id_)), None
        )

    def put(self, row: Row) -> None:
        """Something was made or changed; members that are not told stay."""
        before = self.rows().get(row[self._name], {})
        self.rows()[row[self._name]] = {**before, **row}

    def drop(self, name: str) -> None:
        """Something was deleted."""
        self.rows().pop(name, None)

    def forget(self) -> None:
        """List it anew when it is needed."""
        self._rows = None


class Owner(ABC):
    """Whoever a service keeps things for, reached by one set of credentials."""

    place: Place
    """How names are written there."""

    @property
    def registers(self) -> list[Register]:
        """All of them, to be listed anew."""
        return [one for one in vars(self).values() if isinstance(one, Register)]

    @abstractmethod
    def scope(self, environment: str) -> Scope:
        """Whose it is, as the service itself says.

        :raises ServiceRefused: the credentials are wrong, or of another tenant.
        """
