"""WAL from the stream into the store, several segments at a time, in bounded memory.

One thread receives; each segment in flight has an uploader of its own, fed through a pipe that
holds a few blocks. When the store is slower than the server the pipes fill, the receiver waits,
and TCP makes the server wait: nothing piles up. While it waits it still speaks to the server, which
otherwise would end the stream after wal_sender_timeout.

The slot is moved to the end of the acknowledged segments without a hole in front, never further:
an uploader may finish before its predecessor.

How long to wait for WAL that does not come is not decided here but by an `Attendant`: a run that
ships up to a moment knows that the server has it all, one that streams does not.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from typing import Protocol

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.wal_segment import BLOCK, BlockBuffer, Segment, ShippedSegment
from ledgerkeep.database.postgres.wal_stream import WalChunk, WalStream
from ledgerkeep.errors import DatabaseError, WalError

_PIPE_BLOCKS = 16
_TICK_SECONDS = 1.0


class Abandoned(Exception):
    """Ends an uploader whose segment will not be completed; it never leaves this module's pool."""


class BlockPipe:
    """Blocks from the receiver to one uploader."""

    def __init__(self, capacity: int = _PIPE_BLOCKS) -> None:
        self._blocks: deque[bytes] = deque()
        self._capacity = capacity
        self._changed = threading.Condition()
        self._abandoned = False
        self.closed = False
        """All blocks were handed over."""

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
            self.closed = True
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
            self._changed.wait_for(lambda: self._blocks or self.closed or self._abandoned)
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


class Attendant(Protocol):
    """Who watches over a transfer; called in the transferring thread."""

    def tick(self) -> None:
        """Called at least every second, whatever the transfer waits for."""

    def received(self, chunk: WalChunk) -> None:
        """Some bytes came."""

    def silence(self) -> None:
        """A second went by in which none came.

        :raises DatabaseUnavailable: there should have been some.
        """

    def ends(self) -> bool:
        """Whether to end in front of a segment of which no block has come; asked in silence."""


class Expectant:
    """The server has all that is asked for: it may be silent for a minute, not longer."""

    def __init__(self, stream: WalStream, *, patience: float = 60.0) -> None:
        self._stream = stream
        self._patience = patience
        self._silent_since: float | None = None

    def tick(self) -> None:
        """Nothing to do."""

    def received(self, chunk: WalChunk) -> None:
        """It speaks."""
        self._silent_since = None

    def silence(self) -> None:
        """Patience, up to a point; see `Attendant`."""
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > self._patience:
            raise self._stream.silent()

    def ends(self) -> bool:
        """Not before the last segment."""
        return False


class WalTransfer:
    """Moves whole segments from a stream into the store and confirms them to the server."""

    def __init__(
        self,
        stream: WalStream,
        upload: Upload,
        shipped: Callable[[ShippedSegment], None],
        *,
        in_flight: int,
        attendant: Attendant | None = None,
    ) -> None:
        """Prepare.

        :param upload: puts one segment and returns when it is acknowledged.
        :param shipped: told of each acknowledged segment, in WAL order, in the calling thread.
        :param in_flight: how many segments are under way at most.
        :param attendant: an `Expectant` by default.
        """
        self._stream = stream
        self._upload = upload
        self._shipped = shipped
        self._limit = in_flight
        self._attendant = attendant or Expectant(stream)
        self._in_flight: deque[_InFlight] = deque()
        self._buffer = BlockBuffer()
        self._position = 0

    def run(self, segments: Iterator[Segment]) -> None:
        """Ship consecutive segments, the first of which starts where the stream does.

        :raises LedgerkeepError: what an upload or the stream failed with; what was acknowledged
            before is confirmed, and nothing else. Segments that had come whole when the server
            failed are stored all the same.
        """
        pool = ThreadPoolExecutor(self._limit, thread_name_prefix="wal-upload")
        try:
            self._carry(pool, segments)
        except BaseException as problem:
            for flying in self._in_flight:
                flying.pipe.abandon()
            # Who ends the process does not wait for a store that may be away for minutes.
            pool.shutdown(wait=isinstance(problem, Exception), cancel_futures=True)
            raise
        pool.shutdown()
        self._stream.settle()

    def _carry(self, pool: ThreadPoolExecutor, segments: Iterator[Segment]) -> None:
        try:
            for segment in segments:
                if not self._ship(pool, segment):
                    break
            while self._in_flight:
                self._collect(wait=True)
        except DatabaseError:
            self._keep_what_came_whole()
            raise

    def _ship(self, pool: ThreadPoolExecutor, segment: Segment) -> bool:
        """Receive one segment; False when the attendant ended the transfer instead."""
        while len(self._in_flight) >= self._limit:
            self._collect(wait=True)
        self._position = segment.start
        if not self._await_block(or_end=True):
            return False
        pipe = BlockPipe()
        upload = pool.submit(self._upload, segment, iter(pipe))
        self._in_flight.append(_InFlight(segment, pipe, upload))
        for _ in range(segment.size // BLOCK):
            self._await_block()
            block = self._buffer.take(BLOCK)
            self._position += BLOCK
            while not pipe.put(block, _TICK_SECONDS):
                self._collect()
        pipe.close()
        return True

    def _await_block(self, *, or_end: bool = False) -> bool:
        while len(self._buffer) < BLOCK:
            chunk = self._stream.receive(_TICK_SECONDS)
            self._collect()
            if chunk is not None:
                self._append(chunk.position, chunk.data)
                self._attendant.received(chunk)
            elif or_end and self._attendant.ends():
                return False
            else:
                self._attendant.silence()
        return True

    def _append(self, position: int, data: memoryview) -> None:
        expected = self._position + len(self._buffer)
        if position != expected:
            raise WalError(
                f"the server sent WAL at {format_lsn(position)} instead of {format_lsn(expected)}",
                hint="nothing of it counts; run again, and look at the server's log if it repeats",
            )
        self._buffer.add(data)

    def _collect(self, *, wait: bool = False) -> None:
        """Take note of the uploads that are done, in order; `wait` for a moment for the oldest.

        When an upload has failed, nothing more is received: the ones before it, whose segments
        are complete, are waited for and confirmed, and then the failure is raised.
        """
        if wait and self._in_flight:
            wait_for([self._in_flight[0].upload], timeout=_TICK_SECONDS)
        self._attendant.tick()
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

    def _keep_what_came_whole(self) -> None:
        """The server is gone, and perhaps for good: what it has sent whole is stored."""
        while self._in_flight and self._in_flight[0].pipe.closed:
            oldest = self._in_flight[0]
            wait_for([oldest.upload])
            if _failed(oldest.upload):
                return
            self._shipped(oldest.upload.result())
            self._in_flight.popleft()


def _succeeded(upload: Future[ShippedSegment]) -> bool:
    return upload.done() and upload.exception() is None


def _failed(upload: Future[ShippedSegment]) -> bool:
    return upload.done() and upload.exception() is not None
