"""Lines of history: which backups and which WAL lead to the present of a timeline.

After a failover the new timeline goes on from where its ancestor was left. What was written on
the ancestor beyond that point happened in another history. A line is one timeline with its
ancestors, each up to where it was left: along it, and only along it, WAL is replayed. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledgerkeep.catalog.models import StreamedBackup, WalStretch

Switches = Mapping[int, Sequence[tuple[int, int]]]
"""Timeline → (ancestor, position at which it was left), oldest first, as its history file says."""


@dataclass(frozen=True)
class Line:
    """A timeline with its ancestors."""

    timeline: int
    ends: Mapping[int, int | None]
    """Timeline of the line → where it was left; None for the line's own."""

    def has_backup(self, backup: StreamedBackup) -> bool:
        """Whether a backup can be replayed along the line."""
        return self._has(backup.timeline, backup.stop_lsn)

    def has_stretch(self, stretch: WalStretch) -> bool:
        """Whether a stretch holds WAL of the line."""
        return self._has(stretch.timeline, stretch.start_lsn + 1)

    def _has(self, timeline: int, position: int) -> bool:
        if timeline not in self.ends:
            return False
        end = self.ends[timeline]
        return end is None or position <= end


def line_of(timeline: int, switches: Switches) -> Line:
    """The line that ends in a timeline; without its history file it is the timeline alone."""
    return Line(timeline, {**dict(switches.get(timeline, ())), timeline: None})
