"""Database and documents at one moment T: whether every row at T has its object as of T.

A database is recovered to T by its own clock and its own log; the bucket knows T only by the times
of its versions, in whole seconds, by another clock. And the application writes the object first
and the row after it, so T may fall between the two. So it is not asked what the bucket showed at T,
but for what the rows at T need:

    The version of a row is the newest one under its key that was written up to T plus the clocks'
    skew and has the SHA-256 and the size that the row says.

How that version stands to what the bucket showed at T (the newest version or delete marker with a
time up to T) is told apart:

    there      it is what the bucket showed
    ahead      it is newer than T by the store's clock, within the skew
    between    another was shown, but that was written within the grace before T: its row came later
    replaced   another had been shown for longer: row and object disagreed at T already
    missing    no version has the row's content: it cannot be recovered with the database
    unproven   a version has the row's size, but its content was not compared (bound, cold storage)
    unusable   the row itself has no key, SHA-256 or size that is one

Going back to T by time alone brings what the bucket showed, which is right for `there` only. So the
manifest names the version of every row, and is a goal of `document_recovery`: that brings documents
and database to the same moment.

Public: `check_moment(address, bucket, catalog, *, at, run, …) -> MomentResult`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata.check import settings_of
from ledgerkeep.documents.metadata.content import ContentReader, is_sha256
from ledgerkeep.documents.metadata.merge import in_order, refuse_objects, refuse_rows
from ledgerkeep.documents.metadata.rows import DocumentRow, key_bytes, stream_rows
from ledgerkeep.documents.metadata.snapshot import LineWriter, open_lines
from ledgerkeep.errors import ObjectMissing, ValidationFailed
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.policy.documents import MetadataConsistency
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.storage.versions import ObjectVersion, list_versions

State = Literal["there", "ahead", "between", "replaced", "missing", "unproven", "unusable"]
FINDINGS: tuple[State, ...] = ("replaced", "missing", "unproven", "unusable")
LOST: tuple[State, ...] = ("missing", "unusable")
"""What cannot be recovered to the moment."""
MANIFEST, FOUND, MOMENT = "manifest.zst", "findings.zst", "moment.json"
_CANDIDATES = 1_000
"""Versions of one key that may be compared; of a key that was written more often, the newest."""
_WORKERS = 16
_AHEAD = 256
_NAMED = 20
_MEBIBYTE = 1024 * 1024
_EVERY = 1_000


class MomentCheck(Record):
    """The record of one comparison."""

    at: UtcDatetime
    """T: what was committed up to it is in the rows."""
    run: str
    checked_at: UtcDatetime
    row_count: int
    states: dict[str, int]
    """State → how many rows."""
    not_current: int
    """Rows whose document the bucket shows with another content now, or not: to be recovered."""
    without_row: int
    """Objects that were shown at T, longer than the grace, and that no row named."""
    manifest: StoredObject
    """Lines: key, version id, size, SHA-256, state, whether it is current; in the keys' order."""
    findings: StoredObject
    """Lines: state, key, row's id, in words."""
    compared: dict[str, int]
    """How contents were compared → of how many rows."""
    read_bytes: int

    @property
    def lost(self) -> int:
        """Rows whose document cannot be recovered to the moment."""
        return sum(self.states.get(state, 0) for state in LOST)

    def describe(self) -> str:
        """In one line, for people and for the evidence."""
        told = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return (
            f"{self.row_count} document rows at {self.at.isoformat()}: {told or 'none'}; "
            f"{self.not_current} documents are not what they were then"
        )


@dataclass(frozen=True)
class MomentResult:
    """A comparison that ended."""

    check: MomentCheck
    key: str
    """Of its record."""
    first: list[str]
    """The first findings, in words."""


@dataclass(frozen=True, slots=True)
class KeyThen:
    """What is stored under one key, as far as the moment is concerned."""

    key: str
    shown: ObjectVersion | None
    """By the bucket, at T; may be a delete marker."""
    candidates: tuple[ObjectVersion, ...]
    """Versions up to T plus the skew, newest first."""
    current: ObjectVersion | None = None
    """What the bucket shows now; may be a delete marker."""

    def shows(self, version: ObjectVersion) -> bool:
        """Whether the bucket shows that version now, or one with the same mark of the content."""
        now = self.current
        if now is None or now.is_delete_marker:
            return False
        return (now.etag, now.size) == (version.etag, version.size)


@dataclass(frozen=True, slots=True)
class RowThen:
    """What one row needs."""

    row: DocumentRow
    state: State
    version: ObjectVersion | None
    how: str
    """How the content was compared; empty: it was not."""
    words: str = ""
    is_current: bool = False
    """Whether the bucket shows that content now."""


@dataclass(frozen=True)
class Rule:
    """The moment, and how exactly two clocks and two stores can agree on it."""

    at: datetime
    skew: timedelta
    grace: timedelta


def check_moment(
    address: ServerAddress,
    bucket: Bucket,
    catalog: Catalog,
    *,
    at: datetime,
    run: str,
    progress: Progress = no_progress,
) -> MomentResult:
    """Find the version that each row of a copy needs, and write them down.

    :param address: a server whose rows are those of the moment (a restored copy).
    :param at: T.
    :param progress: told rows, not bytes.
    :raises PolicyError: the policy names no rows, or ones that are not there.
    :raises DatabaseError, StorageError: nothing was recorded.
    """
    documents, table = settings_of(catalog.policy)
    grace = (documents.metadata_consistency or MetadataConsistency(schedule=None)).grace
    rule = Rule(at, documents.one_moment.clock_skew, grace)
    contents = ContentReader(bucket, read_limit=documents.one_moment.read_mib * _MEBIBYTE)
    prefix = keys.document_moment(catalog.environment, utc_now())
    retention = catalog.retention("evidence")
    tally = _Tally(rule, progress)
    versions = then(list_versions(bucket, documents.prefix), rule)
    with ExitStack() as stack:
        workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="contents")
        stack.callback(workers.shutdown, wait=True, cancel_futures=True)
        manifest = open_lines(stack, catalog.store, prefix + MANIFEST, retention)
        findings = open_lines(stack, catalog.store, prefix + FOUND, retention)
        pairs = tally.with_rows(side_by_side(stream_rows(address, table), versions))
        for one in _settled(pairs, rule, contents, workers):
            tally.take(one, manifest, findings)
        check = tally.record(
            run, manifest.commit(), findings.commit(), read_bytes=contents.read_bytes
        )
    catalog.write(prefix + MOMENT, check, retention)
    return MomentResult(check, prefix + MOMENT, tally.first)


def refuse_lost(result: MomentResult) -> None:
    """Raise when a document cannot be recovered to the moment of its row.

    :raises ValidationFailed: naming the first.
    """
    if result.check.lost:
        raise ValidationFailed(
            f"{result.check.lost} of {result.check.row_count} document rows have no object as of "
            f"{result.check.at.isoformat()}: {'; '.join(result.first[:3])}",
            hint=f"all of them are in {result.check.findings.key}; the replica may have versions "
            "that the bucket lost: see documents_replica_consistency",
        )


def how_to_recover(result: MomentResult, environment: str) -> list[str]:
    """What to ask of `document_recovery` so that the documents come to the same moment."""
    check = result.check
    if not check.not_current:
        return ["every document that the rows need is current: there is nothing to recover"]
    return [
        f"{check.not_current} documents are not what their rows at {check.at.isoformat()} need:",
        f"trigger {environment}_document_recovery with the goal manifest, the prefix *, and",
        f"the check of the moment {result.key}",
    ]


def then(versions: Iterable[ObjectVersion], rule: Rule) -> Iterator[KeyThen]:
    """Each key with what concerns the moment; pure.

    :param versions: in the order of the listing.
    """
    for key, those in groupby(versions, key=lambda one: one.key):
        shown: ObjectVersion | None = None
        candidates: list[ObjectVersion] = []
        current: ObjectVersion | None = None
        for one in those:
            current = current or one
            if one.modified_at > rule.at + rule.skew:
                continue
            if shown is None and one.modified_at <= rule.at:
                shown = one
            if not one.is_delete_marker and len(candidates) < _CANDIDATES:
                candidates.append(one)
        yield KeyThen(key, shown, tuple(candidates), current)


def side_by_side(
    rows: Iterable[DocumentRow], stored: Iterable[KeyThen]
) -> Iterator[tuple[DocumentRow | None, KeyThen | None]]:
    """Each row with what is stored under its key; keys without a row, too."""
    objects = in_order(stored, lambda one: key_bytes(one.key), refuse_objects)
    there, taken = next(objects, None), False
    for row in in_order(rows, lambda one: one.sort, refuse_rows):
        key = key_bytes(row.key or "")
        while there is not None and key_bytes(there.key) < key:
            if not taken:
                yield None, there
            there, taken = next(objects, None), False
        if there is not None and key_bytes(there.key) == key:
            taken = True
            yield row, there
        else:
            yield row, None
    while there is not None:
        if not taken:
            yield None, there
        there, taken = next(objects, None), False


def settle(
    row: DocumentRow, stored: KeyThen | None, rule: Rule, contents: ContentReader
) -> RowThen:
    """Find the version that a row needs.

    :raises StorageError:
    """
    if not row.key or not is_sha256(row.sha256) or row.size is None or row.size < 0:
        return RowThen(row, "unusable", None, "", "the row has no key, SHA-256 or size that is one")
    if stored is None or not stored.candidates:
        return RowThen(row, "missing", None, "", "no version of that time is stored")
    unproven: tuple[ObjectVersion, str] | None = None
    # What the bucket showed comes first: the same content may have been written again right after.
    for version in sorted(stored.candidates, key=lambda one: one != stored.shown):
        if version.size != row.size:
            continue
        try:
            found = contents.content(version)
        except ObjectMissing:
            continue  # removed for good since it was listed
        if found.sha256 == row.sha256:
            placed = _placed(row, version, stored, rule, found.how)
            return replace(placed, is_current=stored.shows(version))
        if found.sha256 is None and unproven is None:
            unproven = version, found.how
    if unproven is not None:
        version, how = unproven
        words = f"version {version.version_id} has the size, its content was not compared ({how})"
        return RowThen(row, "unproven", version, how, words)
    number = len(stored.candidates)
    return RowThen(row, "missing", None, "", f"none of {number} versions has the row's content")


def _placed(
    row: DocumentRow, version: ObjectVersion, stored: KeyThen, rule: Rule, how: str
) -> RowThen:
    """How the version that a row needs stands to what the bucket showed at T."""
    shown = stored.shown
    if shown is not None and shown.version_id == version.version_id:
        return RowThen(row, "there", version, how)
    if version.modified_at > rule.at or shown is None:
        return RowThen(row, "ahead", version, how)
    if shown.modified_at > rule.at - rule.grace:
        return RowThen(row, "between", version, how)
    what = "deleted" if shown.is_delete_marker else "overwritten"
    words = f"{what} at {shown.modified_at:%Y-%m-%dT%H:%M:%SZ}, and its row was not changed"
    return RowThen(row, "replaced", version, how, words)


def _settled(
    pairs: Iterable[tuple[DocumentRow, KeyThen | None]],
    rule: Rule,
    contents: ContentReader,
    workers: ThreadPoolExecutor,
) -> Iterator[RowThen]:
    """Every row settled, in order, many being asked for at the same time."""
    under_way: deque[Future[RowThen]] = deque()
    for row, stored in pairs:
        under_way.append(workers.submit(settle, row, stored, rule, contents))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    for one in under_way:
        yield one.result()


@dataclass
class _Tally:
    rule: Rule
    progress: Progress
    rows: int = 0
    without_row: int = 0
    not_current: int = 0
    states: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def with_rows(
        self, pairs: Iterable[tuple[DocumentRow | None, KeyThen | None]]
    ) -> Iterator[tuple[DocumentRow, KeyThen | None]]:
        """The pairs with a row; objects without one are counted."""
        for row, stored in pairs:
            if row is not None:
                yield row, stored
            elif stored is not None and stored.shown and not stored.shown.is_delete_marker:
                # A row of what was written within the grace may just have been on its way.
                self.without_row += stored.shown.modified_at <= self.rule.at - self.rule.grace

    def take(self, one: RowThen, manifest: LineWriter, findings: LineWriter) -> None:
        """Count and write down what one row needs."""
        row, version = one.row, one.version
        self.rows += 1
        self.states[one.state] += 1
        if one.how:
            self.compared[one.how] += 1
        if version is not None:
            self.not_current += not one.is_current
            manifest.add(
                [
                    row.key,
                    version.version_id,
                    version.size,
                    row.sha256,
                    one.state,
                    one.is_current,
                ]
            )
        if one.state in FINDINGS:
            findings.add([one.state, row.key, row.id, one.words])
            if len(self.first) < _NAMED:
                self.first.append(f"{one.state}: row {row.id} {row.key!r}: {one.words}")
        if self.rows % _EVERY == 0:
            self.progress(self.rows, None, "document rows")

    def record(
        self, run: str, manifest: StoredObject, findings: StoredObject, *, read_bytes: int
    ) -> MomentCheck:
        """What was counted, as the record of the comparison."""
        return MomentCheck(
            at=self.rule.at,
            run=run,
            checked_at=utc_now(),
            row_count=self.rows,
            states=dict(self.states),
            not_current=self.not_current,
            without_row=self.without_row,
            manifest=manifest,
            findings=findings,
            compared=dict(self.compared),
            read_bytes=read_bytes,
        )
