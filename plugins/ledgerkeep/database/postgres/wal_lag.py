"""How long written WAL takes to be durable: the recovery point objective, measured.

Once a second the server is asked where it writes. When everything before that position is in the
store, the time since then is what a crash just before would have cost. The clock is read before the
server is asked, so the figure is never too small.

What was committed before the run began has waited longest, and most of all matters: its commit
records tell since when (`wal_commits`). They count as often as if the server had been asked then.
"""

from collections import deque

from ledgerkeep.catalog.models import DurableAfter

_SAMPLE_SECONDS = 1.0


class DurableLag:
    """Samples of one run; times are seconds of one clock."""

    def __init__(self) -> None:
        self._committed: deque[tuple[int, float]] = deque()
        self._written: deque[tuple[int, float]] = deque()
        self._newest = 0
        self._lags: list[float] = []
        self._told = 0

    def written(self, position: int, at: float) -> None:
        """The server had written up to `position` at that moment, or later."""
        if position > self._newest:
            self._newest = position
            self._written.append((position, at))

    def committed(self, position: int, at: float) -> None:
        """Something before `position` was committed at that moment, before the run began."""
        if not self._committed or at >= self._committed[-1][1] + _SAMPLE_SECONDS:
            self._committed.append((position, at))

    def disregard(self, start: int, end: int) -> None:
        """From `start` to `end` there is nothing but an idle server's housekeeping."""
        self._written = deque(one for one in self._written if not start <= one[0] <= end)

    def durable(self, position: int, at: float) -> None:
        """Everything before `position` was durable at that moment."""
        for waiting in (self._committed, self._written):
            while waiting and waiting[0][0] <= position:
                self._lags.append(at - waiting.popleft()[1])

    def of_stretch(self) -> DurableAfter | None:
        """What was sampled since this was asked last; None: nothing."""
        told, self._told = self._told, len(self._lags)
        return _summary(self._lags[told:])

    def of_run(self) -> DurableAfter | None:
        """What was sampled at all; None: nothing."""
        return _summary(self._lags)


def _summary(lags: list[float]) -> DurableAfter | None:
    if not lags:
        return None
    ordered = sorted(lags)
    return DurableAfter(
        samples=len(ordered),
        p50_seconds=_rank(ordered, 50),
        p95_seconds=_rank(ordered, 95),
        max_seconds=round(ordered[-1], 3),
    )


def _rank(ordered: list[float], percent: int) -> float:
    """The smallest value that `percent` of all do not exceed."""
    return round(ordered[-(-len(ordered) * percent // 100) - 1], 3)
