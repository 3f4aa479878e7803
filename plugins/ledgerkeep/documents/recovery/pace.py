"""How a recovery of documents comes on, in lines that a person can watch."""

import threading
import time
from collections.abc import Callable

from ledgerkeep.progress import format_bytes

_MEASURED_AFTER = 3.0


class Pace:
    """Counts keys and bytes, and lets a line through every few seconds; threads may share it."""

    def __init__(
        self,
        tell: Callable[[str], object],
        *,
        keys: int,
        size: int,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now.

        :param keys: how many there are in all.
        :param size: bytes in all.
        """
        self._tell = tell
        self._keys, self._size = keys, size
        self._interval, self._clock = interval, clock
        self._began = clock()
        self._next = self._began + interval
        self._lock = threading.Lock()
        self.done_keys = self.done_bytes = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    def add(self, size: int) -> None:
        """One more key is done."""
        with self._lock:
            self.done_keys += 1
            self.done_bytes += size
            now = self._clock()
            if now < self._next:
                return
            self._next = now + self._interval
            line = self._line(now - self._began)
        self._tell(line)

    def _line(self, elapsed: float) -> str:
        rate = self.done_keys / elapsed
        line = (
            f"{self.done_keys} of {self._keys} documents "
            f"({format_bytes(self.done_bytes)} of {format_bytes(self._size)}), {rate:.0f}/s"
        )
        if elapsed < _MEASURED_AFTER or not rate:
            return line
        return f"{line}, about {max(0, self._keys - self.done_keys) / rate:.0f} s left"
