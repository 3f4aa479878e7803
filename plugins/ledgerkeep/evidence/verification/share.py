"""Which stored objects are read back today: a pure decision.

The promise is that each is read once within a time (a month). Whoever waits until something is due
reads everything on one day, since what was written together becomes due together; whoever reads a
little of everything each day reads large backups far too often. So there is a usual day: what is
stored, divided by the runs of the promised time, and a quarter more, but never less than the
largest object, which cannot be divided. What does not fit into the usual days that are left before
its deadline is read today, and nothing else: the oldest reading first. No day carries the load of
many then, nothing is read long before it must be, and what missed runs have left is made up for at
once.

A tenth of the promised time stays in reserve, for runs that do not happen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Stored:
    """A recovery point with its objects, which are read together."""

    system_identifier: str
    id: str
    size: int
    """Bytes as stored."""
    objects: int
    last_read: datetime
    """When it was last read back, or else written."""
    damaged: bool = False
    """It was not right when it was read last."""

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by: stretches of two clusters may have the same id."""
        return self.system_identifier, self.id


def todays_share(
    stored: Iterable[Stored], *, now: datetime, within: timedelta, interval: timedelta
) -> list[Stored]:
    """What this run has to read, in the order in which to read it: the oldest reading first.

    What is known to be damaged comes before, each time, until somebody has seen to it.

    :param within: each is read at least this often.
    :param interval: the time until the next run, at most.
    """
    oldest_first = sorted(stored, key=lambda one: (not one.damaged, one.last_read, one.id))
    aim = within * 9 // 10
    day = _usual_day(oldest_first, max(1, aim // interval))
    today, total = 0.0, 0
    for one in oldest_first:
        total += one.size
        left = timedelta(0) if one.damaged else one.last_read + aim - now
        runs_after_this = max(0, left // interval)
        today = max(today, total - day * runs_after_this)
    share: list[Stored] = []
    taken = 0
    for one in oldest_first:
        if taken >= today:
            break
        share.append(one)
        taken += one.size
    return share


def _usual_day(stored: Sequence[Stored], runs: int) -> float:
    """Bytes that a run may read."""
    sizes = [one.size for one in stored]
    return max(1.25 * sum(sizes) / runs, max(sizes, default=0))


def overdue(stored: Iterable[Stored], *, now: datetime, within: timedelta) -> list[Stored]:
    """What was not read within the promised time."""
    return [one for one in stored if now - one.last_read > within]
