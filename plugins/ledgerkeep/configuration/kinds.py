"""Kinds: a service's configuration, taken apart into things of one kind each.

A management API is a number of collections (roles, templates, brands …) that are listed, and whose
things are made, changed and deleted one by one. What is said here once: of a change only the
members that differ are sent, and those that shall be gone are set to null, so that what a service
adds to its things later stays as it is.

What a tenant has only one of, and what would lead out of it to the receivers of the original, has
no isolated place.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkeep.configuration.items import Content, Secret, opened
from ledgerkeep.configuration.management_api import ManagementApi
from ledgerkeep.configuration.owner import Place, Register, Row
from ledgerkeep.configuration.source import Change, Found, Known, Planned

ONLY_ONE = "there is only one in a tenant"
LEADS_OUT = "it would reach those whom the original reaches"


class Kind(ABC):
    """Things of one kind: how to read, put and remove them."""

    name: str
    """The first part of their keys."""
    why_not_beside: str = ""
    """Why a restore test leaves them out; empty: they have a place beside the original."""

    @abstractmethod
    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """All of them, by their names.

        :param known: name → mark of what is stored.
        """

    @abstractmethod
    def put(self, name: str, change: Change) -> None:
        """Make it as it is wanted."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete it."""

    def by_hand(self, change: Planned) -> str:
        """What only a person can do."""
        return ""

    def clear(self) -> None:
        """Remove all that are in the place."""
        for found in list(self.read({})):
            self.remove(found.key)


@dataclass(frozen=True)
class Shape:
    """What a service does not take back, and what is secret, in one collection."""

    left_out: frozenset[str] = frozenset()
    """Members that it sets itself; `a.b` for one inside another."""
    fixed: frozenset[str] = frozenset()
    """Members that it takes when a thing is made, and never again."""
    merged: frozenset[str] = frozenset()
    """Members with members of their own, of which it changes only those that are sent."""
    unordered: frozenset[str] = frozenset()
    """Members whose lists have no order."""
    secret: re.Pattern[str] | None = None
    """Names of members, at any depth, whose texts are secret."""

    def content(self, row: Row) -> dict[str, Any]:
        """What is exported of a thing."""
        found = {
            name: self._inside(name, one)
            for name, one in row.items()
            if name not in self.left_out and one is not None
        }
        for name in self.unordered & found.keys():
            found[name] = sorted(found[name] or [], key=repr)
        if self.secret is None:
            return found
        return {name: with_secrets(name, one, self.secret) for name, one in found.items()}

    def _inside(self, name: str, value: Any) -> Any:
        inner = {one.partition(".")[2] for one in self.left_out if one.startswith(f"{name}.")}
        if not inner or not isinstance(value, Mapping):
            return value
        return {one: value[one] for one in value if one not in inner}

    def difference(self, live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The members to send so that what is live becomes what is wanted."""
        sent: dict[str, Any] = {}
        for name in sorted((live.keys() | wanted.keys()) - self.fixed):
            before, after = live.get(name), wanted.get(name)
            if opened(before) == opened(after):
                continue
            if name in self.merged and isinstance(before, Mapping):
                after = {**dict.fromkeys(before), **(after or {})}
            sent[name] = after
        return sent


class Listed(Kind):
    """A collection as most services have it: list, POST, PATCH, DELETE."""

    path: str
    update_method: str = "PATCH"
    shape: Shape = Shape()
    name_member: str = "name"
    id_member: str = "id"
    scope: str = ""
    """The permission without its verb, where the service does not name what is missing."""

    def __init__(self, api: ManagementApi, place: Place, register: Register) -> None:
        """Nothing is asked yet."""
        self.api = api
        self.place = place
        self.register = register

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """All that are in the place."""
        for outer, row in self.register.rows().items():
            name = self.place.inward(outer)
            if name is not None and self.concerns(row):
                yield Found(name, self.content(name, row))

    def concerns(self, row: Row) -> bool:
        """Whether it is ours, and not one that the service brings along."""
        return True

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """What is exported of it."""
        found = self.shape.content({**row, self.name_member: name})
        if self.id_member != self.name_member:
            found.pop(self.id_member, None)
        return found

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent of it; the reverse of `content`."""
        return {**wanted, self.name_member: self.place.outward(wanted[self.name_member])}

    def put(self, name: str, change: Change) -> None:
        """Make it, or send what differs."""
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer, body = self.place.outward(name), self.body(change.wanted)
        row = self.register.rows().get(outer)
        if row is None:
            self.register.put(self.create(outer, body))
        else:
            self._change(outer, row, self.body(self.content(name, row)), body)

    def _change(
        self, outer: str, row: Row, live: Mapping[str, Any], body: Mapping[str, Any]
    ) -> None:
        if self.remade(live, body):
            self.delete(outer, row)
            self.register.drop(outer)
            self.register.put(self.create(outer, body))
            return
        differs = self.shape.difference(live, body)
        if differs:
            self.register.put(self.update(outer, row, differs))

    def remade(self, live: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """Whether the service lets nobody make this change but by making it anew."""
        return False

    def create(self, outer: str, body: Mapping[str, Any]) -> Row:
        """Make it; the service's answer."""
        answer = self.ask("POST", f"make {self.of(outer)}", self.path, body=body)
        return {**body, **answer, self.name_member: outer}

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Send what differs; the service's answer."""
        path = f"{self.path}/{row[self.id_member]}"
        answer = self.ask(self.update_method, f"change {self.of(outer)}", path, body=body)
        return {**body, **(answer or {}), self.name_member: outer}

    def remove(self, name: str) -> None:
        """Delete it, if it is there."""
        outer = self.place.outward(name)
        row = self.register.rows().get(outer)
        if row is not None:
            self.delete(outer, row)
            self.register.drop(outer)

    def delete(self, outer: str, row: Row) -> None:
        """Ask the service to delete it."""
        path = f"{self.path}/{row[self.id_member]}"
        self.ask("DELETE", f"delete {self.of(outer)}", path, tolerate=(404,))

    def of(self, outer: str) -> str:
        """The thing, for messages."""
        return f"{self.name} {outer}"

    def ask(self, method: str, what: str, path: str, **rest: Any) -> Any:
        """Ask the service, with the permission that it takes."""
        return self.api.ask(what, method, path, needs=needed(self.scope, method), **rest)


class Single(Kind):
    """What there is one of: settings that can be read and changed, never made or deleted."""

    why_not_beside = ONLY_ONE

    def __init__(
        self,
        api: ManagementApi,
        key: str,
        path: str,
        shape: Shape = Shape(),
        method: str = "PATCH",
        scope: str = "",
    ) -> None:
        """Nothing is asked yet.

        :param key: the whole key of the one item.
        :param method: with which it is changed.
        """
        self.api, self.path, self.shape, self.method, self.scope = api, path, shape, method, scope
        self.name, self._name = key.split("/", 1)

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """The one."""
        yield Found(self._name, self.shape.content(self.get()))

    def get(self) -> Row:
        """As the service has it."""
        needs = needed(self.scope, "GET")
        found = self.api.find(f"read {self.name} {self._name}", self.path, needs=needs)
        return found or {}

    def put(self, name: str, change: Change) -> None:
        """Send what differs."""
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        differs = self.shape.difference(self.shape.content(self.get()), change.wanted)
        if differs:
            self.api.ask(
                f"change {self.name} {name}",
                self.method,
                self.path,
                body=differs,
                needs=needed(self.scope, self.method),
            )

    def remove(self, name: str) -> None:
        """It cannot be removed."""

    def by_hand(self, change: Planned) -> str:
        """Nobody can take it away."""
        return f"set {self.name} back by hand" if change.action == "delete" else ""


class Derived(Kind):
    """What a service keeps and does not tell: that it is there is known from something else."""

    def __init__(
        self,
        name: str,
        names: Callable[[], Mapping[str, Mapping[str, Content]]],
        words: Callable[[Planned], str],
        why_not_beside: str = "",
    ) -> None:
        """Nothing is asked yet.

        :param names: those that are there, with what is known of them.
        :param words: what a person has to do about a change.
        """
        self.name, self._names, self._words = name, names, words
        self.why_not_beside = why_not_beside

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Those that are there."""
        for name, content in self._names().items():
            yield Found(name, content)

    def put(self, name: str, change: Change) -> None:
        """A person has to."""

    def remove(self, name: str) -> None:
        """It goes with what it belongs to."""

    def by_hand(self, change: Planned) -> str:
        """What to do."""
        return self._words(change)


def ids(name: str, register: Register, thing: str) -> Derived:
    """The ids that others outside know things by, and that do not come back with them.

    :param thing: for messages: "template".
    """

    def words(change: Planned) -> str:
        if change.action == "delete":
            return ""
        named = change.key.partition("/")[2]
        return f"tell those who use the {thing} {named} its id: one that is made anew gets another"

    def names() -> dict[str, Mapping[str, Content]]:
        return {one: {"id": register.id_of(one) or ""} for one in register.rows()}

    return Derived(name, names, words, "what is made anew has another id")


def with_secrets(name: str, value: Any, secret: re.Pattern[str]) -> Content:
    """A value with `Secret` in the place of every text whose member's name fits."""
    if isinstance(value, Mapping):
        return {one: with_secrets(one, value[one], secret) for one in value}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [with_secrets(name, one, secret) for one in value]
    if isinstance(value, str) and value and secret.search(name):
        return Secret(value)
    plain: Content = value
    return plain


_VERBS = {"GET": "read", "POST": "create", "PATCH": "update", "PUT": "update", "DELETE": "delete"}


def needed(scope: str, method: str) -> str:
    """The permission that a request takes; empty where the service says it itself."""
    return f"{scope}.{_VERBS[method]}" if scope else ""
