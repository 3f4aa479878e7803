"""What a stretch of WAL adds up to, segment by segment, in constant memory."""

from typing import Any

from ledgerkeep.catalog.models import NamedRestorePoint, WalStretch
from ledgerkeep.database.postgres.restore_points import across
from ledgerkeep.database.postgres.wal_segment import Segment, ShippedSegment


class StretchTally:
    """Counts acknowledged segments, in WAL order."""

    def __init__(self, tail: bytes = b"") -> None:
        """Begin.

        :param tail: the end of the payload right before, when it is known.
        """
        self.tail = tail
        self.count = 0
        self.raw_bytes = 0
        self.stored_bytes = 0
        self._first: Segment | None = None
        self._last: Segment | None = None
        self._restore_points: list[NamedRestorePoint] = []

    def add(self, shipped: ShippedSegment) -> None:
        """Count the next segment."""
        segment = shipped.segment
        self._first = self._first or segment
        self._last = segment
        self.count += 1
        self.raw_bytes += segment.size
        self.stored_bytes += shipped.stored.size
        self._restore_points += across(self.tail, shipped.head, segment.start)
        self._restore_points += shipped.restore_points
        self.tail = shipped.tail

    def stretch(self, **known: Any) -> WalStretch:
        """The record; at least one segment was counted."""
        if self._first is None or self._last is None:
            raise ValueError("a stretch has at least one segment")
        return WalStretch(
            id=f"{self._first.name}-{self._last.name}",
            start_lsn=self._first.start,
            end_lsn=self._last.end,
            first_segment=self._first.name,
            last_segment=self._last.name,
            segment_count=self.count,
            raw_bytes=self.raw_bytes,
            stored_bytes=self.stored_bytes,
            restore_points=self._restore_points,
            **known,
        )
