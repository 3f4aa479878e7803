"""What has been done, part by part, so that a killed recovery goes on where it was.

A part names every key of the plan up to some point and what came of it, in the plan's order. It is
written when all of its keys are done, so what a kill leaves unrecorded is at most the last two
parts: of those the bucket itself is asked (see `carry_out`).

    {recovery}/journal/{attempt}/{part}.jsonl.zst
    {recovery}/journal/{attempt}/done.json          the attempt came to the plan's end

A new attempt begins when the last one came to its end (a task that is cleared because keys had
failed); what was done before is then found again in the bucket.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkeep.documents.recovery.lines import pack, unpack
from ledgerkeep.storage.port import ObjectStore

_DONE = "done.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one key."""

    key: str
    outcome: str
    """copied, removed, conflict, failed, later, missing or unchanged."""
    because: str
    version_id: str = ""
    """The version that was copied."""
    size: int = 0
    etag: str = ""
    """Of that version."""
    new_id: str = ""
    """Of the copy, or of the delete marker."""
    sha256: str = ""
    """Of the bytes, where they passed through the worker."""
    before: bool = False
    """It was there already: done by an earlier attempt."""

    def as_plain(self) -> dict[str, Any]:
        """What differs from the defaults, for a line of JSON."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}


class Journal:
    """The parts of one attempt, written in order; made by `open`."""

    def __init__(self, store: ObjectStore, folder: str, parts: Sequence[str]) -> None:
        self._store = store
        self._folder = folder
        self._parts = list(parts)

    @classmethod
    def open(cls, store: ObjectStore, recovery: str) -> "Journal":
        """The attempt to go on with.

        :param recovery: prefix of the recovery; see `keys.document_recovery`.
        """
        folder = f"{recovery}journal/"
        attempts = list(store.list_directories(folder))
        last = f"{folder}{attempts[-1]}/" if attempts else f"{folder}001/"
        if store.head(last + _DONE) is not None:
            return cls(store, f"{folder}{len(attempts) + 1:03}/", [])
        return cls(store, last, cls._listed(store, last))

    @classmethod
    def finished(cls, store: ObjectStore, recovery: str) -> "Journal | None":
        """The newest attempt that came to the plan's end; None: none did."""
        folder = f"{recovery}journal/"
        for attempt in reversed(list(store.list_directories(folder))):
            if store.head(f"{folder}{attempt}/{_DONE}") is not None:
                found = f"{folder}{attempt}/"
                return cls(store, found, cls._listed(store, found))
        return None

    @staticmethod
    def _listed(store: ObjectStore, folder: str) -> list[str]:
        return [one.key for one in store.list(folder) if one.key.endswith(".zst")]

    def last_key(self) -> str | None:
        """The last key that is recorded; None: none is yet."""
        for part in reversed(self._parts):
            if outcomes := self._read(part):
                return outcomes[-1].key
        return None

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Write the next part."""
        key = f"{self._folder}{len(self._parts):08}.jsonl.zst"
        self._store.put(key, pack(one.as_plain() for one in outcomes))
        self._parts.append(key)

    def finish(self) -> None:
        """The plan's end is reached."""
        self._store.put(self._folder + _DONE, b"{}", content_type="application/json")

    def parts(self) -> Iterator[list[Outcome]]:
        """All parts in order, one at a time."""
        for part in self._parts:
            yield self._read(part)

    def _read(self, part: str) -> list[Outcome]:
        body = self._store.get(part)
        return [Outcome(**line) for line in unpack(body, f"{self._store.location}/{part}")]
