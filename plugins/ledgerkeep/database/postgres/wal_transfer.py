"""WAL from the stream into the store, several segments at a time, in bounded memory.

One thread receives; each segment in flight has an uploader of its own, fed through a pipe that
holds a few blocks. When the store is slower than the server the pipes fill, the receiver waits,
and TCP makes the server wait: nothing piles up. While it waits it still speaks to the server, which
otherwise would end the stream after wal_sender_timeout.

The slot is moved to the end of the acknowledged segments without a hole in front, never further:
an uploader may finish before its predecessor.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.wal_segment import BLOCK, Segment, ShippedSegment
from ledgerkeep.database.postgres.wal_stream import WalStream
from ledgerkeep.errors import WalError

_PIPE_BLOCKS = 16
_TICK_SECONDS = 1.0
_SILENCE_SECONDS = 60.0


class Abandoned(Exception):
    """Ends an uploader whose segment will not be completed; it never leaves this module's pool."""


class BlockPipe:
    """Blocks from the receiver to one uploader."""

    def __init__(self, capacity: int = _PIPE_BLOCKS) -> None:
        self._blocks: deque[bytes] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._closed = False
        self._abandoned = False

    def put(self, block: bytes, timeout: float) -> bool:
        """Hand a block over; False when there was no room for `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._blocks) < self._capacity, timeout):
                return False
            self._blocks.append(block)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """That was the last block."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """There will be no more blocks, and the ones before count nothing."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        while (block := self._take()) is not None:
            yield block

    def _take(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._closed or self._abandoned)
            if self._abandoned:
                raise Abandoned
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._changed.notify_all()
            return block


@dataclass(frozen=True)
class _InFlight:
    segment: Segment
    pipe: BlockPipe
    upload: Future[ShippedSegment]


Upload = Callable[[Segment, Iterator[bytes]], ShippedSegment]


class WalTransfer:
    """Moves whole segments from a stream into the store and confirms them to the server."""

    def __init__(
        self,
        stream: WalStream,
        upload: Upload,
        shipped: Callable[[ShippedSegment], None],
        *,
        in_flight: int,
    ) -> None:
        """Prepare.

        :param upload: puts one segment and returns when it is acknowledged.
        :param shipped: told of each acknowledged segment, in WAL order, in the calling thread.
        :param in_flight: how many segments are under way at most.
        """
        self._stream = stream
        self._upload = upload
        self._shipped = shipped
        self._limit = in_flight
        self._in_flight: deque[_InFlight] = deque()
        self._buffer = bytearray()
        self._position = 0

    def run(self, segments: Iterator[Segment]) -> None:
        """Ship consecutive segments, the first of which starts where the stream does.

        :raises LedgerkeepError: what an upload or the stream failed with; what was acknowledged
            before is confirmed, and nothing else.
        """
        with ThreadPoolExecutor(self._limit, thread_name_prefix="wal-upload") as pool:
            try:
                for segment in segments:
                    self._ship(pool, segment)
                while self._in_flight:
                    self._collect(wait=True)
            except BaseException:
                for flying in self._in_flight:
                    flying.pipe.abandon()
                raise
        self._stream.settle()

    def _ship(self, pool: ThreadPoolExecutor, segment: Segment) -> None:
        while len(self._in_flight) >= self._limit:
            self._collect(wait=True)
        pipe = BlockPipe()
        upload = pool.submit(self._upload, segment, iter(pipe))
        self._in_flight.append(_InFlight(segment, pipe, upload))
        self._position = segment.start
        for _ in range(segment.size // BLOCK):
            block = self._next_block()
            while not pipe.put(block, _TICK_SECONDS):
                self._collect()
        pipe.close()

    def _next_block(self) -> bytes:
        deadline = time.monotonic() + _SILENCE_SECONDS
        while len(self._buffer) < BLOCK:
            chunk = self._stream.receive(_TICK_SECONDS)
            self._collect()
            if chunk is not None:
                self._append(chunk.position, chunk.data)
                deadline = time.monotonic() + _SILENCE_SECONDS
            elif time.monotonic() > deadline:
                raise self._stream.silent()
        block = bytes(memoryview(self._buffer)[:BLOCK])
        del self._buffer[:BLOCK]
        self._position += BLOCK
        return block

    def _append(self, position: int, data: memoryview) -> None:
        expected = self._position + len(self._buffer)
        if position != expected:
            raise WalError(
                f"the server sent WAL at {format_lsn(position)} instead of {format_lsn(expected)}",
                hint="nothing of it counts; run again, and look at the server's log if it repeats",
            )
        self._buffer += data

    def _collect(self, *, wait: bool = False) -> None:
        """Take note of the uploads that are done, in order; `wait` for a moment for the oldest.

        When an upload has failed, nothing more is received: the ones before it, whose segments
        are complete, are waited for and confirmed, and then the failure is raised.
        """
        if wait and self._in_flight:
            wait_for([self._in_flight[0].upload], timeout=_TICK_SECONDS)
        self._note_done()
        if any(_failed(flying.upload) for flying in self._in_flight):
            while not _failed(self._in_flight[0].upload):
                wait_for([self._in_flight[0].upload], timeout=_TICK_SECONDS)
                self._note_done()
            self._stream.settle()
            self._in_flight[0].upload.result()

    def _note_done(self) -> None:
        self._stream.keep_alive()
        while self._in_flight and _succeeded(self._in_flight[0].upload):
            oldest = self._in_flight[0]
            self._shipped(oldest.upload.result())
            self._stream.confirm(oldest.segment.end)
            self._in_flight.popleft()


def _succeeded(upload: Future[ShippedSegment]) -> bool:
    return upload.done() and upload.exception() is None


def _failed(upload: Future[ShippedSegment]) -> bool:
    return upload.done() and upload.exception() is not None
