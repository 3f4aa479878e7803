"""Progress that a person can watch: bytes done, of how many, and at which rate.

The core calls a `Progress` as often as it likes; `LoggedProgress` lets a line through every few
seconds, so a task log stays readable and a long silence means something.
"""

import time
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Told how far an operation has come."""

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Take note.

        :param done: bytes so far.
        :param total: bytes in all, None where nobody knows.
        :param what: what is under way, e.g. `base backup` or `replay at 0/5000000`.
        """


def no_progress(done: int, total: int | None, what: str) -> None:
    """Tell nobody."""


class LoggedProgress:
    """Writes a line at most every `interval` seconds through `log` (such as `logger.info`)."""

    def __init__(self, log: Callable[[str], object], *, interval: float = 2.0) -> None:
        self._log = log
        self._interval = interval
        self._started = time.monotonic()
        self._next = self._started + interval

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Take note; see `Progress`."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        elapsed = now - self._started
        share = f" of {format_bytes(total)} ({100 * done / total:.0f} %)" if total else ""
        rate = format_bytes(int(done / elapsed))
        self._log(f"{what}: {format_bytes(done)}{share}, {elapsed:.0f} s, {rate}/s")


def format_bytes(count: int) -> str:
    """Bytes as people read them: `742.3 MB` (decimal units)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
