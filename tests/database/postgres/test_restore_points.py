"""Finding restore point records in WAL pages made by hand, at every awkward place.

Real ones, made by a server, are found in test_ship_wal.
"""

import struct

import pytest
from crc32c import crc32c

from ledgerkeep.database.postgres.restore_points import PAGE, RestorePointScan, across

SEGMENT = 1 << 20
START = 7 * SEGMENT
CREATED = "2026-03-31T22:00:00+00:00"
_MICROSECONDS = 828_309_600 * 1_000_000


def _record(name: str, previous: int, *, xid: bytes = b"") -> bytes:
    data = struct.pack("<q64s", _MICROSECONDS, name.encode())
    body = xid + b"\xff\x48" + data
    head = struct.pack("<IIQBBH", 24 + len(body), 0, previous, 0x70, 0, 0)
    crc = crc32c(head, crc32c(body))
    return head + struct.pack("<I", crc) + body


def _payload_start(payload_offset: int) -> int:
    """WAL position of a payload byte of the segment, counted the slow way."""
    position = START + 40
    for _ in range(payload_offset):
        position += 1
        if position % PAGE == 0:
            position += 24
    return position


def _pages(payload: bytes) -> bytes:
    """A segment with that payload: page headers between, zeros behind."""
    pages, at = [], 0
    for page in range(SEGMENT // PAGE):
        header = 40 if page == 0 else 24
        room = PAGE - header
        pages.append(b"\xd1" * header + payload[at : at + room].ljust(room, b"\0"))
        at += room
    return b"".join(pages)


def _scan(segment: bytes, *, block: int = SEGMENT) -> RestorePointScan:
    scan = RestorePointScan(START)
    for at in range(0, SEGMENT, block):
        scan.feed(segment[at : at + block])
    return scan


@pytest.mark.parametrize("offset", [0, 8, *range(8152 - 112, 8152 + 16, 8), 8152 + 8168 - 40])
@pytest.mark.parametrize("block", [PAGE, SEGMENT])
def test_a_record_is_found_wherever_it_crosses_a_page(offset: int, block: int) -> None:
    """Its position is the end of the record, padding included, page headers jumped over."""
    payload = bytes(offset) + _record("month end", START)
    (point,) = _scan(_pages(payload), block=block).found()
    assert point.name == "month end"
    assert point.at.isoformat() == CREATED
    assert point.lsn == _payload_start(offset + 103) + 1


@pytest.mark.parametrize("before", range(8, 104, 8))
def test_a_record_that_crosses_segments_is_found_from_both_ends(before: int) -> None:
    """Neither segment has all of it."""
    record = _record("across", START).ljust(104, b"\0")
    room = SEGMENT - 40 - (SEGMENT // PAGE - 1) * 24
    first = _scan(_pages(bytes(room - before) + record[:before]))
    border = START + SEGMENT
    second = RestorePointScan(border)
    second.feed(_pages(record[before:]))
    assert first.found() == second.found() == []
    (point,) = across(first.tail, second.head, border)
    assert (point.name, point.lsn) == ("across", border + 40 + 104 - before)


def test_a_record_right_before_the_border_is_counted_once() -> None:
    """It is whole in the first segment."""
    record = _record("last", START).ljust(104, b"\0")
    room = SEGMENT - 40 - (SEGMENT // PAGE - 1) * 24
    scan = _scan(_pages(bytes(room - 104) + record))
    assert [point.lsn for point in scan.found()] == [START + SEGMENT]
    assert across(scan.tail, bytes(112), START + SEGMENT) == []


def test_a_record_made_in_a_subtransaction_is_found() -> None:
    """It names its top-level transaction as well."""
    payload = bytes(16) + _record("inside", START, xid=b"\xfc" + struct.pack("<I", 755))
    assert [point.name for point in _scan(_pages(payload)).found()] == ["inside"]


def test_bytes_that_only_look_like_a_record_are_no_restore_point() -> None:
    """A wrong CRC; a true copy of WAL in a table, whose predecessor is elsewhere; no alignment."""
    damaged = bytearray(_record("damaged", START))
    damaged[60] ^= 1
    elsewhere = _record("copied", START + 5 * SEGMENT)
    unaligned = bytes(4) + _record("unaligned", START)
    for payload in (bytes(damaged), elsewhere, unaligned):
        assert _scan(_pages(bytes(8) + payload)).found() == []


def test_a_record_at_the_very_start_of_a_segment_is_not_found_twice() -> None:
    """The first that is written after a switch: the segment's own scan has it already."""
    scan = _scan(_pages(_record("once", START)))
    assert [point.name for point in scan.found()] == ["once"]
    assert across(bytes(112), scan.head, START) == []
