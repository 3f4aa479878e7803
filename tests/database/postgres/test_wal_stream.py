"""The replication protocol against a real server."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres import wal_stream
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.slots import ensure_slot
from ledgerkeep.database.postgres.wal_stream import WalStream, has_wal, read_wal
from ledgerkeep.errors import DatabaseError, DatabaseUnavailable, SlotInUse, WalGap
from tests.conftest import Cluster
from tests.database.postgres.wal_support import (
    MEGABYTE,
    recycle,
    slot_position,
    write_wal,
)

pytestmark = pytest.mark.integration


def _flushed(source: Cluster) -> int:
    source.execute(f"CREATE TABLE t_{secrets.token_hex(4)} ()")
    return parse_lsn(source.execute("SELECT pg_current_wal_flush_lsn()::text")[0][0])


def test_wal_is_read_from_any_position_of_the_server(source: Cluster) -> None:
    """The same bytes as in the server's file."""
    end = _flushed(source)
    start = end // MEGABYTE * MEGABYTE
    name = source.execute(f"SELECT pg_walfile_name('{start // 2**32:X}/{start % 2**32 + 1:X}')")
    file = (source.data / "pg_wal" / name[0][0]).read_bytes()
    assert (
        b"".join(read_wal(source.address, timeline=1, start=start, end=end)) == file[: end - start]
    )


def test_the_slot_moves_to_what_is_confirmed_and_not_to_what_is_received(source: Cluster) -> None:
    """Receiving is not storing."""
    with connect(source.address) as connection:
        begin = ensure_slot(connection, "moving").restart_lsn
    start = begin // MEGABYTE * MEGABYTE
    write_wal(source, 4)
    with WalStream(source.address, timeline=1, start=start, slot="moving") as stream:
        received = start
        while received < start + 3 * MEGABYTE:
            chunk = stream.receive(10)
            assert chunk.position == received
            received += len(chunk.data)
        stream.settle()
        assert slot_position(source, "moving") == begin
        stream.confirm(start + MEGABYTE)
        stream.settle()
        assert slot_position(source, "moving") == start + MEGABYTE
        with pytest.raises(SlotInUse, match="replication slot moving is in use"):
            WalStream(source.address, timeline=1, start=start, slot="moving")


def test_wal_that_the_server_removed_is_a_gap(source: Cluster) -> None:
    """It says where."""
    gone = _flushed(source) // MEGABYTE * MEGABYTE
    assert has_wal(source.address, timeline=1, position=gone)
    source.drop_slots()
    write_wal(source, 12)
    recycle(source)
    write_wal(source, 12)
    recycle(source)
    assert not has_wal(source.address, timeline=1, position=gone)
    with pytest.raises(
        WalGap, match=r"the server no longer has the WAL at .* of timeline 1: ERROR"
    ):
        next(read_wal(source.address, timeline=1, start=gone, end=gone + 1))


@contextmanager
def _stream_whose_wal_goes(source: Cluster, received: int = 1) -> Iterator[WalStream]:
    """It has begun; what it is to send next is removed while the server is at it."""
    with connect(source.address) as connection:
        start = ensure_slot(connection, "keeping").restart_lsn // MEGABYTE * MEGABYTE
    # More than lies between the two of us, so the server is still at it when it has to look.
    write_wal(source, 40)
    with WalStream(source.address, timeline=1, start=start) as stream:
        assert stream.receive(10).position == start
        for _ in range(received - 1):
            assert stream.receive(10) is not None
        source.execute("SELECT pg_drop_replication_slot('keeping')")
        recycle(source)
        yield stream


def _drain(stream: WalStream) -> None:
    while stream.receive(10) is not None:
        pass


def test_wal_that_is_removed_while_it_is_sent_is_a_gap(source: Cluster) -> None:
    """The server notices behind the reading, and then has no error code for it."""
    with _stream_whose_wal_goes(source) as stream, pytest.raises(WalGap) as gone:
        _drain(stream)
    assert re.fullmatch(
        r"the server no longer has the WAL at 0/[0-9A-F]+ of timeline 1: "
        r"ERROR: requested WAL segment [0-9A-F]{24} has already been removed",
        gone.value.message,
    )
    assert gone.value.hint == "take a full backup: recovery starts anew from it"


def test_server_that_cannot_be_asked_anew_is_quoted(
    source: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a gap until somebody has said so."""

    def unreachable(address: ServerAddress) -> None:
        raise DatabaseUnavailable(f"{address} cannot be reached")

    # A server that stands between two segments (one in six does) cannot open the next one, and
    # says so by its code: a gap without a question. Then it is made to stand somewhere else.
    for received in range(1, 9):
        with _stream_whose_wal_goes(source, received) as stream, monkeypatch.context() as patched:
            patched.setattr(wal_stream, "connect_replication", unreachable)
            with pytest.raises(DatabaseError) as refused:
                _drain(stream)
        if not isinstance(refused.value, WalGap):
            break
    assert type(refused.value) is DatabaseError
    assert re.fullmatch(
        r"the server refused to send WAL from 0/[0-9A-F]+ of timeline 1: "
        r"ERROR: requested WAL segment [0-9A-F]{24} has already been removed",
        refused.value.message,
    )


def test_a_timeline_the_server_never_had_is_refused_in_its_words(source: Cluster) -> None:
    """Not a gap: something is wrong with the question."""
    with pytest.raises(DatabaseError, match="the server refused to send WAL from") as refused:
        next(read_wal(source.address, timeline=7, start=0, end=1))
    assert "timeline 7" in refused.value.message
