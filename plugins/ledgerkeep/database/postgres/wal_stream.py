"""WAL over the replication protocol (PostgreSQL: "Streaming Replication Protocol").

One object is one START_REPLICATION: bytes of one timeline, in order, from a position on. With a
slot, what `confirm` says is what the server may forget, so it is the caller's promise that
everything before that position is durable; without a slot nothing is confirmed or kept.

The server ends a stream whose receiver is silent for wal_sender_timeout, so while the caller is
busy elsewhere it must come by with `keep_alive` now and then.
"""

import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import psycopg
from psycopg import pq

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.database.postgres.address import ServerAddress, connect_replication
from ledgerkeep.errors import DatabaseError, DatabaseUnavailable, SlotInUse, WalGap

_POSTGRES_EPOCH = 946_684_800  # 2000-01-01 UTC in Unix time
_STATUS_SECONDS = 5.0
_WAL_DATA = ord("w")
_KEEPALIVE = ord("k")
_UNDEFINED_FILE = b"58P01"
_OBJECT_IN_USE = b"55006"
_INTERNAL_ERROR = b"XX000"
_QUESTION_SECONDS = 10.0


@dataclass(frozen=True)
class WalChunk:
    """Some bytes of WAL, and where they belong."""

    position: int
    data: memoryview


class WalStream:
    """A running START_REPLICATION; use it in a `with` block."""

    def __init__(
        self, address: ServerAddress, *, timeline: int, start: int, slot: str | None = None
    ) -> None:
        """Begin to stream.

        :raises WalGap: the server no longer has that WAL (may also come from `receive`).
        :raises SlotInUse: somebody else streams from the slot.
        :raises DatabaseUnavailable, DatabaseAccessDenied, DatabaseError:
        """
        self._address = address
        self._timeline = timeline
        self._position = start
        self._confirmed = 0
        self._next_status = time.monotonic() + _STATUS_SECONDS
        self._connection = connect_replication(address)
        self._slot = slot
        try:
            self._begin(timeline, start)
        except BaseException:
            self._connection.finish()
            raise

    def __enter__(self) -> "WalStream":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.finish()

    def receive(self, timeout: float) -> WalChunk | None:
        """The next bytes, or None when `timeout` seconds brought none or the timeline ended.

        :raises WalGap: the server has removed the WAL it should send.
        :raises DatabaseUnavailable: the connection is lost.
        """
        deadline = time.monotonic() + timeout
        while True:
            self.keep_alive()
            size, message = self._copy_data()
            if size > 0:
                chunk = self._understand(message)
                if chunk is not None:
                    return chunk
            elif size < 0:
                self._finish_copy()
                return None
            elif not self._wait(deadline):
                return None

    def confirm(self, position: int) -> None:
        """Everything before `position` is durable: the slot may move there.

        Told to the server at once, so that it can recycle WAL while the rest is shipped.
        """
        if position > self._confirmed:
            self._confirmed = position
            self._send_status()

    def keep_alive(self) -> None:
        """Tell the server that we live, when it is time to."""
        if time.monotonic() >= self._next_status:
            self._send_status()

    def settle(self, *, timeout: float = 10.0) -> None:
        """Return when the server has taken note of what was confirmed.

        Asks for a reply and waits for it: the slot has moved by then, so a run that follows at
        once (or a test) sees it.
        """
        self._send_status(reply=True)
        deadline = time.monotonic() + timeout
        while True:
            size, message = self._copy_data()
            if size < 0 or (size > 0 and message[0] == _KEEPALIVE):
                return
            if size == 0 and not self._wait(deadline):
                return

    def silent(self) -> DatabaseUnavailable:
        """The error for a server that has WAL and does not send it."""
        return DatabaseUnavailable(
            f"{self._address} sent no WAL from {format_lsn(self._position)} on, although it has it",
            hint="is the server overloaded or the network cut? run again: "
            "the slot keeps what was not stored yet",
        )

    def _begin(self, timeline: int, start: int) -> None:
        slot = f'SLOT "{self._slot}" ' if self._slot else ""
        result = self._connection.exec_(
            f"START_REPLICATION {slot}PHYSICAL {format_lsn(start)} TIMELINE {timeline}".encode()
        )
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise self._error(result.error_field(pq.DiagnosticField.SQLSTATE), result.error_message)

    def _copy_data(self) -> tuple[int, memoryview]:
        try:
            size, message = self._connection.get_copy_data(1)
            if size == 0:
                self._connection.consume_input()
                size, message = self._connection.get_copy_data(1)
        except psycopg.OperationalError as problem:
            raise self._lost(str(problem)) from problem
        return size, message

    def _wait(self, deadline: float) -> bool:
        now = time.monotonic()
        if now >= deadline:
            return False
        until = min(deadline, self._next_status) - now
        select.select([self._connection.socket], [], [], max(until, 0.0))
        return True

    def _understand(self, message: memoryview) -> WalChunk | None:
        if message[0] == _WAL_DATA:
            (position,) = struct.unpack_from("!Q", message, 1)
            data = message[25:]
            self._position = position + len(data)
            return WalChunk(position, data)
        if message[0] == _KEEPALIVE and message[17]:
            self._send_status()
        return None

    def _send_status(self, *, reply: bool = False) -> None:
        self._next_status = time.monotonic() + _STATUS_SECONDS
        clock = int((time.time() - _POSTGRES_EPOCH) * 1_000_000)
        # Write, flush and apply are all "stored": a received but not stored byte counts nothing.
        done = self._confirmed
        try:
            self._connection.put_copy_data(
                struct.pack("!cQQQqB", b"r", done, done, done, clock, reply)
            )
            self._connection.flush()
        except psycopg.OperationalError as problem:
            raise self._lost(str(problem)) from problem

    def _finish_copy(self) -> None:
        """The server ended the copy: at the end of a timeline, or with an error."""
        result = self._connection.get_result()
        if result is not None and result.status == pq.ExecStatus.COPY_IN:
            self._connection.put_copy_end()
            result = self._connection.get_result()
        if result is None or result.status == pq.ExecStatus.FATAL_ERROR:
            state = result.error_field(pq.DiagnosticField.SQLSTATE) if result else None
            words = result.error_message if result else self._connection.error_message
            # The server looks behind each reading whether the segment is still there, and has no
            # code for what it finds then (PostgreSQL: CheckXLogRemoved). Asked anew, it has.
            if state == _INTERNAL_ERROR and self._is_gone():
                state = _UNDEFINED_FILE
            raise self._error(state, words)

    def _is_gone(self) -> bool:
        """Whether the server, asked anew, no longer has the WAL that it should send now."""
        try:
            with _Question(
                self._address, timeline=self._timeline, start=self._position
            ) as question:
                question.receive(_QUESTION_SECONDS)
        except WalGap:
            return True
        except DatabaseError:
            # What ended the stream itself says more.
            return False
        return False

    def _error(self, state: bytes | None, words: bytes) -> DatabaseError:
        said = " ".join(words.decode(errors="replace").split())
        if state == _UNDEFINED_FILE:
            return WalGap(
                f"the server no longer has the WAL at {format_lsn(self._position)} "
                f"of timeline {self._timeline}: {said}",
                hint="take a full backup: recovery starts anew from it",
            )
        if state == _OBJECT_IN_USE:
            return SlotInUse(
                f"replication slot {self._slot} is in use: {said}",
                hint="the slot belongs to WAL shipping alone: stop the other client, "
                "or give it a slot of its own",
            )
        if state is None:
            return self._lost(said)
        return DatabaseError(
            f"the server refused to send WAL from {format_lsn(self._position)} "
            f"of timeline {self._timeline}: {said}",
            hint="see the server's log; nothing that was shipped before is lost",
        )

    def _lost(self, words: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the WAL stream from {self._address} broke at {format_lsn(self._position)}: "
            f"{' '.join(words.split())}",
            hint="is the server up? run again: the slot keeps what was not stored yet",
        )


class _Question(WalStream):
    """A stream that asks whether WAL is there, and not once more when it ends without a reason."""

    def _is_gone(self) -> bool:
        return False


def read_wal(
    address: ServerAddress, *, timeline: int, start: int, end: int, patience: float = 60.0
) -> Iterator[bytes]:
    """WAL from `start` to `end`, read without a slot, in pieces as they come.

    :param patience: seconds the server may be silent.
    :raises WalGap: the server no longer has it.
    :raises DatabaseUnavailable: the connection was lost, or the server went silent.
    """
    position = start
    with WalStream(address, timeline=timeline, start=start) as stream:
        while position < end:
            chunk = stream.receive(patience)
            if chunk is None:
                raise stream.silent()
            yield bytes(chunk.data[: end - position])
            position += len(chunk.data)


def has_wal(address: ServerAddress, *, timeline: int, position: int) -> bool:
    """Whether the server still has the WAL at `position`, which it has written already."""
    try:
        next(read_wal(address, timeline=timeline, start=position, end=position + 1))
    except WalGap:
        return False
    return True
