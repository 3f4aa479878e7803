"""The contract of a source: three verbs, in terms of items, and nothing about storing them.

Obligations of every implementation:

- `export` yields everything the source holds, each key once, with secrets as `Secret` wherever a
  value is one. What changes by itself is left out. It follows the service's pages and keeps within
  its rate limits. It writes nothing anywhere, no file either.
- What has the mark that is known already may be said to be unchanged without reading it (`Known`).
- `apply` carries out one change and may be done twice: what is already so is success. It never
  touches what the change does not name.
- A permission that is missing, a service that does not answer, are `AwsRefused`/`AwsUnavailable`
  or `ServiceRefused`/`ServiceUnavailable`, naming the source and the permission.

What differs is decided outside (`compare`), purely; a source says only in which order changes must
be carried out, and which of them only a person can.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from ledgerkeep.configuration.items import Content, Item
from ledgerkeep.model import Record

Action = Literal["create", "update", "delete"]


class Scope(Record):
    """Whose configuration it is: what was exported in one scope is not restored into another."""

    environment: str
    account: str
    """AWS account, tenant, or host: whatever tells one owner from another."""
    region: str = ""
    """Empty where there are no regions."""

    def describe(self) -> str:
        """For messages."""
        where = f"{self.account} in {self.region}" if self.region else self.account
        return f"{where} ({self.environment})"


@dataclass(frozen=True)
class Attachment:
    """Bytes that belong to an item and are too many for its content, such as a git bundle."""

    read: Callable[[], Iterator[bytes]] = field(repr=False)
    """Makes the bytes; called once, and only when they are not stored yet."""
    name: str = ""
    """Tells these bytes from others, where they belong to several items or change without their
    item: letters and digits. Attachments of one name are stored once. Empty: the item's digest."""


@dataclass(frozen=True)
class Found:
    """One thing as the source holds it now."""

    key: str
    content: Mapping[str, Content] = field(repr=False)
    mark: str = ""
    attachment: Attachment | None = None


@dataclass(frozen=True)
class Known:
    """One thing that has not changed since it was stored, by its mark."""

    key: str


@dataclass(frozen=True)
class Change:
    """What has to be done to one thing."""

    action: Action
    key: str
    live: Mapping[str, Any] | None = field(repr=False)
    """As it is, with the values of its secrets; None where it is created."""
    wanted: Mapping[str, Any] | None = field(repr=False)
    """As it shall be, with the values of its secrets; None where it is deleted."""
    attachment: Callable[[], Iterator[bytes]] | None = field(default=None, repr=False)
    """The stored bytes that belong to it."""


@dataclass(frozen=True)
class Planned:
    """A change before anything is revealed: what `order` and `by_hand` decide on."""

    action: Action
    key: str
    before: Item | None
    """None where it is created."""
    after: Item | None
    """None where it is deleted."""


class Source(ABC):
    """Where one kind of configuration lives."""

    name: ClassVar[str]
    """As the policy and the storage layout call it."""
    why_no_place: ClassVar[str] = ""
    """Why a restore test has no isolated place in this service, where `beside` gives none."""

    @abstractmethod
    def scope(self) -> Scope:
        """Whose configuration this is, asked of the service itself where it can tell."""

    @abstractmethod
    def export(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Everything that is live.

        :param known: key → mark of the newest stored version; empty: read everything.
        """

    @abstractmethod
    def apply(self, change: Change) -> None:
        """Carry out one change; once more is harmless."""

    def order(self, changes: Sequence[Planned]) -> list[Planned]:
        """The order in which changes can be carried out: what is referred to comes first.

        Unless a source knows better: created and changed by key, then deleted in reverse.
        """
        kept = sorted((one for one in changes if one.action != "delete"), key=lambda one: one.key)
        gone = sorted((one for one in changes if one.action == "delete"), key=lambda one: one.key)
        return [*kept, *reversed(gone)]

    def by_hand(self, change: Planned) -> str:
        """What a person has to do because the service lets no program do it; empty: nothing."""
        return ""

    def settled(self, keys: Iterable[str]) -> list[str]:
        """Verify beyond reading back, after changes were applied; what is wrong, in words."""
        return []

    def findings(self, items: Mapping[str, Item], before: Mapping[str, Item]) -> list[str]:
        """What is not as it must be, however long it has been so; in words. Asks nobody.

        :param items: what is live, by key.
        :param before: what the newest stored version holds; empty where there is none.
        """
        return []

    def looking_for(self, keys: Iterable[str]) -> "Source":
        """The same source, which asks for these by name too, where its lists come too late.

        For whoever reads what was written a moment ago.
        """
        return self

    def beside(self, label: str) -> "Source | None":
        """The same kind of source in an isolated place of its own, for a restore test.

        Its keys and contents are those of the original: it translates names on the way in and out.
        `clear` removes it. None where the service has no such place.

        :param label: unique to the test; letters, digits and hyphens.
        """
        return None

    def clear(self) -> None:
        """Remove everything in an isolated place, and nothing else. Only `beside` makes one."""
        raise NotImplementedError(f"{self.name} is no isolated place")
