"""When transactions were committed, read from their records, wherever those lie on the pages."""

import struct

import pytest

from include.sandbox.place import Place
from ledgerkeep.catalog.lsn import parse_lsn
from ledgerkeep.database.postgres.wal_commits import Commit, CommitScan
from ledgerkeep.database.postgres.wal_stream import read_wal
from tests.database.postgres.wal_support import MEGABYTE, small_cluster

START = 16 << 20
PAGE = 8192
EPOCH = 946_684_800
XACT, HEAP = 1, 10
COMMIT, ABORT, COMMIT_PREPARED = 0x00, 0x20, 0x30


def header(*, first: bool = False, rest: int = 0) -> bytes:
    made = struct.pack(
        "<HHIQI", 0xD118, (0x0001 if rest else 0) | (0x0002 if first else 0), 1, 0, rest
    )
    return made.ljust(40 if first else 24, b"\0")


def record(manager: int, info: int, data: bytes, *, about: bytes = b"") -> bytes:
    body = about + b"\xff" + bytes([len(data)]) + data
    made = struct.pack("<IIQBBHI", 24 + len(body), 7, 0, info, manager, 0, 0) + body
    return made.ljust(-(-len(made) // 8) * 8, b"\0")


def commit(seconds: float, kind: int = COMMIT, *, about: bytes = b"") -> bytes:
    return record(XACT, kind, struct.pack("<q", int(seconds * 1e6)), about=about)


def filler(length: int) -> bytes:
    """A record of any length that is no commit."""
    made = struct.pack("<IIQBBHI", length, 7, 0, 0, HEAP, 0, 0)
    return made.ljust(length, b"x").ljust(-(-length // 8) * 8, b"\0")


def page(*records: bytes, first: bool = False, rest: bytes = b"") -> bytes:
    made = header(first=first, rest=len(rest)) + rest.ljust(-(-len(rest) // 8) * 8, b"\0")
    made += b"".join(records)
    assert len(made) <= PAGE
    return made.ljust(PAGE, b"\0")


def scan(wal: bytes, *, end: int | None = None, step: int = 1 << 20) -> list[Commit]:
    looked = CommitScan(START, START + len(wal) if end is None else end)
    pieces = (wal[at : at + step] for at in range(0, len(wal), step))
    return [found for piece in pieces for found in looked.feed(memoryview(piece))]


def moments(wal: bytes) -> list[float]:
    return [found.at - EPOCH for found in scan(wal)]


def test_the_first_commit_of_each_page_is_told() -> None:
    wal = page(filler(100), commit(10), commit(11), first=True) + page(commit(12), commit(13))
    assert moments(wal) == [10, 12]
    first = scan(wal)[0]
    assert START + 40 + 104 < first.end <= START + 40 + 104 + 40


def test_it_is_found_however_the_bytes_come() -> None:
    wal = page(filler(100), commit(10.25), first=True) + page(commit(12))
    assert scan(wal, step=7) == scan(wal)


def test_what_may_stand_before_its_moment_is_skipped() -> None:
    about = b"\xfd\x01\x00" + b"\xfc\x01\x02\x03\x04"
    assert moments(page(commit(5, about=about), first=True)) == [5]


def test_prepared_transactions_count_and_aborted_ones_do_not() -> None:
    wal = page(commit(1, ABORT), filler(30), commit(2, COMMIT_PREPARED | 0x80), first=True)
    assert moments(wal) == [2]


@pytest.mark.parametrize("kept", [8, 16, 24, 32])
def test_a_commit_on_two_pages_is_not_overlooked(kept: int) -> None:
    one = commit(7)
    before = filler(PAGE - 40 - kept)
    wal = page(before, one[:kept], first=True) + page(commit(8), rest=one[kept:34])
    assert moments(wal) == [7, 8]


def test_another_record_on_two_pages_is_none() -> None:
    wal = page(filler(PAGE - 40 - 16), filler(64)[:16], first=True) + page(rest=filler(64)[16:])
    assert moments(wal) == []


def test_a_record_over_several_pages_is_passed() -> None:
    long = filler(3 * PAGE)
    room, more = PAGE - 40, PAGE - 24
    wal = (
        page(long[:room], first=True)
        + header(rest=len(long) - room)
        + long[room : room + more]
        + header(rest=len(long) - room - more)
        + long[room + more : room + 2 * more]
        + page(commit(9), rest=long[room + 2 * more :])
    )
    assert moments(wal) == [9]


def test_nothing_behind_the_end_is_looked_at() -> None:
    wal = page(commit(1), first=True) + page(commit(2)) + page(commit(3))
    assert [found.at - EPOCH for found in scan(wal, end=START + PAGE + 1)] == [1, 2]
    assert CommitScan(START, START).is_over


def test_the_empty_rest_of_a_switched_segment_holds_none() -> None:
    assert moments(page(commit(1), first=True) + bytes(PAGE) * 3) == [1]


@pytest.mark.integration
def test_a_real_servers_commits_are_told_to_the_microsecond(place: Place) -> None:
    """Beside the server's own memory of them."""
    with small_cluster(place, track_commit_timestamp="on") as cluster:
        cluster.execute("SELECT pg_switch_wal()")
        cluster.execute("CREATE TABLE things (content text)")
        for _ in range(60):
            cluster.execute(
                "INSERT INTO things SELECT string_agg(md5(random()::text), '') "
                "FROM generate_series(1, 60)"
            )
        cluster.execute("SELECT pg_switch_wal()")
        known = {
            moment.timestamp()
            for (moment,) in cluster.execute(
                "SELECT DISTINCT pg_xact_commit_timestamp(xmin) FROM things"
            )
        }
        end = parse_lsn(cluster.execute("SELECT pg_current_wal_lsn()::text")[0][0])
        start = end // MEGABYTE * MEGABYTE - MEGABYTE
        looked = CommitScan(start, end)
        found = [
            commit
            for piece in read_wal(cluster.address, timeline=1, start=start, end=end)
            for commit in looked.feed(memoryview(piece))
        ]
    told = {round(one.at, 6) for one in found}
    # The first of each page: two thousand bytes a row leave room for three or four.
    assert len(told & {round(at, 6) for at in known}) >= 10
    assert all(start < one.end <= end for one in found)
