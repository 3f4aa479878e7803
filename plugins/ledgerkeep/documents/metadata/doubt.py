"""What seems wrong is looked at again before it is a finding.

The system lives while it is checked. A document that is uploaded has its object before its row, one
that is deleted loses one before the other, and the rows are from a moment before the listing. So
a first look proves nothing: of each doubtful key the rows and the newest version are asked for
afresh, after the pass, and only what is still wrong counts. And what happened to the object less
than the policy's grace ago may still be on its way: that is counted, and left to the next run.

A few thousand doubts are kept at a time; where there are more, they are settled in batches.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledgerkeep.documents.metadata.content import Content, ContentReader
from ledgerkeep.documents.metadata.merge import Kind, Pair, judge, newest_of_each_key
from ledgerkeep.documents.metadata.rows import DocumentRow
from ledgerkeep.errors import ObjectMissing
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import ObjectVersion, list_versions

AT_ONCE = 2_000
"""Doubts that are kept, and settled, together."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What seemed wrong at first sight."""

    kind: Kind
    key: str | None
    id: str | None
    """Of the row; None: there was none."""
    row: DocumentRow | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was still wrong when it was looked at again."""

    kind: Kind
    key: str | None
    row: DocumentRow | None
    newest: ObjectVersion | None
    object_sha256: str | None = None

    def describe(self) -> str:
        """One line for people; the key is quoted, whatever it holds."""
        whose = f"row {self.row.id}" if self.row is not None else "object"
        return f"{self.kind}: {whose} {self.key!r}: {self._details()}"

    def _details(self) -> str:
        if self.newest is None:
            return "there is no version of the object"
        at = f"{self.newest.modified_at:%Y-%m-%dT%H:%M:%SZ}"
        if self.newest.is_delete_marker:
            return f"the object was deleted at {at}"
        held = f"the object of {at} has {self.newest.size} bytes"
        if self.object_sha256 is not None:
            held += f" and the SHA-256 {self.object_sha256}"
        if self.row is None:
            return held
        return f"{held}; the row says {self.row.size} bytes and {self.row.sha256}"


@dataclass
class Settled:
    """What became of the doubts of a run."""

    on_its_way: int = 0
    vanished: int = 0
    """Doubts that the second look did not confirm."""


class Doubts:
    """Collects doubts, and settles them when there are many or the pass has ended."""

    def __init__(
        self,
        find_rows: Callable[[Sequence[str]], dict[str, list[DocumentRow]]],
        contents: ContentReader,
        *,
        prefix: str,
        grace: timedelta,
        clock: Callable[[], datetime],
        workers: Executor,
    ) -> None:
        """Begin without any.

        :param find_rows: the rows of some keys as they are now.
        :param clock: the moment, in UTC.
        """
        self._find_rows = find_rows
        self._contents = contents
        self._prefix = prefix
        self._grace = grace
        self._clock = clock
        self._workers = workers
        self._kept: list[Doubt] = []
        self.settled = Settled()

    def add(self, doubt: Doubt) -> Iterator[Finding]:
        """Take a doubt; yields what is confirmed where a batch is full."""
        self._kept.append(doubt)
        if len(self._kept) >= AT_ONCE:
            yield from self.settle()

    def settle(self) -> Iterator[Finding]:
        """Look again at all that is kept."""
        doubts, self._kept = self._kept, []
        rows = self._find_rows(list({doubt.key for doubt in doubts if doubt.key}))
        # One after another of each batch would wait for the store's every answer.
        for doubt, looked_at in zip(doubts, self._workers.map(self._look, doubts), strict=True):
            yield from self._judge(doubt, rows, looked_at)

    def _look(self, doubt: Doubt) -> ObjectVersion | None:
        return newest_version(self._contents.bucket, doubt.key) if doubt.key else None

    def _judge(
        self, doubt: Doubt, rows: dict[str, list[DocumentRow]], newest: ObjectVersion | None
    ) -> Iterator[Finding]:
        found = self._second(doubt, rows, newest)
        if found is None:
            self.settled.vanished += 1
        elif newest is not None and self._clock() - newest.modified_at < self._grace:
            self.settled.on_its_way += 1
        else:
            yield found

    def _second(
        self, doubt: Doubt, rows: dict[str, list[DocumentRow]], newest: ObjectVersion | None
    ) -> Finding | None:
        """What is wrong now; None: nothing any more."""
        if not doubt.key:
            return Finding(doubt.kind, doubt.key, doubt.row, None)
        now = rows[doubt.key]
        if doubt.id is None:
            kind = judge(Pair(None, None, newest), self._prefix) if not now else None
            return Finding(kind, doubt.key, None, newest) if kind else None
        row = next((row for row in now if row.id == doubt.id), None)
        if row is None:
            return None
        again = doubt.kind == "duplicate" and len(now) > 1
        kind = judge(Pair(row, None, newest, again=again), self._prefix)
        if kind is not None:
            return Finding(kind, doubt.key, row, newest)
        return self._content(row, newest) if newest is not None else None

    def _content(self, row: DocumentRow, newest: ObjectVersion) -> Finding | None:
        try:
            found: Content = self._contents.content(newest)
        except ObjectMissing:
            return Finding("missing", row.key, row, None)
        if found.sha256 is None or found.sha256 == row.sha256:
            return None
        return Finding("checksum", row.key, row, newest, found.sha256)


def newest_version(bucket: Bucket, key: str) -> ObjectVersion | None:
    """The newest version of one key as it is now, or its delete marker; None: there is neither.

    :raises StorageError:
    """
    # Of all keys with that prefix, the key itself comes first.
    first = next(newest_of_each_key(list_versions(bucket, key)), None)
    return first if first is not None and first.key == key else None
