"""Reading stored objects back, so many each day that none goes unread for longer than promised.

Base backups are read as when they were taken: every file against the server's own checksums; each
leaves an `intact` proof. WAL is read segment by segment, several at a time: the stored bytes
against their SHA-256, then what is in them, which must be that segment of that cluster. What was
found to be right is recorded every so often, so a run that is killed loses one batch at most and
the next goes on behind it. What is damaged is recorded at once, so that each run finds it again
until somebody has seen to it: no verification is green while damage is known.

The records of the recovery points themselves are small; all of them are read in every run.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Checked, WalStretch
from ledgerkeep.database.postgres.full_backup import verify_backup
from ledgerkeep.database.postgres.wal_segment import Segment, inspect_stored
from ledgerkeep.errors import DatabaseError, ObjectCorrupt, ObjectMissing, WalError
from ledgerkeep.evidence.report.words import duration
from ledgerkeep.evidence.verification.damage import lost_backup, lost_record, lost_segments
from ledgerkeep.evidence.verification.inventory import Inventory, take_inventory
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.evidence.verification.share import Stored, overdue, todays_share
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import BackupVerification
from ledgerkeep.policy.schedule import longest_interval
from ledgerkeep.progress import Progress
from ledgerkeep.recovery.wal_index import WalIndex, load_wal_index

_BATCH_BYTES = 256 * 1024 * 1024
_BATCH_SECONDS = 30.0
"""What is recorded together: a killed run reads no more than this again."""
_MEMORY = 256 * 1024 * 1024
"""Bytes of WAL segments held at a time, all threads together."""

Clock = Callable[[], datetime]


def reread(
    catalog: Catalog,
    verification: BackupVerification,
    *,
    run: str,
    progress: Progress,
    clock: Clock = utc_now,
) -> Part:
    """Read today's share of everything that is stored.

    :param run: who asks (`dag_id/run_id` or `cli`).
    :raises StorageError: the store does not answer, or refuses; what was read stays recorded.
    """
    # What is there, and which of it is due?
    clusters = {name: take_inventory(catalog, name) for name in catalog.system_identifiers()}
    stored = [one for inventory in clusters.values() for one in inventory.stored]
    interval = _interval(verification)
    share = todays_share(stored, now=clock(), within=verification.reread_within, interval=interval)
    # Read it, cluster by cluster, the WAL first: it comes in the smallest pieces.
    reading = _Reading(catalog, run, clock, progress, total=sum(one.size for one in share))
    started = time.monotonic()
    for name, inventory in clusters.items():
        _forget(catalog, name, clock() - 2 * verification.reread_within)
        cluster = _Cluster(reading, inventory)
        due = {one.id for one in share if one.system_identifier == name}
        cluster.read_wal(due)
        cluster.read_backups(due)
    return _result(reading, stored, verification, time.monotonic() - started)


def _interval(verification: BackupVerification) -> timedelta:
    """The longest time until the next run; on demand only, a day is assumed."""
    schedule = verification.schedule
    return longest_interval(schedule) if schedule else timedelta(days=1)


def _forget(catalog: Catalog, system_identifier: str, older_than: datetime) -> None:
    """Remove records of readings that are too old to say anything."""
    prefix = keys.checked(catalog.environment, system_identifier)
    catalog.store.delete_prefix(prefix, older_than=older_than)


def _result(
    reading: "_Reading", stored: list[Stored], verification: BackupVerification, seconds: float
) -> Part:
    now, within = reading.clock(), verification.reread_within
    part = Part(recovery_point_ids=reading.about)
    part.find_all("critical", reading.damage, "damaged recovery points")
    if late := overdue(stored, now=now, within=within):
        part.find(
            "warning",
            f"{len(late)} recovery points had not been read back for longer than "
            f"{duration(within.total_seconds())} before this run, the oldest for "
            f"{duration((now - min(one.last_read for one in late)).total_seconds())}: "
            "were runs missed?",
        )
    after = [replace(one, last_read=now) if one.key in reading.good else one for one in stored]
    objects = sum(one.objects for one in after)
    still = overdue(after, now=now, within=within)
    oldest = min((one.last_read for one in after), default=now)
    part.measurements = {
        "reread_bytes": reading.done,
        "reread_objects": reading.objects,
        "reread_seconds": seconds,
        "stored_objects": objects,
        "objects_read_in_time": objects - sum(one.objects for one in still),
        "oldest_reading_seconds": max(0.0, (now - oldest).total_seconds()),
        "damaged_recovery_points": len(reading.damage),
    }
    return part


@dataclass
class _Reading:
    """One run over all clusters."""

    catalog: Catalog
    run: str
    clock: Clock
    progress: Progress
    total: int
    done: int = 0
    objects: int = 0
    damage: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    """Backups that were read, and whatever is damaged."""
    good: set[tuple[str, str]] = field(default_factory=set)
    """Keys of `Stored` that were read and found right."""

    def spoiled(self, name: str, what: str) -> None:
        """Take note of a recovery point that is damaged."""
        self.damage.append(what)
        self.about.append(name)

    def record_damage(self, point: BaseBackup | WalStretch, what: str) -> None:
        """Take note of one whose bytes are damaged, for the runs to come too."""
        self.spoiled(point.id, what)
        checked = Checked(run=self.run, at=self.clock(), damaged_ids=[point.id])
        self.catalog.commit_checked(point.system_identifier, checked)

    def count(self, size: int, objects: int) -> None:
        """Take note of objects that were read."""
        self.done += size
        self.objects += objects
        self.progress(self.done, self.total, "reading stored objects back")


class _Cluster:
    """One cluster's share."""

    def __init__(self, reading: _Reading, inventory: Inventory) -> None:
        self._reading = reading
        self._catalog = reading.catalog
        self._snapshot = inventory.snapshot
        self._wal = WalIndex()
        for one in inventory.unreadable:
            reading.spoiled(one.name, lost_record(one, inventory.snapshot))

    def read_wal(self, due: set[str]) -> None:
        """Read the stretches of these ids."""
        system_identifier = self._snapshot.system_identifier
        try:
            self._wal = load_wal_index(self._catalog, system_identifier)
        except (DatabaseError, ObjectCorrupt) as problem:
            # Which WAL belongs to which history is unknown; the backups can be read all the same.
            what = f"the WAL of cluster {system_identifier} is not read back: {problem.message}"
            self._reading.damage.append(what)
        else:
            self._read_stretches([one for one in self._snapshot.stretches if one.id in due])

    def read_backups(self, due: set[str]) -> None:
        """Read the backups of these ids."""
        for backup in self._snapshot.backups:
            if backup.id in due:
                self._read_backup(backup)

    # -- backups

    def _read_backup(self, backup: BaseBackup) -> None:
        reading = self._reading
        try:
            verify_backup(self._catalog, backup, run=reading.run, progress=reading.progress)
        except (ObjectMissing, ObjectCorrupt) as problem:
            if self._still_there(backup):
                what = lost_backup(backup, problem.message, self._snapshot)
                reading.record_damage(backup, what)
        else:
            reading.about.append(backup.id)
            reading.good.add((backup.system_identifier, backup.id))
        volumes = sum(len(archive.volumes) for archive in backup.archives)
        reading.count(backup.stored_bytes, 1 + volumes)

    # -- WAL

    def _read_stretches(self, stretches: list[WalStretch]) -> None:
        batch = _Batch(self._reading, self._snapshot.system_identifier)
        inspected = self._inspected(
            (stretch, segment) for stretch in stretches for segment in self._segments(stretch)
        )
        for _, group in groupby(inspected, key=lambda one: one[0].id):
            segments = list(group)
            stretch = segments[0][0]
            broken = {segment.name: problem for _, segment, problem in segments if problem}
            self._reading.count(stretch.stored_bytes, len(segments))
            if not broken:
                batch.add(stretch)
                self._reading.good.add((stretch.system_identifier, stretch.id))
            elif self._still_there(stretch):
                problem = broken[min(broken)]
                what = lost_segments(stretch, broken, problem, self._snapshot, self._wal)
                self._reading.record_damage(stretch, what)
        batch.commit()

    def _inspected(
        self, jobs: Iterable[tuple[WalStretch, Segment]]
    ) -> Iterator[tuple[WalStretch, Segment, str]]:
        """Each segment with what is wrong with it (empty: nothing), in order."""
        sizes = [one.segment_size for one in self._snapshot.stretches]
        room = _MEMORY // max(sizes, default=_MEMORY)
        threads = max(1, min(self._catalog.policy.storage.concurrency, room))
        under_way: deque[tuple[WalStretch, Segment, Future[str]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="reread") as pool:
            try:
                for stretch, segment in jobs:
                    under_way.append((stretch, segment, pool.submit(self._inspect, segment)))
                    if len(under_way) > 2 * threads:
                        yield _inspection(*under_way.popleft())
                while under_way:
                    yield _inspection(*under_way.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _inspect(self, segment: Segment) -> str:
        try:
            inspect_stored(self._catalog.store, segment)
        except (ObjectMissing, ObjectCorrupt, WalError) as problem:
            return problem.message
        return ""

    def _segments(self, stretch: WalStretch) -> Iterator[Segment]:
        size = stretch.segment_size
        for start in range(stretch.start_lsn, stretch.end_lsn, size):
            yield self._segment(stretch, start)
        # Where a timeline was left inside a segment, its beginning is stored under its own name.
        left = (history.end_of(stretch.timeline) for history in self._wal.histories.values())
        if any(one is not None and one // size * size == stretch.end_lsn for one in left):
            partial = self._segment(stretch, stretch.end_lsn, partial=True)
            if self._catalog.store.head(partial.key) is not None:
                yield partial

    def _segment(self, stretch: WalStretch, start: int, *, partial: bool = False) -> Segment:
        history = self._wal.histories.get(stretch.timeline)
        older = history.ancestors_in(stretch.timeline, start) if history else frozenset()
        return Segment(
            environment=stretch.environment,
            system_identifier=stretch.system_identifier,
            timeline=stretch.timeline,
            start=start,
            size=stretch.segment_size,
            older_timelines=older,
            partial=partial,
        )

    def _still_there(self, point: BaseBackup | WalStretch) -> bool:
        """Retention may remove a recovery point while it is read: that is no damage."""
        environment, name = point.environment, point.system_identifier
        if isinstance(point, WalStretch):
            key = keys.stretch(environment, name, point.timeline, point.id)
        else:
            key = keys.backup(environment, name, point.id) + keys.RECOVERY_POINT
        return self._catalog.store.head(key) is not None


def _inspection(
    stretch: WalStretch, segment: Segment, result: "Future[str]"
) -> tuple[WalStretch, Segment, str]:
    return stretch, segment, result.result()


class _Batch:
    """Stretches that were read and not yet recorded."""

    def __init__(self, reading: _Reading, system_identifier: str) -> None:
        self._reading = reading
        self._system_identifier = system_identifier
        self._begin()

    def _begin(self) -> None:
        self._names: list[str] = []
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, stretch: WalStretch) -> None:
        """Take note of a stretch that is right."""
        self._names.append(stretch.id)
        self._bytes += stretch.stored_bytes
        waited = time.monotonic() - self._since
        if self._bytes >= _BATCH_BYTES or waited >= _BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Record them."""
        if self._names:
            self._reading.catalog.commit_checked(
                self._system_identifier,
                Checked(
                    run=self._reading.run,
                    at=self._reading.clock(),
                    stretch_ids=self._names,
                    stored_bytes=self._bytes,
                ),
            )
        self._begin()
