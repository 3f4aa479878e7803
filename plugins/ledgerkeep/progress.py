"""Progress that a person can watch: bytes done, of how many, and at which rate.

The core calls a `Progress` as often as it likes; `LoggedProgress` lets a line through every few
seconds, so a task log stays readable and a long silence means something.
"""

import time
from collections.abc import Callable
from typing import Protocol

_MEASURED_AFTER = 3.0
"""Seconds of a phase after which its own rate says more than the plan's."""


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


class LoggedCount:
    """Writes how many things are done, and how fast, at most every `interval` seconds."""

    def __init__(self, log: Callable[[str], object], *, what: str, interval: float = 2.0) -> None:
        """Begin now.

        :param what: the things and where, e.g. `versions of shard 3`.
        """
        self._log = log
        self._what = what
        self._interval = interval
        self._started = time.monotonic()
        self._next = self._started + interval

    def __call__(self, done: int) -> None:
        """Take note."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._interval
        elapsed = now - self._started
        self._log(f"{done:,} {self._what}, {elapsed:.0f} s, {done / elapsed:,.0f}/s")


class EstimatedProgress:
    """Progress through phases one after the other, with the time that is left of all of them.

    What was planned is believed until a phase has been measured for a few seconds; then the phase's
    own rate is, for as long as it lasts. A phase is told by the first word of `what`.
    """

    def __init__(
        self,
        log: Callable[[str], object],
        *,
        total: int,
        seconds: float,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now.

        :param total: bytes of all phases.
        :param seconds: how long all of them were planned to take.
        :param interval: seconds between two lines.
        """
        self._log = log
        self._interval = interval
        self._clock = clock
        self._planned_rate = total / seconds if seconds > 0 and total > 0 else None
        self._total = total
        self._ended_phases = 0
        self._phase = ""
        self._phase_began = self._began = self._next = clock()
        self._done = self._phase_total = 0

    def __call__(self, done: int, total: int | None, what: str) -> None:
        """Take note; see `Progress`."""
        now = self._clock()
        phase = what.partition(" ")[0]
        if phase != self._phase:
            self._ended_phases += self._phase_total
            self._phase, self._phase_began, self._next = phase, now, now
        self._done, self._phase_total = done, total or done
        if now < self._next:
            return
        self._next = now + self._interval
        share = f" of {format_bytes(total)} ({100 * done / total:.0f} %)" if total else ""
        self._log(
            f"{what}: {format_bytes(done)}{share}, {now - self._began:.0f} s so far"
            + self._estimate(now)
        )

    def _estimate(self, now: float) -> str:
        here, measured = self._phase_total - self._done, self._measured_rate(now)
        later = max(0, self._total - self._ended_phases - self._phase_total)
        rate = measured or self._planned_rate
        if rate is None:
            return ""
        left = here / rate + later / (self._planned_rate or rate)
        shown = f", {format_bytes(int(measured))}/s" if measured else ""
        return f"{shown}, about {left:.0f} s left"

    def _measured_rate(self, now: float) -> float | None:
        elapsed = now - self._phase_began
        return self._done / elapsed if elapsed >= _MEASURED_AFTER and self._done else None


def format_bytes(count: int) -> str:
    """Bytes as people read them: `742.3 MB` (decimal units)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")
