"""Which WAL, fingerprints and timeline histories stay: those that something leads to.

A backup brings the WAL that makes it consistent, so shipped WAL is needed for moments between
backups only. Every moment of the WAL window must be recoverable: along each line of history that
has a moment in it, the newest backup at or before its beginning stays, and all WAL from there on.
Where no backup is that old, all WAL that any backup leads into stays. A stretch is the unit.

A proof and a legal hold keep the WAL from their backup to their position, and no more. A
fingerprint stays as long as a backup and WAL that stay lead to it. Pure.
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup, Fingerprint, StreamedBackup, WalStretch
from ledgerkeep.catalog.retention_reasons import Keeping, Reason
from ledgerkeep.catalog.timelines import Line, Switches, line_of
from ledgerkeep.policy.values import format_duration


class WalRules:
    """The rules about WAL, over one cluster's recovery points."""

    def __init__(
        self,
        snapshot: CatalogSnapshot,
        whole: list[BaseBackup],
        unrecorded: list[StreamedBackup],
        switches: Switches,
        keeping: Keeping,
    ) -> None:
        """Begin.

        :param whole: the backups that can be restored.
        :param keeping: what stays so far; the rules add to it.
        """
        self._snapshot = snapshot
        self._whole = whole
        self._unrecorded = unrecorded
        self._switches = switches
        self._keeping = keeping

    # -- the window

    def keep_newest(self) -> None:
        """The newest stretch stays, since shipping goes on from it and knows the cluster by it."""
        if self._snapshot.stretches:
            newest = max(self._snapshot.stretches, key=lambda one: (one.timeline, one.start_lsn))
            self._keeping.stretch(newest.id, Reason("newest", "WAL shipping goes on from it"))

    def keep_window(self, window: timedelta, now: datetime) -> None:
        """Every moment since `now - window` stays recoverable that is so now."""
        since = now - window
        name = f"the WAL window of {format_duration(window)}"
        within = Reason("wal window", f"within {name}")
        for backup in self._whole:
            if backup.stopped_at >= since:
                self._keeping.backup(backup.id, within)
        for timeline in self._present(since):
            self._keep_line(line_of(timeline, self._switches), since, name)

    def _present(self, since: datetime) -> set[int]:
        """Timelines that have a moment in the window: the newest, and any that it still covers."""
        shipped = {one.timeline for one in self._snapshot.stretches if one.covered_until >= since}
        newest = self._newest_timeline()
        return shipped | ({newest} if newest else set())

    def _newest_timeline(self) -> int:
        snapshot = self._snapshot
        backups = (backup.timeline for backup in (*snapshot.backups, *self._unrecorded))
        shipped = (stretch.timeline for stretch in snapshot.stretches)
        return max((*backups, *shipped), default=0)

    def _keep_line(self, line: Line, since: datetime, name: str) -> None:
        on_line = [backup for backup in self._whole if line.has_backup(backup)]
        before = [backup for backup in on_line if backup.stopped_at <= since]
        if before:
            start = max(before, key=lambda backup: backup.stop_lsn)
            self._keeping.backup(start.id, Reason("wal window", f"{name} begins after it"))
            position = start.stop_lsn
        else:
            starts = [*on_line, *(one for one in self._unrecorded if line.has_backup(one))]
            position = min((one.stop_lsn for one in starts), default=0)
        needed = Reason("wal window", f"{name} needs it")
        for stretch in self._snapshot.stretches:
            if stretch.end_lsn > position and line.has_stretch(stretch):
                self._keeping.stretch(stretch.id, needed)

    # -- the way to one position

    def keep_path(self, backup: BaseBackup, timeline: int, end: int, reason: Reason) -> None:
        """The WAL from a backup to a position: where it was proven, or is recovered to."""
        self._keep_path(line_of(timeline, self._switches), backup, end, reason)

    def keep_way_to_stretch(self, stretch: WalStretch, reason: Reason) -> None:
        """A stretch, and what every moment of it is recovered from."""
        self._keeping.stretch(stretch.id, reason)
        self._keep_way(stretch.timeline, stretch.start_lsn, stretch.end_lsn, reason)

    def keep_way_to_fingerprint(self, fingerprint: Fingerprint, reason: Reason) -> None:
        """A fingerprint, and what is recovered to be held against it."""
        self._keeping.fingerprint(fingerprint.id, reason)
        self._keep_way(fingerprint.timeline, *_extent(fingerprint), reason)

    def _keep_way(self, timeline: int, start: int, end: int, reason: Reason) -> None:
        line = line_of(timeline, self._switches)
        on_line = [backup for backup in self._whole if line.has_backup(backup)]
        before = [backup for backup in on_line if backup.stop_lsn <= start]
        within = [backup for backup in on_line if start < backup.stop_lsn <= end]
        if before:
            backup = max(before, key=lambda one: one.stop_lsn)
        elif within:
            backup = min(within, key=lambda one: one.stop_lsn)
        else:
            return
        self._keeping.backup(backup.id, reason)
        self._keep_path(line, backup, end, reason)

    def _keep_path(self, line: Line, backup: BaseBackup, end: int, reason: Reason) -> None:
        start = backup.stop_lsn
        for stretch in self._snapshot.stretches:
            if stretch.start_lsn < end and stretch.end_lsn > start and line.has_stretch(stretch):
                self._keeping.stretch(stretch.id, reason)

    # -- what something that stays leads to

    def keep_reachable_fingerprints(self, window: timedelta | None, now: datetime) -> None:
        """Call it last: a fingerprint stays if a backup and WAL that stay lead to it.

        One that the WAL has not reached yet may still be reached by the next shipping run.
        """
        reachable = Reason("reachable", "a backup and WAL that stay lead to it")
        awaited = Reason("reachable", "the WAL up to it is still to be shipped")
        newest = self._newest_timeline()
        ways: dict[int, _Ways] = {}
        for one in self._snapshot.fingerprints:
            if one.timeline not in ways:
                ways[one.timeline] = self._ways(line_of(one.timeline, self._switches))
            start, end = _extent(one)
            if ways[one.timeline].lead_to(start, end):
                self._keeping.fingerprint(one.id, reachable)
            elif (
                window is not None
                and one.timeline == newest
                and one.created_at >= now - window
                and end > ways[one.timeline].shipped
            ):
                self._keeping.fingerprint(one.id, awaited)

    def _ways(self, line: Line) -> "_Ways":
        whole, kept = self._whole, self._keeping
        return _Ways(
            line,
            [one for one in whole if one.id in kept.backups and line.has_backup(one)],
            [
                one
                for one in self._snapshot.stretches
                if one.id in kept.stretches and line.has_stretch(one)
            ],
        )

    def timelines_in_use(self) -> set[int]:
        """The newest timeline, those of what stays, and all of their ancestors."""
        kept, snapshot = self._keeping, self._snapshot
        used = {self._newest_timeline()}
        used |= {one.timeline for one in snapshot.backups if one.id in kept.backups}
        used |= {one.timeline for one in snapshot.stretches if one.id in kept.stretches}
        used |= {one.timeline for one in snapshot.fingerprints if one.id in kept.fingerprints}
        used |= {one.timeline for one in self._unrecorded}
        return used | {
            ancestor for timeline in used for ancestor, _ in self._switches.get(timeline, ())
        }


class _Ways:
    """The backups and unbroken runs of WAL along a line, to be asked about many positions."""

    def __init__(
        self, line: Line, backups: Iterable[BaseBackup], stretches: Iterable[WalStretch]
    ) -> None:
        ordered = sorted(backups, key=lambda backup: backup.stop_lsn)
        self._stops = [backup.stop_lsn for backup in ordered]
        self._positions = [backup.wal_whole_until for backup in ordered]
        self._runs = _runs(line, stretches)
        self._starts = [start for start, _ in self._runs]
        self.shipped = max((end for _, end in self._runs), default=0)
        """Up to where WAL is stored at all."""

    def lead_to(self, start: int, end: int) -> bool:
        """Whether a copy can be held at `start` and go on to `end`."""
        newest = bisect_right(self._stops, start) - 1
        if newest < 0:
            return False
        if end <= self._stops[newest]:
            return True
        run = bisect_right(self._starts, self._positions[newest]) - 1
        return run >= 0 and self._runs[run][1] >= end


def _runs(line: Line, stretches: Iterable[WalStretch]) -> list[tuple[int, int]]:
    """The WAL of a line as unbroken runs (start, end), in order."""
    runs: list[tuple[int, int]] = []
    for stretch in sorted(stretches, key=lambda one: (one.start_lsn, one.timeline)):
        left = line.ends[stretch.timeline]
        end = stretch.end_lsn
        if left is not None and end > left:
            end = left // stretch.segment_size * stretch.segment_size
        if runs and stretch.start_lsn <= runs[-1][1]:
            runs[-1] = runs[-1][0], max(runs[-1][1], end)
        else:
            runs.append((stretch.start_lsn, end))
    return runs


def _extent(fingerprint: Fingerprint) -> tuple[int, int]:
    positions = [database.lsn for database in fingerprint.databases]
    return min(positions, default=0), max(positions, default=0)
