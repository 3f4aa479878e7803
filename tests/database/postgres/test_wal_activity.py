"""Which WAL at the beginning of a segment is worth a switch."""

import struct

from ledgerkeep.database.postgres.wal_activity import SegmentActivity

START = 16 << 20
XLOG, XACT, STANDBY = 0, 1, 8


def header(*, continued: bool = False) -> bytes:
    return struct.pack("<HH", 0xD118, 0x0002 | continued).ljust(40, b"\0")


def record(manager: int, info: int, length: int = 50) -> bytes:
    made = struct.pack("<IIQBB", length, 0, 0, info, manager).ljust(length, b"x")
    return made.ljust(-(-length // 8) * 8, b"\0")


HOUSEKEEPING = [
    record(STANDBY, 0x10),
    record(XLOG, 0xE0, 30),
    record(STANDBY, 0x10, 54),
    record(XLOG, 0x10, 114),
    record(XLOG, 0x00, 114),
]


def began_at(*pieces: bytes) -> int | None:
    activity = SegmentActivity(START)
    for piece in pieces:
        activity.feed(memoryview(piece))
    return activity.began_at


def test_snapshots_and_checkpoints_are_housekeeping() -> None:
    assert began_at(header(), *HOUSEKEEPING) is None


def test_the_first_other_record_is_found() -> None:
    before = [header(), *HOUSEKEEPING]
    for other in (record(XACT, 0x00), record(XLOG, 0x70, 98), record(10, 0x00)):
        assert began_at(*before, other) == START + sum(map(len, before))


def test_it_is_found_however_the_bytes_come() -> None:
    wal = header() + record(STANDBY, 0x10) + record(XACT, 0x00)
    assert began_at(*(wal[at : at + 1] for at in range(len(wal)))) == START + 40 + 56
    assert began_at(wal) == START + 40 + 56


def test_a_record_that_continues_from_the_segment_before_is_activity() -> None:
    assert began_at(header(continued=True)) == START


def test_a_page_full_of_housekeeping_is_activity() -> None:
    """An idle server does not write one."""
    wal = header() + record(STANDBY, 0x10) * 200
    assert began_at(wal[:8191]) is None
    assert began_at(wal) is not None


def test_nothing_received_is_no_activity() -> None:
    assert began_at() is None
    assert began_at(header()[:20]) is None
