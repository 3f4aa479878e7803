"""Moving segments from a stream into the store: order of confirmation, failures, bounds.

The stream is a hand-written one; the real one is under test_ship_wal.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from ledgerkeep.database.postgres.wal_segment import BLOCK, Segment, ShippedSegment
from ledgerkeep.database.postgres.wal_stream import WalChunk
from ledgerkeep.database.postgres.wal_transfer import WalTransfer
from ledgerkeep.errors import DatabaseUnavailable, StoreUnavailable, WalError
from ledgerkeep.storage.port import StoredObject

SIZE = 2 * BLOCK


class ScriptedStream:
    """Sends zeros from a position on, in pieces that fit no border; notes what is confirmed."""

    def __init__(self, start: int, *, jump_at: int = 1 << 62) -> None:
        self.position = start
        self.jump_at = jump_at
        self.confirmed: list[int] = []
        self.settled = False

    def receive(self, timeout: float) -> WalChunk:
        if self.position >= self.jump_at:
            self.position += 8192
        chunk = WalChunk(self.position, memoryview(bytes(300_000)))
        self.position += 300_000
        return chunk

    def confirm(self, position: int) -> None:
        self.confirmed.append(position)

    def keep_alive(self) -> None:
        pass

    def settle(self) -> None:
        self.settled = True

    def silent(self) -> DatabaseUnavailable:
        return DatabaseUnavailable("silent")


def _segments(count: int) -> list[Segment]:
    return [Segment("production", "1", 1, SIZE * number, SIZE) for number in range(1, count + 1)]


def _shipped(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
    assert sum(len(block) for block in blocks) == SIZE
    stored = StoredObject(key=segment.key, size=1, sha256="0" * 64)
    return ShippedSegment(segment, stored, (), b"", b"")


def test_segments_are_confirmed_in_order_when_all_before_are_stored() -> None:
    """The first upload is the slowest: it ends only when two later ones have."""
    others = threading.Barrier(3)

    def upload(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        shipped = _shipped(segment, blocks)
        if segment.start <= 3 * SIZE:
            others.wait(timeout=20)
        return shipped

    stream, noted = ScriptedStream(SIZE), []
    WalTransfer(stream, upload, lambda shipped: noted.append(shipped.segment), in_flight=3).run(
        iter(_segments(5))
    )
    assert noted == _segments(5)
    assert stream.confirmed == [segment.end for segment in _segments(5)]
    assert stream.settled


def test_a_failed_upload_confirms_all_before_it_and_nothing_behind() -> None:
    """Later segments that were stored do not count; slower ones before it do."""
    failed = threading.Event()

    def upload(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        shipped = _shipped(segment, blocks)
        if segment.start == 3 * SIZE:
            failed.set()
            raise StoreUnavailable("down")
        assert segment.start > 3 * SIZE or failed.wait(timeout=20)
        return shipped

    stream = ScriptedStream(SIZE)
    with pytest.raises(StoreUnavailable):
        WalTransfer(stream, upload, lambda _: None, in_flight=3).run(iter(_segments(50)))
    assert stream.confirmed == [2 * SIZE, 3 * SIZE]
    assert stream.settled


def test_no_more_segments_are_under_way_than_allowed() -> None:
    """So memory is bounded by them and not by the WAL to ship."""
    lock, under_way, most = threading.Lock(), 0, 0

    def upload(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        shipped = _shipped(segment, blocks)
        with lock:
            under_way -= 1
        return shipped

    WalTransfer(ScriptedStream(SIZE), upload, lambda _: None, in_flight=2).run(iter(_segments(30)))
    assert most <= 2


def test_wal_from_another_position_is_refused() -> None:
    """A stream that jumps would make a segment of the wrong bytes."""
    stream = ScriptedStream(SIZE, jump_at=2 * SIZE)
    with pytest.raises(WalError, match=r"the server sent WAL at .* instead of") as refused:
        WalTransfer(stream, _shipped, lambda _: None, in_flight=2).run(iter(_segments(4)))
    assert refused.value.hint == (
        "nothing of it counts; run again, and look at the server's log if it repeats"
    )


def test_whoever_is_ended_by_a_signal_does_not_wait_for_the_store() -> None:
    """A store that is away is waited for by the uploaders, for minutes; they end with the
    process."""
    away = threading.Event()

    def upload(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        shipped = _shipped(segment, blocks)
        away.wait(timeout=60)
        return shipped

    class Ended(ScriptedStream):
        def receive(self, timeout: float) -> WalChunk:
            if self.position > 3 * SIZE:
                raise KeyboardInterrupt
            return super().receive(timeout)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        WalTransfer(Ended(SIZE), upload, lambda _: None, in_flight=4).run(iter(_segments(9)))
    assert time.monotonic() - began < 5
    away.set()


def test_what_had_come_whole_is_stored_when_the_server_fails() -> None:
    """It may not come back. Nothing can be confirmed to it any more."""
    gone = threading.Event()

    def upload(segment: Segment, blocks: Iterator[bytes]) -> ShippedSegment:
        shipped = _shipped(segment, blocks)
        gone.wait(timeout=20)
        return shipped

    class Broken(ScriptedStream):
        def receive(self, timeout: float) -> WalChunk:
            if self.position > 3.5 * SIZE:
                gone.set()
                raise DatabaseUnavailable("gone")
            return super().receive(timeout)

    stream, noted = Broken(SIZE), []
    with pytest.raises(DatabaseUnavailable):
        WalTransfer(stream, upload, lambda one: noted.append(one.segment), in_flight=4).run(
            iter(_segments(9))
        )
    assert noted == _segments(2)
    assert stream.confirmed == []
