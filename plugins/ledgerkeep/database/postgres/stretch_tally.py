"""What a stretch of WAL adds up to, segment by segment, in constant memory."""

from typing import Any

from ledgerkeep.catalog.models import NamedRestorePoint, WalStretch
from ledgerkeep.database.postgres.restore_points import across
from ledgerkeep.database.postgres.wal_segment import Segment, ShippedSegment


class StretchTally:
    """Counts acknowledged segments, in WAL order, and begins anew when they are recorded."""

    def __init__(self) -> None:
        self.tail = b""
        """The end of the payload so far, across the borders of stretches."""
        self.begin_anew()

    def begin_anew(self) -> None:
        """Count from zero; the next segment follows the last one."""
        self.count = 0
        self.raw_bytes = 0
        self.stored_bytes = 0
        self.restore_points: list[NamedRestorePoint] = []
        self._first: Segment | None = None
        self._last: Segment | None = None

    def add(self, shipped: ShippedSegment) -> None:
        """Count the next segment."""
        segment = shipped.segment
        self._first = self._first or segment
        self._last = segment
        self.count += 1
        self.raw_bytes += segment.size
        self.stored_bytes += shipped.stored.size
        self.restore_points += across(self.tail, shipped.head, segment.start)
        self.restore_points += shipped.restore_points
        self.tail = shipped.tail

    @property
    def start(self) -> int:
        """Where the first segment starts; at least one was counted."""
        return self._ends()[0].start

    @property
    def end(self) -> int:
        """Where the last segment ends; at least one was counted."""
        return self._ends()[1].end

    def stretch(self, **known: Any) -> WalStretch:
        """The record; at least one segment was counted."""
        first, last = self._ends()
        return WalStretch(
            id=f"{first.name}-{last.name}",
            start_lsn=first.start,
            end_lsn=last.end,
            first_segment=first.name,
            last_segment=last.name,
            segment_count=self.count,
            raw_bytes=self.raw_bytes,
            stored_bytes=self.stored_bytes,
            restore_points=self.restore_points,
            **known,
        )

    def _ends(self) -> tuple[Segment, Segment]:
        if self._first is None or self._last is None:
            raise ValueError("a stretch has at least one segment")
        return self._first, self._last
