"""How long a busy or absent object store is waited for.

A backup that ran for hours must not fail because the store throttled for half a minute, so every
request is tried again until a deadline. The deadline is in seconds, not in attempts: botocore's
own retries count attempts and draw on a budget that parts in flight share, and then four threads
give up sooner than one. Its retries are therefore off, and this is the only place that waits.

Only `StoreUnavailable` is tried again; whoever asks must make sure that asking twice is harmless.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ledgerkeep.errors import StoreUnavailable

T = TypeVar("T")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


def pauses() -> Iterator[float]:
    """Seconds to wait between attempts: doubling up to a bound, with jitter, without end."""
    pause = _FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, protects nothing
        pause = min(2 * pause, _LONGEST_PAUSE)


def try_until(
    seconds: float, attempt: Callable[[], T], *, stop: threading.Event | None = None
) -> T:
    """The result of the first attempt that succeeds.

    :param seconds: no attempt begins later than this after the first.
    :param stop: when set, the wait ends and the last failure is raised.
    :raises StoreUnavailable: the last attempt's, with the time that was spent.
    """
    stop = stop or threading.Event()
    began = time.monotonic()
    for pause in pauses():
        try:
            return attempt()
        except StoreUnavailable as problem:
            if time.monotonic() + pause - began > seconds or stop.wait(pause):
                raise StoreUnavailable(
                    f"{problem.message}; given up after {seconds:g} s", hint=problem.hint
                ) from problem
    raise AssertionError("unreachable")
