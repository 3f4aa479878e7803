"""Carrying a retention plan out, so that nothing ever looks whole and is not.

What makes a recovery point exist is its record, so the record goes first, and the bytes after it.
A run that is killed in between leaves bytes that no record names; the next one removes them
(`remove_leftovers`). Of a chain the youngest goes first, so no incremental is ever without what
it builds on. WAL goes stretch by stretch, never a segment that a stretch that stays has too.

Object Lock is not fought: every object of a recovery point is asked first, and when one of them
is locked, all of it stays, and what it builds on too, and the day on which it may go is told.

Proofs go with what they prove. That it was once proven stays in the evidence, which is no part of
retention. Call all of this while no backup can begin (`database.postgres.retention` does).
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.chain import by_id
from ledgerkeep.catalog.lsn import segment_name, segment_of
from ledgerkeep.catalog.models import BaseBackup, WalStretch
from ledgerkeep.catalog.retention import Decision, RetentionPlan
from ledgerkeep.model import Record, UtcDatetime, utc_now

_WORKERS = 8
"""Requests at the same time: each is small and far."""
_BATCH = 64
"""Removals between two looks at whether the plan still holds."""

logger = logging.getLogger(__name__)


class RemovedPoint(Record):
    """One line of a removal record."""

    kind: str
    id: str
    stored_bytes: int
    because: str


class RemovalRecord(Record):
    """What a retention run set out to remove; written before the first byte goes."""

    schema_version: Literal[1] = 1
    run: str
    system_identifier: str
    planned_at: UtcDatetime
    """The moment that the plan was made for."""
    at: UtcDatetime
    points: list[RemovedPoint]


@dataclass(frozen=True)
class Locked:
    """Something that should go and may not yet."""

    decision: Decision
    until: datetime | None
    """None: nobody knows, since the store has a legal hold on it."""
    what: str
    """What is locked: an object of its own, or what builds on it."""


@dataclass
class Removal:
    """What came of a plan."""

    removed: list[Decision] = field(default_factory=list)
    locked: list[Locked] = field(default_factory=list)
    objects: int = 0
    """Object versions that were removed."""
    record_key: str | None = None
    """Where the removal record lies; None: nothing was to be removed."""
    stopped: bool = False
    """A hold was placed meanwhile, so the rest waits for the next run."""


def apply_plan(
    catalog: Catalog,
    snapshot: CatalogSnapshot,
    plan: RetentionPlan,
    *,
    run: str,
    still_holds: Callable[[], bool] = lambda: True,
) -> Removal:
    """Remove what the plan says.

    :param snapshot: what the plan was made of.
    :param run: who removes (`dag_id/run_id`, or `cli`).
    :param still_holds: asked again and again whether the plan still holds.
    :raises StorageError: the store failed; run again, it goes on where this one stopped.
    """
    # Nothing is begun that cannot be finished.
    locked = find_locked(catalog, snapshot, plan.removed)
    waiting = {(one.decision.kind, one.decision.id) for one in locked}
    going = [one for one in plan.removed if (one.kind, one.id) not in waiting]
    removal = Removal(locked=locked)
    if not going:
        return removal
    # Whoever asks later why something is gone finds the answer, even after a kill.
    removal.record_key = _write_record(catalog, plan, going, run)
    remover = _Remover(catalog, snapshot, going, removal)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="retention") as workers:
        for batch in _batches(snapshot, going):
            if not still_holds():
                removal.stopped = True
                break
            removal.objects += sum(workers.map(remover.remove, batch))
    return removal


def remove_leftovers(catalog: Catalog, snapshot: CatalogSnapshot, *, older_than: datetime) -> int:
    """Finish what a killed removal of WAL, or of proofs, has left; object versions removed.

    A segment that no stretch names is one, if a stretch after it exists: shipping records in the
    order of the WAL, so it will never be named. What lies beyond the newest stretch is a shipping
    run's that is under way.

    :param older_than: the beginning of the WAL window. What is younger stays: somebody who lost a
        record by mistake can still bring it back.
    """
    found = [*_unnamed_segments(catalog, snapshot), *_unowned_proofs(catalog, snapshot)]
    if not found:
        return 0
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="retention") as workers:
        remove = partial(catalog.store.delete_prefix, older_than=older_than)
        removed = sum(workers.map(remove, found))
    if removed:
        logger.warning("removed %d objects that an interrupted removal had left", removed)
    return removed


# -- what may not go yet


def find_locked(
    catalog: Catalog, snapshot: CatalogSnapshot, decisions: list[Decision]
) -> list[Locked]:
    """Which of them are under Object Lock, or are built on by one that is."""
    places = _Places(catalog, snapshot)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="retention") as workers:
        asked = workers.map(lambda one: _lock_of(places, one), decisions)
        locked = {one.decision.id: one for one in asked if one is not None}
    known = by_id(snapshot.backups)
    wanted = {one.id: one for one in decisions}
    for one in list(locked.values()):
        for ancestor_id in _ancestors(one.decision.id, known):
            if ancestor_id in wanted and ancestor_id not in locked:
                words = f"{one.decision.id}, which builds on it"
                locked[ancestor_id] = Locked(wanted[ancestor_id], one.until, words)
    return list(locked.values())


def _lock_of(places: "_Places", decision: Decision) -> Locked | None:
    for key in places.objects(decision):
        head = places.catalog.store.head(key)
        if head is None:
            continue
        if head.legal_hold:
            return Locked(decision, None, f"{key}, by a legal hold of the store")
        if head.retention is not None and head.retention.until > utc_now():
            return Locked(decision, head.retention.until, key)
    return None


# -- removing


class _Remover:
    """Removes one thing after the other; several threads may do so side by side."""

    def __init__(
        self,
        catalog: Catalog,
        snapshot: CatalogSnapshot,
        going: list[Decision],
        removal: Removal,
    ) -> None:
        self._store = catalog.store
        self._places = _Places(catalog, snapshot)
        self._known = by_id(snapshot.backups)
        gone = {one.id for one in going if one.kind == "wal"}
        staying = (stretch for stretch in snapshot.stretches if stretch.id not in gone)
        self._staying = {name for stretch in staying for name in _segment_names(stretch)}
        self._removal = removal
        self._stuck: set[str] = set()

    def remove(self, decision: Decision) -> int:
        """Remove it, record first, and note what came of it; versions that were removed."""
        if decision.id in self._stuck:
            return self._stay(decision, "what builds on it")
        record = self._places.record(decision)
        removed = self._store.delete_prefix(record)
        if self._store.head(record) is not None:
            # An earlier version has come to light, and is locked: the point still exists.
            self._stuck |= set(_ancestors(decision.id, self._known))
            return removed + self._stay(decision, f"an earlier version of {record}")
        removed += sum(map(self._store.delete_prefix, self._places.rest(decision, self._staying)))
        self._removal.removed.append(decision)
        because = decision.remove.words if decision.remove else ""
        logger.info("removed %s %s: %s", decision.kind, decision.id, because)
        return removed

    def _stay(self, decision: Decision, what: str) -> int:
        self._removal.locked.append(Locked(decision, None, what))
        logger.warning("%s %s stays: %s is locked", decision.kind, decision.id, what)
        return 0


def _batches(snapshot: CatalogSnapshot, going: list[Decision]) -> Iterator[list[Decision]]:
    """In an order that leaves nothing without what it builds on.

    Backups by how many they build on, the most first; within a batch none builds on another. WAL
    follows, since without it a backup is still good, and it leads nowhere without a backup.
    """
    known = by_id(snapshot.backups)
    levels: dict[int, list[Decision]] = {}
    others: list[Decision] = []
    for one in going:
        if one.kind.endswith("backup"):
            levels.setdefault(len(_ancestors(one.id, known)), []).append(one)
        else:
            others.append(one)
    for depth in sorted(levels, reverse=True):
        yield from _cut(levels[depth])
    yield from _cut(others)


def _cut(decisions: list[Decision]) -> Iterator[list[Decision]]:
    for start in range(0, len(decisions), _BATCH):
        yield decisions[start : start + _BATCH]


def _ancestors(backup_id: str, known: Mapping[str, BaseBackup]) -> list[str]:
    """Ids of what a backup builds on, as far as it is there; none for what is no backup."""
    found: list[str] = []
    backup = known.get(backup_id)
    while backup is not None and backup.parent_id is not None:
        backup = known.get(backup.parent_id)
        if backup is not None:
            found.append(backup.id)
    return found


def _write_record(catalog: Catalog, plan: RetentionPlan, going: list[Decision], run: str) -> str:
    points = [
        RemovedPoint(
            kind=one.kind,
            id=one.id,
            stored_bytes=one.stored_bytes,
            because=one.remove.words if one.remove else "",
        )
        for one in going
    ]
    record = RemovalRecord(
        run=run,
        system_identifier=plan.system_identifier,
        planned_at=plan.now,
        at=utc_now(),
        points=points,
    )
    key = keys.removal(catalog.environment, plan.system_identifier, record.at)
    catalog.write(key, record, catalog.retention("evidence"))
    return key


# -- where things lie


class _Places:
    """The keys of what a decision is about."""

    def __init__(self, catalog: Catalog, snapshot: CatalogSnapshot) -> None:
        self.catalog = catalog
        self._environment = catalog.environment
        self._cluster = snapshot.system_identifier
        self._stretches = {stretch.id: stretch for stretch in snapshot.stretches}

    def record(self, decision: Decision) -> str:
        """The object that makes it exist."""
        environment, cluster = self._environment, self._cluster
        if decision.kind == "wal":
            return keys.stretch(environment, cluster, decision.timeline, decision.id)
        if decision.kind == "fingerprint":
            return keys.fingerprint(environment, cluster, decision.id)
        if decision.kind == "history":
            return keys.wal_history(environment, cluster, decision.timeline)
        return keys.backup(environment, cluster, decision.id) + keys.RECOVERY_POINT

    def objects(self, decision: Decision) -> Iterator[str]:
        """All of its objects: the record first, whose lock is the last to be put on."""
        record = self.record(decision)
        yield record
        if decision.kind == "wal":
            yield from self._segments(decision, set())
        elif decision.kind.endswith("backup"):
            prefix = record.removesuffix(keys.RECOVERY_POINT)
            yield from (one.key for one in self.catalog.store.list(prefix) if one.key != record)

    def rest(self, decision: Decision, staying: set[str]) -> Iterator[str]:
        """What goes after the record: whole keys, or prefixes that end in a slash.

        :param staying: segments that a stretch that stays has too.
        """
        if decision.kind.endswith("backup"):
            backup = keys.backup(self._environment, self._cluster, decision.id)
            # Without it nobody takes the rest for a backup that waits to be recorded.
            yield backup + keys.STREAM
            yield backup
        if decision.kind == "wal":
            yield from self._segments(decision, staying)
        yield keys.proofs(self._environment, self._cluster, decision.id)

    def _segments(self, decision: Decision, staying: set[str]) -> Iterator[str]:
        stretch = self._stretches[decision.id]
        names = [name for name in _segment_names(stretch) if name not in staying]
        for name in (*names, _partial_after(stretch)):
            yield keys.wal_segment(self._environment, self._cluster, name)


def _segment_names(stretch: WalStretch) -> Iterator[str]:
    size = stretch.segment_size
    for number in range(stretch.start_lsn // size, stretch.end_lsn // size):
        yield segment_name(stretch.timeline, number, size)


def _unnamed_segments(catalog: Catalog, snapshot: CatalogSnapshot) -> Iterator[str]:
    environment, cluster = catalog.environment, snapshot.system_identifier
    by_timeline: dict[int, list[WalStretch]] = {}
    for stretch in snapshot.stretches:
        by_timeline.setdefault(stretch.timeline, []).append(stretch)
    newest = max(by_timeline, default=0)
    root = keys.wal_timelines(environment, cluster)
    for timeline in (int(name, 16) for name in catalog.store.list_directories(root)):
        stretches = by_timeline.get(timeline, [])
        if timeline > newest:
            continue
        # Shipping never goes back to a timeline that it has left, so there nothing is under way.
        last = "" if timeline < newest else max(one.last_segment for one in stretches)
        named = {name for one in stretches for name in (*_segment_names(one), _partial_after(one))}
        for name in catalog.wal_names(cluster, timeline, last=last):
            if name not in named and not name.endswith(".history"):
                yield keys.wal_segment(environment, cluster, name)


def _partial_after(stretch: WalStretch) -> str:
    """The beginning of the next segment, where the timeline was left inside it."""
    return f"{segment_of(stretch.timeline, stretch.end_lsn, stretch.segment_size)}.partial"


def _unowned_proofs(catalog: Catalog, snapshot: CatalogSnapshot) -> Iterator[str]:
    environment, cluster = catalog.environment, snapshot.system_identifier
    points = (*snapshot.backups, *snapshot.stretches, *snapshot.fingerprints)
    unowned = snapshot.proofs.keys() - {point.id for point in points}
    # The proofs of a backup that has lost its record are what keeps it from being swept.
    kept = set(catalog.unfinished_backups(cluster)) if unowned else set()
    for point_id in unowned - kept:
        # One that was recorded since the snapshot was taken is there all the same.
        possible = keys.records(environment, cluster, point_id)
        if all(catalog.store.head(key) is None for key in possible):
            yield keys.proofs(environment, cluster, point_id)
