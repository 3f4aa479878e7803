"""When the transactions of some WAL were committed, as their records say.

A run that streams looks at the server each second; what was committed before it began it learns
only from the WAL. Of each page the first commit is enough: the oldest waits longest, and a page
that took long to fill holds few. To look for it costs little, too: a page says where its first
record begins, so none of those that follow a commit has to be decoded.

The head of a record may lie on two pages; the part on the first is kept until the second is there.
Otherwise the only commit of a quiet night might be the one that is overlooked.

Layout: PostgreSQL, src/include/access/xact.h (`xl_xact_commit`), xlogrecord.h and xlog_internal.h;
the same in versions 15 to 18, little-endian servers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ledgerkeep.database.postgres.restore_points import PAGE

_PAGE_HEADER = struct.Struct("<HHIQI")
_SHORT_HEADER, _LONG_HEADER = 24, 40
_IS_CONTINUED, _IS_LONG = 0x0001, 0x0002
_RECORD = struct.Struct("<IIQBB")
_RECORD_HEADER = 24
_HEAD = 48
"""Bytes of a commit record in which its moment lies, whatever stands before it."""
_TRANSACTIONS = 1
_KIND = 0x70
_COMMITS = (0x00, 0x30)
"""Of resource manager Transaction: a commit, and that of a prepared transaction."""
_ABOUT = {0xFD: 3, 0xFC: 5}
"""What may stand before the data: replication origin, top-level transaction; with their bytes."""
_DATA = {0xFF: 2, 0xFE: 5}
"""What begins the data: its length in one byte, or in four."""
_MOMENT = struct.Struct("<q")
_POSTGRES_EPOCH = 946_684_800  # 2000-01-01 UTC in Unix time


@dataclass(frozen=True)
class Commit:
    """One commit record."""

    end: int
    """A position behind it, in the same segment as its last byte."""
    at: float
    """When it was made, by the server's clock: Unix time (seconds)."""


class CommitScan:
    """The first commit on each page of WAL from a segment's start up to a position."""

    def __init__(self, start: int, end: int) -> None:
        """Begin.

        :param start: where a segment starts.
        :param end: pages that start there or later are not looked at.
        """
        self._position = start
        self._end = end
        self._received = bytearray()
        self._head = b""
        self._head_at = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it was looked at."""
        return self._position >= self._end

    def feed(self, data: memoryview) -> Iterator[Commit]:
        """Take the next bytes; the commits on the pages that they complete."""
        self._received += data
        while len(self._received) >= PAGE and not self.is_over:
            page = bytes(self._received[:PAGE])
            del self._received[:PAGE]
            yield from self._look(page)
            self._position += PAGE

    def _look(self, page: bytes) -> Iterator[Commit]:
        _, flags, _, _, rest = _PAGE_HEADER.unpack_from(page)
        begin = _LONG_HEADER if flags & _IS_LONG else _SHORT_HEADER
        head, self._head = self._head, b""
        if head and flags & _IS_CONTINUED:
            at = _committed_at(head + page[begin : begin + min(rest, _HEAD)])
            if at is not None:
                yield Commit(self._position + begin + rest, at)
        commit = self._first(page, begin + -(-rest // 8) * 8)
        if commit is not None:
            yield commit

    def _first(self, page: bytes, record: int) -> Commit | None:
        """The first commit that begins at or behind offset `record`, if it lies on this page."""
        while record < PAGE:
            if record + _RECORD_HEADER > PAGE:
                self._head = page[record:]
                return None
            length = _RECORD.unpack_from(page, record)[0]
            if length < _RECORD_HEADER:
                return None  # the rest of the segment is empty: it was switched here
            if record + min(length, _HEAD) > PAGE:
                self._head = page[record:]
                return None
            at = _committed_at(page[record : record + min(length, _HEAD)])
            if at is not None:
                return Commit(self._position + record + length, at)
            record += -(-length // 8) * 8
        return None


def _committed_at(head: bytes) -> float | None:
    """The moment that the record with this head tells; None: it is no commit."""
    if len(head) < _RECORD_HEADER:
        return None
    *_, info, manager = _RECORD.unpack_from(head)
    if manager != _TRANSACTIONS or info & _KIND not in _COMMITS:
        return None
    data = _RECORD_HEADER
    while data < len(head) and head[data] in _ABOUT:
        data += _ABOUT[head[data]]
    data += _DATA.get(head[data], len(head)) if data < len(head) else 0
    if data + _MOMENT.size > len(head):
        return None
    return _POSTGRES_EPOCH + float(_MOMENT.unpack_from(head, data)[0]) / 1e6
