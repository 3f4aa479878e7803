"""One run of the metadata check: every row and every object, once, side by side.

    rows ──┬── what changed? ──┬── pair with the listing ── judge ── doubts ── findings
    last ──┘                   └── rows for the next run

The content of an object is compared when its row or its ETag is new, or the last comparison is
older than the policy allows, and for as many objects as the policy allows per run; the others have
their turn in the next one. Doubts are looked at again when the pass has ended (see `doubt`).

A run that is killed leaves nothing that counts; the next one sweeps up.

Public: `check_metadata(address, bucket, catalog, *, run, progress=…) -> CheckResult`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata.content import Content, ContentReader
from ledgerkeep.documents.metadata.doubt import Doubt, Doubts, Finding
from ledgerkeep.documents.metadata.merge import (
    Kind,
    Known,
    Pair,
    judge,
    needs_content,
    newest_of_each_key,
    pair,
    with_known,
)
from ledgerkeep.documents.metadata.rows import DocumentRow, find_rows, stream_rows
from ledgerkeep.documents.metadata.snapshot import (
    CHANGES,
    CHECK,
    FINDINGS,
    ROWS,
    LineWriter,
    MetadataCheck,
    as_line,
    from_line,
    last_check,
    open_lines,
    read_lines,
    sweep,
)
from ledgerkeep.errors import ObjectCorrupt, ObjectMissing, PolicyError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.documents import Documents, DocumentTable, MetadataConsistency
from ledgerkeep.policy.model import Policy
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions

_WORKERS = 16
_AHEAD = 256
"""Pairs whose content is being asked for while the stream goes on."""
_NAMED = 20
_MEBIBYTE = 1024 * 1024
_EVERY = 1_000


@dataclass(frozen=True)
class CheckResult:
    """A run that ended."""

    check: MetadataCheck
    key: str
    """Of its record."""
    first: list[Finding]
    """The first findings, for people."""
    warnings: list[str] = field(default_factory=list)


def check_metadata(
    address: ServerAddress,
    bucket: Bucket,
    catalog: Catalog,
    *,
    run: str,
    fresh: bool = False,
    progress: Progress = no_progress,
) -> CheckResult:
    """Compare the rows of the policy's table with the documents, and record what was found.

    :param address: the server; the policy names its database.
    :param bucket: of the documents.
    :param fresh: count what happened within the policy's grace, too: after an accident it is the
        damage, not something on its way.
    :param progress: told rows, not bytes.
    :raises PolicyError: the policy names no rows, or ones that are not there.
    :raises DatabaseError, StorageError: nothing was recorded.
    """
    documents, rows = settings_of(catalog.policy)
    if fresh:
        documents = _without_grace(documents)
    before = last_check(catalog, source=source_of(rows))
    try:
        return _Run(address, bucket, catalog, documents, rows, run, before, progress).carry_out()
    except (ObjectCorrupt, ObjectMissing) as problem:
        if before is None or before.rows.key not in problem.message:
            raise
        # What is wrong with the last run's rows would be wrong tomorrow, too.
        result = _Run(address, bucket, catalog, documents, rows, run, None, progress).carry_out()
        words = f"nothing is known of what changed since the last run: {problem.message}"
        return CheckResult(result.check, result.key, result.first, [words])


def _without_grace(documents: Documents) -> Documents:
    limits = documents.metadata_consistency or MetadataConsistency(schedule=None)
    limits = limits.model_copy(update={"grace": timedelta(0)})
    return documents.model_copy(update={"metadata_consistency": limits})


def settings_of(policy: Policy) -> tuple[Documents, DocumentTable]:
    """The policy's documents and their rows.

    :raises PolicyError: it names none.
    """
    documents = policy.documents
    if documents is None or documents.rows is None:
        raise PolicyError(
            f"the policy of {policy.environment} does not say which rows name the documents",
            hint="add documents.rows to the policy: database, table and columns",
        )
    return documents, documents.rows


def source_of(rows: DocumentTable) -> str:
    """Table and columns in words: rows of one source can be compared with each other."""
    columns = ", ".join((rows.id, rows.key, rows.sha256, rows.size, rows.recorded_at))
    return f"{rows.database}: {rows.table} ({columns})"


@dataclass
class _Compared:
    """A pair on its way through the comparison of contents."""

    pair: Pair
    kind: Kind | None
    content: "Future[Content | None] | None" = None
    """None: not asked for."""


class _Run:
    def __init__(
        self,
        address: ServerAddress,
        bucket: Bucket,
        catalog: Catalog,
        documents: Documents,
        rows: DocumentTable,
        run: str,
        before: MetadataCheck | None,
        progress: Progress,
    ) -> None:
        self.address, self.bucket, self.catalog = address, bucket, catalog
        self.documents, self.rows, self.run, self.before = documents, rows, run, before
        self.progress = progress
        self.limits = documents.metadata_consistency or MetadataConsistency(schedule=None)
        self.at = utc_now()
        self.contents = ContentReader(bucket, read_limit=self.limits.read_mib_per_run * _MEBIBYTE)
        self.left = self.limits.compared_per_run
        self.changes: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.compared: Counter[str] = Counter()
        self.row_count = self.object_count = 0
        self.first: list[Finding] = []

    def carry_out(self) -> CheckResult:
        prefix = keys.metadata_check(self.catalog.environment, self.at)
        store, locked = self.catalog.store, self.catalog.retention("evidence")
        sweep(self.catalog, now=self.at)
        with ExitStack() as stack:
            workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="contents")
            stack.callback(workers.shutdown, wait=True, cancel_futures=True)
            kept = open_lines(stack, store, prefix + ROWS)
            changes = open_lines(stack, store, prefix + CHANGES, locked)
            findings = open_lines(stack, store, prefix + FINDINGS, locked)
            doubts = self._doubts(workers)
            for one in self._pass(changes, workers):
                self._keep(one, kept)
                self._tell(self._doubt(one, doubts), findings)
            self._tell(doubts.settle(), findings)
            check = MetadataCheck(
                at=self.at,
                run=self.run,
                source=source_of(self.rows),
                row_count=self.row_count,
                object_count=self.object_count,
                rows=kept.commit(),
                changes=changes.commit(),
                findings=findings.commit(),
                since=self.before.at if self.before else None,
                added=self.changes["added"],
                removed=self.changes["removed"],
                changed=self.changes["changed"],
                found=dict(self.found),
                on_its_way=doubts.settled.on_its_way,
                compared=dict(self.compared),
                read_bytes=self.contents.read_bytes,
            )
        self.catalog.write(prefix + CHECK, check, locked)
        return CheckResult(check, prefix + CHECK, self.first)

    def _doubts(self, workers: ThreadPoolExecutor) -> Doubts:
        return Doubts(
            partial(find_rows, self.address, self.rows),
            self.contents,
            prefix=self.documents.prefix,
            grace=self.limits.grace,
            clock=utc_now,
            workers=workers,
        )

    def _pass(self, changes: LineWriter, workers: ThreadPoolExecutor) -> Iterator[_Compared]:
        """Every pair in order, its content compared where that is due."""
        newest = newest_of_each_key(list_versions(self.bucket, self.documents.prefix))
        under_way: deque[_Compared] = deque()
        for one in pair(self._logged(changes), newest):
            under_way.append(self._begun(one, workers))
            if len(under_way) > _AHEAD:
                yield under_way.popleft()
        yield from under_way

    def _logged(self, changes: LineWriter) -> Iterator[tuple[DocumentRow, Known | None]]:
        """The rows with what is known of them, while the log of changes is written."""
        for row, known in with_known(stream_rows(self.address, self.rows), self._known()):
            kind = _change(row, known)
            # The first run has nothing that could have changed.
            if kind is not None and self.before is not None:
                self.changes[kind] += 1
                changes.add([kind, _plain(known.row if known else None), _plain(row)])
            if row is not None:
                self.row_count += 1
                if self.row_count % _EVERY == 0:
                    self.progress(self.row_count, None, "document rows")
                yield row, known

    def _known(self) -> Iterable[Known]:
        if self.before is None:
            return ()
        return map(from_line, read_lines(self.catalog.store, self.before.rows))

    def _begun(self, found: Pair, workers: ThreadPoolExecutor) -> _Compared:
        if found.newest is not None and not found.newest.is_delete_marker and not found.again:
            self.object_count += 1
        kind = judge(found, self.documents.prefix)
        if kind is not None or found.row is None or found.newest is None:
            return _Compared(found, kind)
        again = (self.at - self.limits.compared_again_after).isoformat()
        if not needs_content(found, compared_before=again):
            self.compared["unchanged"] += 1
            return _Compared(found, None)
        if self.left == 0:
            self.compared["later"] += 1
            return _Compared(found, None)
        self.left -= 1
        return _Compared(found, None, workers.submit(_content, self.contents, found))

    def _keep(self, one: _Compared, kept: LineWriter) -> None:
        row, known, newest = one.pair.row, one.pair.known, one.pair.newest
        if row is None:
            return
        etag, compared_at = "", ""
        if one.content is not None:
            content = one.content.result()
            self.compared["later" if content is None else content.how] += 1
            if content and newest and content.sha256 == row.sha256:
                etag, compared_at = newest.etag, self.at.isoformat()
        elif known and newest and one.kind is None and _still(known, row, newest.etag):
            etag, compared_at = known.etag, known.compared_at
        kept.add(as_line(Known(row, etag, compared_at)))

    def _doubt(self, one: _Compared, doubts: Doubts) -> Iterator[Finding]:
        row, newest = one.pair.row, one.pair.newest
        kind = one.kind
        if one.content is not None and row is not None:
            content = one.content.result()
            if content is None:
                kind = "missing"
            elif content.sha256 is not None and content.sha256 != row.sha256:
                kind = "checksum"
        if kind is None:
            return
        key = row.key if row is not None else newest.key if newest is not None else None
        yield from doubts.add(Doubt(kind, key, row.id if row is not None else None, row))

    def _tell(self, found: Iterator[Finding], findings: LineWriter) -> None:
        for one in found:
            self.found[one.kind] += 1
            if len(self.first) < _NAMED:
                self.first.append(one)
            findings.add(finding_line(one))


def finding_line(found: Finding) -> list[object]:
    """A finding as it is kept: kind, key, row, version, size and SHA-256 of the object."""
    newest = found.newest
    return [
        found.kind,
        found.key,
        _plain(found.row),
        newest.version_id if newest else None,
        newest.is_delete_marker if newest else None,
        newest.size if newest else None,
        found.object_sha256,
    ]


def _content(contents: ContentReader, found: Pair) -> Content | None:
    """What the object holds; None: it is gone since it was listed."""
    if found.newest is None:
        return None
    try:
        return contents.content(found.newest)
    except ObjectMissing:
        return None


def _change(row: DocumentRow | None, known: Known | None) -> str | None:
    if known is None:
        return "added"
    if row is None:
        return "removed"
    return None if row == known.row else "changed"


def _still(known: Known, row: DocumentRow, etag: str) -> bool:
    return bool(known.etag) and (known.etag, known.row.sha256) == (etag, row.sha256)


def _plain(row: DocumentRow | None) -> list[object] | None:
    return None if row is None else [row.key, row.id, row.sha256, row.size, row.recorded_at]
