"""Items: what a source holds, in one canonical form, with marks where the secrets are.

Two exports are the same exactly when their canonical bytes are: keys in order, no insignificant
space, nothing in them that changes by itself (times, counters, request ids: a source leaves those
out). A secret's value is no part of that form. In its place stands a mark, the HMAC-SHA256 of the
value under a key that the environment keeps sealed: equal values of one place have equal marks, so
that a rotated secret is a change, and nobody who reads the marks can try out values without the
key. The place goes into the hash too, so that marks do not tell that two places share a value.
(RFC 2104, HMAC; RFC 6901, JSON Pointer.)
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import JsonValue

from ledgerkeep.model import Record

MARK = "$secret"
"""The only member of the object that stands where a secret is."""
_PREFIX = "hmac-sha256:"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that is never written anywhere in the clear."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "***"


Content: TypeAlias = (
    bool | int | float | str | Secret | Sequence["Content"] | Mapping[str, "Content"] | None
)
"""What JSON can say, and secrets."""


class Item(Record):
    """One thing a source holds, such as a parameter or a role, in its canonical form."""

    key: str
    """What the source itself calls it; unique within the source."""
    content: dict[str, JsonValue]
    """Marks where the secrets are."""
    mark: str = ""
    """What the source says of a state of it, such as a version number: as long as that is the
    same, it has not changed and need not be read again. No part of the content."""

    def canonical(self) -> bytes:
        """The bytes that decide whether it changed."""
        return canonical({"key": self.key, "content": self.content})

    def digest(self) -> str:
        """Hex SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.canonical()).hexdigest()


@dataclass(frozen=True, slots=True)
class Marked:
    """An item, and the values of its secrets."""

    item: Item
    secrets: Mapping[str, str] = field(repr=False)
    """JSON pointer into the content → value."""


class Marker:
    """Puts marks in the place of secrets."""

    def __init__(self, hash_key: bytes) -> None:
        self._key = hash_key

    def mark(self, key: str, content: Mapping[str, Content], mark: str = "") -> Marked:
        """An item of what a source found.

        :raises ValueError: the content holds an object that looks like a mark itself.
        """
        secrets: dict[str, str] = {}
        plain = self._plain(key, "", content, secrets)
        if not isinstance(plain, dict):
            raise TypeError(f"the content of {key} is no object")
        return Marked(Item(key=key, content=plain, mark=mark), secrets)

    def _plain(self, key: str, pointer: str, value: Content, secrets: dict[str, str]) -> JsonValue:
        if isinstance(value, Secret):
            secrets[pointer] = value.value
            return {MARK: self._hash(key, pointer, value.value)}
        if isinstance(value, Mapping):
            if MARK in value:
                raise ValueError(f"{key} has a member {MARK}, which is ours")
            return {
                name: self._plain(key, f"{pointer}/{escaped(name)}", value[name], secrets)
                for name in value
            }
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [
                self._plain(key, f"{pointer}/{at}", one, secrets) for at, one in enumerate(value)
            ]
        return value

    def _hash(self, key: str, pointer: str, value: str) -> str:
        message = canonical([key, pointer, value])
        return _PREFIX + hmac.new(self._key, message, hashlib.sha256).hexdigest()


def revealed(item: Item, secrets: Mapping[str, str]) -> dict[str, Content]:
    """The content as a source takes it: secrets where the marks are.

    :param secrets: JSON pointer → value.
    :raises KeyError: the value of a mark is not among them.
    """
    return {
        name: _reveal(f"/{escaped(name)}", item.content[name], secrets) for name in item.content
    }


def _reveal(pointer: str, value: JsonValue, secrets: Mapping[str, str]) -> Content:
    if is_mark(value):
        return Secret(secrets[pointer])
    if isinstance(value, dict):
        return {name: _reveal(f"{pointer}/{escaped(name)}", value[name], secrets) for name in value}
    if isinstance(value, list):
        return [_reveal(f"{pointer}/{at}", one, secrets) for at, one in enumerate(value)]
    return value


def marks(item: Item) -> Iterator[str]:
    """JSON pointers of all places in an item where a secret is."""
    waiting: list[tuple[str, JsonValue]] = [("", dict(item.content))]
    while waiting:
        pointer, value = waiting.pop()
        if is_mark(value):
            yield pointer
        elif isinstance(value, dict):
            waiting += [(f"{pointer}/{escaped(name)}", value[name]) for name in value]
        elif isinstance(value, list):
            waiting += [(f"{pointer}/{at}", one) for at, one in enumerate(value)]


def opened(content: Content) -> Any:
    """Plain JSON for a request to a service: secrets in the clear, in memory only."""
    if isinstance(content, Secret):
        return content.value
    if isinstance(content, Mapping):
        return {name: opened(one) for name, one in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [opened(one) for one in content]
    return content


def is_mark(value: JsonValue) -> bool:
    """Whether this stands in the place of a secret."""
    return isinstance(value, dict) and set(value) == {MARK}


def canonical(value: JsonValue | Sequence[JsonValue]) -> bytes:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def content_digest(items: Iterable[Item]) -> str:
    """Hex SHA-256 over everything a source holds, whatever the order it came in."""
    whole = hashlib.sha256()
    for key, digest in sorted((item.key, item.digest()) for item in items):
        whole.update(canonical([key, digest]) + b"\n")
    return whole.hexdigest()


def escaped(name: str) -> str:
    """A member's name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
