"""Whether a segment holds anything worth shipping before it is full.

A server that nobody uses still writes a little WAL: the list of running transactions after other
WAL was written, and the checkpoint that follows. To switch the segment for that would write more of
it, and so on for ever. So the records at the beginning of a segment are looked at, up to the first
that is anything else. Only its first page is: a server that wrote a page is not idle.

Layout: PostgreSQL, src/include/access/xlogrecord.h (`XLogRecord`), xlog_internal.h (page headers)
and rmgrlist.h; the same in versions 15 to 18, little-endian servers.
"""

import struct

from ledgerkeep.database.postgres.restore_points import PAGE

_PAGE_HEADER = struct.Struct("<HH")
_LONG_HEADER = 40
_FIRST_IS_CONTINUED = 0x0001
_RECORD_HEADER = struct.Struct("<IIQBB")
_XLOG, _STANDBY = 0, 8
_CHECKPOINTS = (0x00, 0x10, 0xE0)
"""Of resource manager XLOG: shutdown, online, and the redo position of a checkpoint."""
_KIND = 0xF0


class SegmentActivity:
    """Looks at the beginning of one segment while it is received."""

    def __init__(self, start: int) -> None:
        """Begin.

        :param start: position of the segment.
        """
        self.start = start
        self.began_at: int | None = None
        """Position of the first record that is no housekeeping; None: there is none so far."""
        self._page = bytearray()
        self._next = _LONG_HEADER

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the segment."""
        if self.began_at is None:
            self._page += data[: PAGE - len(self._page)]
            self.began_at = self._look()

    def _look(self) -> int | None:
        page = self._page
        if len(page) < _LONG_HEADER:
            return None
        if _PAGE_HEADER.unpack_from(page)[1] & _FIRST_IS_CONTINUED:
            return self.start
        while self._next + _RECORD_HEADER.size <= len(page):
            length, _, _, info, manager = _RECORD_HEADER.unpack_from(page, self._next)
            if not _is_housekeeping(manager, info & _KIND):
                return self.start + self._next
            self._next += -(-length // 8) * 8
        return self.start + self._next if len(page) == PAGE else None


def _is_housekeeping(manager: int, kind: int) -> bool:
    return manager == _STANDBY or (manager == _XLOG and kind in _CHECKPOINTS)
