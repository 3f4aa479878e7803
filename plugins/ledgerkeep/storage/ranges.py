"""Ranges of objects, received without waking anybody up for every piece of them.

obstore's blocking calls hand each piece of a response from the thread that receives it to the
thread that waits for it: two context switches for every few kilobytes, and half of what reading
costs. Its asynchronous calls collect a range where it arrives and tell once. So all requests of a
process run on one event loop, in a thread of its own, and whoever asks is an ordinary thread that
waits.

Behind obstore one thread receives, and not one per core as it would: two spend a third of their
time on handing each other work. One keeps up: a gigabyte takes it less than the second in which an
archive of that size is decompressed.

The thread is a daemon and begins with the first request: a process that only lists has none, and
a range that is left behind holds up no process.

obstore's own threads do not survive a fork: in the child every request would wait for ever, over a
store of its own as well. Airflow forks before a task asks for anything, so this happens to nobody
who does not fork inside a task. Whoever does is told, and does not hang.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import obstore

from ledgerkeep.errors import WorkerError

if TYPE_CHECKING:
    from obstore.store import S3Store as RangeClient


class RangeReader:
    """Fetches ranges over one client; threads may share it."""

    def __init__(self, make_client: "Callable[[], RangeClient]") -> None:
        """Make the client with the first range: it reads all authorities that the system trusts."""
        self._make_client = make_client
        self._making = threading.Lock()
        self._client: RangeClient | None = None

    @property
    def client(self) -> "RangeClient":
        """To ask with, in this process.

        :raises obstore.exceptions.BaseError: its configuration is not usable.
        :raises WorkerError: it was forked from one that has asked.
        """
        _process.claim()
        with self._making:
            if self._client is None:
                # Read by obstore's runtime (tokio) once, when it is first needed.
                os.environ.setdefault("TOKIO_WORKER_THREADS", "1")
                self._client = self._make_client()
            return self._client

    def fetch(self, key: str, start: int, end: int) -> memoryview:
        """Bytes `start` up to, not including, `end`; fewer when the object ends before.

        :raises obstore.exceptions.BaseError, FileNotFoundError: the request failed.
        :raises WorkerError: see `client`.
        """
        asked = _fetch(self.client, key, start, end)
        return asyncio.run_coroutine_threadsafe(asked, _loop.running()).result()


async def _fetch(client: "RangeClient", key: str, start: int, end: int) -> memoryview:
    return memoryview(await obstore.get_range_async(client, key, start=start, end=end))


class _Process:
    """The process whose threads obstore has; the first that asks, and no child of it."""

    def __init__(self) -> None:
        self._owner: int | None = None

    def claim(self) -> None:
        own = os.getpid()
        if self._owner is None:
            self._owner = own
        elif self._owner != own:
            raise WorkerError(
                f"process {own} was forked from process {self._owner}, which had read from an "
                "object store, and cannot read from one itself",
                hint="start a new program for this work instead of forking (multiprocessing: the "
                "start method spawn), or fork before the first reading",
            )


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


_process = _Process()
_loop = _Loop()
