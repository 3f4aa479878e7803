"""What a place of files can do, and how a file's bytes become content."""

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledgerkeep.configuration.items import Content, Secret, opened

CORNERS = "ledgerkeep-restore-test"
"""Isolated corners of a place lie below it; no export looks there."""


@dataclass(frozen=True)
class Listed:
    """A file as a listing shows it."""

    path: str
    """Below the place; parts are separated by slashes."""
    size: int
    mark: str


@dataclass(frozen=True)
class Read:
    """A file with its bytes."""

    listed: Listed
    """As it was when it was read."""
    body: bytes
    about: Mapping[str, Content]
    """What it takes to write it again, besides its bytes."""


class Place(ABC):
    """Where files are."""

    is_corner: bool = False

    @abstractmethod
    def list(self) -> Iterator[Listed]:
        """Every file, in a fixed order; none of the corners."""

    @abstractmethod
    def read(self, path: str) -> Read | None:
        """One file; None where it is gone."""

    @abstractmethod
    def write(self, path: str, wanted: Mapping[str, Any]) -> None:
        """Make a file what it shall be, whole or not at all."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file; one that is gone is success."""

    @abstractmethod
    def corner(self, label: str) -> "Place":
        """An isolated place of its own."""

    @abstractmethod
    def clear(self) -> None:
        """Remove a corner with everything in it."""


def text_of(body: bytes) -> dict[str, Content]:
    """Bytes as text where they are some."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"encoding": "base64", "content": base64.b64encode(body).decode()}
    return {"encoding": "utf-8", "content": text}


def secret_of(content: Mapping[str, Content]) -> dict[str, Content]:
    """The same, with the bytes as a secret."""
    return {**content, "content": Secret(str(content["content"]))}


def body_of(wanted: Mapping[str, Any]) -> bytes:
    """The bytes that `text_of` was given.

    :raises ValueError: the content is not what its encoding says.
    """
    content = opened(wanted["content"])
    if wanted["encoding"] == "utf-8":
        return str(content).encode()
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as problem:
        raise ValueError("the content is no base64") from problem
