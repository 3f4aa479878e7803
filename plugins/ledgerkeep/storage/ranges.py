"""Ranges of objects, received without waking anybody up for every piece of them.

obstore's blocking calls hand each piece of a response from the thread that receives it to the
thread that waits for it: two context switches for every few kilobytes, and half of what reading
costs. Its asynchronous calls collect a range where it arrives and tell once. So all requests of a
process run on one event loop, in a thread of its own, and whoever asks is an ordinary thread that
waits.

The thread is a daemon and begins with the first request: a process that only lists has none, and
a range that is left behind holds up no process. A process that has fetched ranges must not be
forked to fetch more: obstore's own threads do not survive that.
"""

import asyncio
import threading
from typing import TYPE_CHECKING

import obstore

if TYPE_CHECKING:
    from obstore.store import S3Store as RangeClient


class RangeReader:
    """Fetches ranges over one client; threads may share it."""

    def __init__(self, client: "RangeClient") -> None:
        self.client = client

    def fetch(self, key: str, start: int, end: int) -> memoryview:
        """Bytes `start` up to, not including, `end`; fewer when the object ends before.

        :raises obstore.exceptions.BaseError, FileNotFoundError: the request failed.
        """
        return asyncio.run_coroutine_threadsafe(
            self._fetch(key, start, end), _loop.running()
        ).result()

    async def _fetch(self, key: str, start: int, end: int) -> memoryview:
        return memoryview(await obstore.get_range_async(self.client, key, start=start, end=end))


class _Loop:
    """The process's event loop for ranges, started when it is first needed."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="object ranges", daemon=True
                ).start()
            return self._loop


_loop = _Loop()
