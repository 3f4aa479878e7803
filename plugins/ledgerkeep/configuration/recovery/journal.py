"""What has been done, change by change, so that a killed recovery tells it, and goes on.

Before a change is begun, one object says which it is, and how the one before it ended. So a kill
leaves at most one change of which is known only that it was begun: it may be half done, and is
neither as it was nor as it is wanted. That, and a change that failed halfway, is the recovery's own
doing and no reason to refuse; what anybody else changed is.

    {recovery}/journal/{attempt}/{entry}.json
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.storage.port import ObjectStore, Retention

Outcome = Literal["applied", "failed"]


class Ended(Record):
    """How one change ended."""

    key: str
    outcome: Outcome
    because: str = ""


class Entry(Record):
    """One step of an attempt."""

    at: UtcDatetime
    run: str
    ended: Ended | None
    """The change before; None: this is the attempt's first."""
    begins: str | None
    """Key of what is changed next; None: it was the last."""


class Journal:
    """The journal of one attempt; each call of `carry_out` is one."""

    def __init__(
        self, store: ObjectStore, recovery: str, run: str, retention: Retention | None
    ) -> None:
        self._store = store
        self._run = run
        self._retention = retention
        self._count = 0
        self._ended: Ended | None = None
        earlier = list(store.list_directories(f"{recovery}journal/"))
        self._folder = f"{recovery}journal/{len(earlier) + 1:03}/"
        self.unfinished: frozenset[str] = unfinished(store, recovery)
        """Changes of earlier attempts that were begun and are not known to be done."""

    def settle(self, keys: Iterable[str]) -> None:
        """Note that what an earlier attempt had begun was found as it is wanted."""
        for key in sorted(self.unfinished & set(keys)):
            self.end(key, "applied", "found as it is wanted")
            self._write(None)

    def begin(self, key: str) -> None:
        """Say which change comes next.

        :raises ObjectConflict: another attempt is under way at the same time.
        """
        self._write(key)

    def end(self, key: str, outcome: Outcome, because: str = "") -> None:
        """Note how the change ended; written with what comes next."""
        self._ended = Ended(key=key, outcome=outcome, because=because)

    def close(self) -> None:
        """Write down how the last change ended."""
        if self._ended is not None:
            self._write(None)

    def _write(self, begins: str | None) -> None:
        entry = Entry(at=utc_now(), run=self._run, ended=self._ended, begins=begins)
        self._store.put(
            f"{self._folder}{self._count:08}.json",
            entry.to_json(),
            retention=self._retention,
            content_type="application/json",
        )
        self._count += 1
        self._ended = None


def entries(store: ObjectStore, recovery: str) -> Iterator[Entry]:
    """All that is written down, in order."""
    for listed in store.list(f"{recovery}journal/"):
        yield Entry.from_json(store.get(listed.key))


def unfinished(store: ObjectStore, recovery: str) -> frozenset[str]:
    """Keys of changes that were begun and are not known to be done."""
    begun: set[str] = set()
    for entry in entries(store, recovery):
        if entry.ended is not None and entry.ended.outcome == "applied":
            begun.discard(entry.ended.key)
        if entry.begins is not None:
            begun.add(entry.begins)
    return frozenset(begun)
