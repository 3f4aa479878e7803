"""When a run that streams makes a mark, switches the segment, and ends; decisions only, no clock.

A segment is switched when what was written into it has waited long enough. One that fills up by
itself sooner is not, but a mark is made now and then all the same: without one, what it holds could
be recovered, and nobody would know up to which time.
"""

from dataclasses import dataclass, field
from enum import Enum


class Step(Enum):
    """What is to be done now."""

    WAIT = "wait"
    MARK = "mark"
    SWITCH = "switch"


@dataclass
class Pace:
    """Of one run; times are seconds of one clock."""

    switch_after: float
    """Seconds that something written may wait for its segment to fill."""
    began_at: float
    ends_at: float
    waiting_since: float | None = None
    """Since when the open segment holds something; None while it does not."""
    _marked_at: float = field(init=False)
    _unmarked: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """The first mark has as much time as all others."""
        self._marked_at = self.began_at

    def wrote(self, now: float, *, before_the_run: bool) -> None:
        """The open segment holds something now.

        :param before_the_run: written before it began, so nobody knows how long it has waited.
        """
        self.waiting_since = self.began_at - self.switch_after if before_the_run else now
        self._unmarked = True

    def opened(self) -> None:
        """A segment is complete, and the next one is empty."""
        self.waiting_since = None

    def marked(self, now: float) -> None:
        """A mark was made."""
        self._marked_at = now
        self._unmarked = False

    def is_over(self, now: float) -> bool:
        """Whether the run has streamed for its interval."""
        return now >= self.ends_at

    def is_last(self, now: float) -> bool:
        """Whether the run ends with the open segment, which holds something."""
        return self.is_over(now) and self.waiting_since is not None

    def step(self, now: float, *, filled: bool) -> Step:
        """What is due.

        :param filled: the open segment is complete on the server, and only has to come.
        """
        since = self.waiting_since
        if since is not None and not filled and self._is_due(now, since):
            return Step.SWITCH
        if self._unmarked and now - self._marked_at >= self.switch_after:
            return Step.MARK
        return Step.WAIT

    def _is_due(self, now: float, since: float) -> bool:
        return now - since >= self.switch_after or self.is_over(now)
