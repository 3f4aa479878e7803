"""Named restore points, found in WAL while it passes.

`pg_create_restore_point` leaves nothing but one record in the WAL, so whoever wants to recover to
it must know that it is there: shipping looks for it. To decode every record would cost more than
everything else together; instead one regular expression runs over the bytes (over 1 GB/s), and only
what it finds is looked at: a record counts when its CRC is right.

A record may cross pages and segments. Page headers are taken out first, which leaves each record in
one piece; the few bytes at a border are kept until the other side is there.

Layout: PostgreSQL, src/include/access/xlogrecord.h and src/include/access/xlog_internal.h
(`xl_restore_point`); the same in versions 15 to 18, little-endian servers.
"""

import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from crc32c import crc32c

from ledgerkeep.catalog.models import NamedRestorePoint

PAGE = 8192
_SHORT_HEADER = 24
_LONG_HEADER = 40
_RECORD_HEADER = struct.Struct("<IIQBBHI")
_CRC_AT = 20
_NAME_BYTES = 64
_LONGEST = 112
"""Bytes that a restore point record takes at most, alignment and a top-level xid included."""
_MAX_RECORD = 1020 << 20
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

# xl_info 0x70 (XLOG_RESTORE_POINT), xl_rmid 0 (XLOG), padding, any CRC; perhaps a top-level xid
# (0xFC); then short main data (0xFF) of 72 bytes: the moment and the name.
_CANDIDATE = re.compile(rb"\x70\x00\x00\x00.{4}(?:\xfc.{4})?\xff\x48", re.DOTALL)
_INFO_AT = 16


class RestorePointScan:
    """Scans consecutive blocks of whole pages, from the start of a segment on."""

    def __init__(self, segment_start: int) -> None:
        self._position = segment_start
        self._at_segment_start = True
        self._points: dict[int, NamedRestorePoint] = {}
        self.head = b""
        """The first bytes of payload."""
        self.tail = b""
        """The last bytes of payload."""

    def feed(self, block: bytes) -> None:
        """Take the next block; its length is a multiple of the page size."""
        first_header = _LONG_HEADER if self._at_segment_start else _SHORT_HEADER
        start, before = self._position, len(self.tail)
        # With what came before it, in one copy: this runs over every byte that is shipped.
        payload = b"".join([self.tail, *_payload(block, first_header)])

        def position(offset: int) -> int:
            return _position(start, first_header, offset - before)

        for point in _restore_points(payload, position):
            self._points[point.lsn] = point
        if self._at_segment_start:
            self.head = payload[:_LONGEST]
        self._at_segment_start = False
        self._position += len(block)
        self.tail = payload[-_LONGEST:]

    def found(self) -> list[NamedRestorePoint]:
        """What was found so far, in WAL order."""
        return [self._points[lsn] for lsn in sorted(self._points)]


def across(tail: bytes, head: bytes, border: int) -> list[NamedRestorePoint]:
    """Restore points whose record crosses from one segment into the next.

    :param tail: the end of the first segment's payload; `head`: the beginning of the next one's.
    :param border: where the next segment starts.
    """

    def position(offset: int) -> int:
        return _position(border, _LONG_HEADER, offset - len(tail))

    found = _restore_points(tail + head, position, before=len(tail))
    return [point for point in found if point.lsn > border]


def _payload(block: bytes, first_header: int) -> Iterator[memoryview]:
    """The pages of a block without their headers."""
    view = memoryview(block)
    yield view[first_header:PAGE]
    for at in range(PAGE, len(block), PAGE):
        yield view[at + _SHORT_HEADER : at + PAGE]


def _position(start: int, first_header: int, offset: int) -> int:
    """The WAL position of payload byte `offset`, counted from the block at `start`.

    A negative offset lies at the end of the page before, where no header comes between.
    """
    in_first_page = PAGE - first_header
    if offset < 0:
        return start + offset
    if offset < in_first_page:
        return start + first_header + offset
    page, byte = divmod(offset - in_first_page, PAGE - _SHORT_HEADER)
    return start + (page + 1) * PAGE + _SHORT_HEADER + byte


def _restore_points(
    payload: bytes, position: Callable[[int], int], *, before: int | None = None
) -> Iterator[NamedRestorePoint]:
    """Those whose record begins in the payload, and before offset `before` of it."""
    for candidate in _CANDIDATE.finditer(payload):
        at = candidate.start() - _INFO_AT
        if at < 0 or (before is not None and at >= before):
            continue
        data = _verified(payload, at, candidate.end(), position(at))
        if data is None:
            continue
        length = _RECORD_HEADER.unpack_from(payload, at)[0]
        (moment,) = struct.unpack_from("<q", data)
        yield NamedRestorePoint(
            name=data[8:].split(b"\0", 1)[0].decode(errors="replace"),
            # The end of the record, as pg_create_restore_point returned it: a recovery to the name
            # replays the record itself and ends here.
            lsn=position(at + -(-length // 8) * 8 - 1) + 1,
            at=_POSTGRES_EPOCH + timedelta(microseconds=moment),
        )


def _verified(payload: bytes, at: int, data_at: int, position: int) -> bytes | None:
    """The record's main data, when the record at `at` is whole and real."""
    length, _, previous, *_, crc = _RECORD_HEADER.unpack_from(payload, at)
    end = at + length
    if end != data_at + 8 + _NAME_BYTES or end > len(payload):
        return None
    # A copy of WAL inside a table would have a right CRC too, but not a predecessor just before.
    if position % 8 or not 0 < position - previous <= _MAX_RECORD:
        return None
    computed = crc32c(payload[at + _RECORD_HEADER.size : end])
    computed = crc32c(payload[at : at + _CRC_AT], computed)
    return payload[data_at:end] if computed == crc else None
