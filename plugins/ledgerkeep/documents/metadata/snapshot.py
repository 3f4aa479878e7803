"""What a run leaves: the rows as it saw them, what changed since the run before, what is wrong.

    {environment}/documents/metadata/{moment}/
        rows.zst       every row, in the order of the keys: the next run is held against it
        changes.zst    rows added, removed and changed since the run before
        findings.zst   what was wrong, all of it
        check.json     the record, last: without it the rest does not exist

Each list is a stream of JSON lines in a zstd frame, written while the rows pass and read back the
same way, so neither memory nor disk grows with the number of rows. The record names the SHA-256 of
each; the log of changes and the findings are kept under lock as long as the evidence that names
them. Of the rows only those of the last two runs are kept.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.metadata.merge import Known
from ledgerkeep.documents.metadata.rows import DocumentRow
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.storage.compression import ZstdSink, decompress
from ledgerkeep.storage.port import ObjectStore, ObjectWriter, Retention, StoredObject

ROWS, CHANGES, FINDINGS, CHECK = "rows.zst", "changes.zst", "findings.zst", "check.json"
_LEVEL = 3
_LINES = 500
"""Lines that are compressed together."""
_ABANDONED = timedelta(days=2)
_ROWS_KEPT = 2


class MetadataCheck(Record):
    """The record of one run."""

    at: UtcDatetime
    """When it began; the rows are of a moment right after."""
    run: str
    source: str
    """Table and columns; rows of another source are not compared with these."""
    row_count: int
    object_count: int
    """Current objects; those that are deleted are none."""
    rows: StoredObject
    changes: StoredObject
    findings: StoredObject
    since: UtcDatetime | None
    """The run that the changes are counted from; None: this is the first."""
    added: int
    removed: int
    changed: int
    found: dict[str, int]
    """Kind of finding → how many."""
    on_its_way: int
    """Seemed wrong, but the object was written or deleted just now."""
    compared: dict[str, int]
    """How contents were compared (store, metadata, read; unchanged since an earlier run; or not:
    limit, cold, later) → of how many rows."""
    read_bytes: int


class LineWriter:
    """JSON values, one a line, into an object; nothing is visible before `commit`."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._sink = ZstdSink(writer, level=_LEVEL)
        self._lines: list[str] = []

    def add(self, value: Sequence[Any]) -> None:
        """Take the next one."""
        self._lines.append(json.dumps(value, separators=(",", ":")))
        if len(self._lines) >= _LINES:
            self._flush()

    def commit(self) -> StoredObject:
        """Finish the object."""
        self._flush()
        self._sink.finish()
        return self._writer.commit()

    def _flush(self) -> None:
        if self._lines:
            self._sink.write(("\n".join(self._lines) + "\n").encode())
            self._lines = []


def open_lines(
    stack: ExitStack, store: ObjectStore, key: str, retention: Retention | None = None
) -> LineWriter:
    """A list to be written, abandoned with the stack unless it was committed."""
    return LineWriter(stack.enter_context(store.writer(key, retention=retention)))


def read_lines(store: ObjectStore, stored: StoredObject) -> Iterator[Any]:
    """The values of a list, one by one.

    :raises ObjectMissing, ObjectCorrupt: perhaps only at the end.
    """
    rest = b""
    for chunk in decompress(store.read(stored), f"{store.location}/{stored.key}"):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(json.loads, lines)
    if rest:
        raise ObjectCorrupt(
            f"{store.location}/{stored.key} ends within a line",
            hint="it was not written by this program; the next run makes a new one",
        )


def as_line(known: Known) -> Sequence[Any]:
    """A row as it is kept for the next run."""
    row = known.row
    return [row.key, row.id, row.sha256, row.size, row.recorded_at, known.etag, known.compared_at]


def from_line(values: Sequence[Any]) -> Known:
    """What `as_line` made."""
    *row, etag, compared_at = values
    return Known(DocumentRow(*row), etag, compared_at)


def last_check(catalog: Catalog, *, source: str) -> MetadataCheck | None:
    """The newest run of the same source that ended."""
    for key in reversed(_records(catalog)):
        check = catalog.read(key, MetadataCheck)
        if check.source == source:
            return check
    return None


def sweep(catalog: Catalog, *, now: datetime) -> int:
    """Remove rows that nobody compares with any more, and what interrupted runs left.

    Returns the number of objects that were removed.
    """
    prefix = keys.metadata_checks(catalog.environment)
    ended = [key.removesuffix(CHECK) for key in _records(catalog)]
    outdated = {f"{place}{ROWS}" for place in ended[:-_ROWS_KEPT]}
    removed = 0
    for listed in catalog.store.list(prefix):
        place = listed.key[: listed.key.rindex("/") + 1]
        abandoned = place not in ended and listed.modified_at < now - _ABANDONED
        if abandoned or listed.key in outdated:
            removed += catalog.store.delete_prefix(listed.key)
    return removed


def _records(catalog: Catalog) -> list[str]:
    prefix = keys.metadata_checks(catalog.environment)
    listed: Iterable[Any] = catalog.store.list(prefix)
    return [one.key for one in listed if one.key.endswith(f"/{CHECK}")]
