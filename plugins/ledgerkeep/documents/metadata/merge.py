"""Three sorted streams side by side: the rows, the rows of the last run, the current objects.

Everything here is pure and holds one element of each stream. That is only right if the streams are
in order, so their order is checked as they pass: a stream that is not would make findings of
whatever it skipped.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ledgerkeep.documents.metadata.content import is_sha256
from ledgerkeep.documents.metadata.rows import DocumentRow, key_bytes
from ledgerkeep.errors import DatabaseError, LedgerkeepError, StorageError
from ledgerkeep.storage.versions import ObjectVersion

T = TypeVar("T")
L = TypeVar("L")
R = TypeVar("R")

Kind = Literal[
    "missing", "checksum", "size", "orphan", "duplicate", "no key", "no checksum", "no size",
    "outside",
]  # fmt: skip
WORDS: dict[Kind, str] = {
    "missing": "rows without their object",
    "checksum": "rows whose object has another content",
    "size": "rows whose object has another size",
    "orphan": "objects without a row",
    "duplicate": "rows that name a key that another row names too",
    "no key": "rows without a key",
    "no checksum": "rows without a SHA-256 that is one",
    "no size": "rows without a size that is one",
    "outside": "rows whose key lies outside the protected prefix",
}
REPAIRABLE: tuple[Kind, ...] = ("missing", "checksum", "size")
"""What the version that the row tells of would put right."""


@dataclass(frozen=True, slots=True)
class Known:
    """A row as a run saw it, and when its object was last found to have its content."""

    row: DocumentRow
    etag: str = ""
    """Of the object that was compared; empty: none was."""
    compared_at: str = ""
    """ISO 8601, in UTC; empty: not compared yet."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A row and the newest version under its key, either of which may be absent."""

    row: DocumentRow | None
    known: Known | None
    """The same row in the last run."""
    newest: ObjectVersion | None
    """May be a delete marker."""
    again: bool = False
    """Whether the row before it has the same key."""


def newest_of_each_key(versions: Iterable[ObjectVersion]) -> Iterator[ObjectVersion]:
    """The first version of every key: of one key, the listing gives the newest first."""
    last: str | None = None
    for version in versions:
        if version.key != last:
            yield version
        last = version.key


def with_known(
    rows: Iterable[DocumentRow], known: Iterable[Known]
) -> Iterator[tuple[DocumentRow | None, Known | None]]:
    """Each row with the same one of the last run; rows of either side alone, too."""
    ordered = in_order(rows, lambda row: row.sort, refuse_rows)
    before = in_order(known, lambda one: one.row.sort, refuse_rows)
    return _side_by_side(ordered, lambda row: row.sort, before, lambda one: one.row.sort)


def pair(
    rows: Iterable[tuple[DocumentRow, Known | None]], newest: Iterable[ObjectVersion]
) -> Iterator[Pair]:
    """Each row with the newest version under its key; versions without a row, too.

    :param rows: in the order of `stream_rows`.
    :param newest: one per key, in the order of the listing.
    """
    objects = in_order(newest, lambda one: key_bytes(one.key), refuse_objects)
    there = next(objects, None)
    before: bytes | None = None
    for row, known in rows:
        key = key_bytes(row.key or "")
        while there is not None and key_bytes(there.key) < key:
            if key_bytes(there.key) != before:
                yield Pair(None, None, there)
            there = next(objects, None)
        found = there if there is not None and key_bytes(there.key) == key else None
        yield Pair(row, known, found, again=key == before)
        before = key
    while there is not None:
        if key_bytes(there.key) != before:
            yield Pair(None, None, there)
        there = next(objects, None)


def judge(found: Pair, prefix: str) -> Kind | None:
    """What is wrong with a pair, as far as a listing tells; None: nothing, or the content.

    :param prefix: below which the documents are protected.
    """
    if found.row is None:
        return "orphan" if found.newest and not found.newest.is_delete_marker else None
    return _place(found.row, prefix, again=found.again) or _object(found.row, found.newest)


def needs_content(found: Pair, *, compared_before: str) -> bool:
    """Whether a sound pair's content has to be compared (again).

    Equal contents stay equal as long as neither the row's checksum nor the object's ETag changes.

    :param compared_before: a comparison older than this moment (ISO 8601) is made again.
    """
    if found.row is None or found.newest is None or found.newest.is_delete_marker:
        return False
    known = found.known
    if known is None or not known.etag or known.compared_at < compared_before:
        return True
    return (known.etag, known.row.sha256) != (found.newest.etag, found.row.sha256)


def in_order(
    stream: Iterable[T], key: Callable[[T], Any], refuse: Callable[[T], LedgerkeepError]
) -> Iterator[T]:
    """The same stream, refused where it is not in ascending order."""
    last: Any = None
    for one in stream:
        now = key(one)
        if last is not None and now < last:
            raise refuse(one)
        last = now
        yield one


def _side_by_side(
    left: Iterator[L],
    left_key: Callable[[L], Any],
    right: Iterator[R],
    right_key: Callable[[R], Any],
) -> Iterator[tuple[L | None, R | None]]:
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and left_key(one) < right_key(other)):
            yield one, None
            one = next(left, None)
        elif one is None or right_key(other) < left_key(one):
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def _place(row: DocumentRow, prefix: str, *, again: bool) -> Kind | None:
    if not row.key:
        return "no key"
    if again:
        return "duplicate"
    return None if row.key.startswith(prefix) else "outside"


def _object(row: DocumentRow, newest: ObjectVersion | None) -> Kind | None:
    if newest is None or newest.is_delete_marker:
        return "missing"
    if not is_sha256(row.sha256):
        return "no checksum"
    if row.size is None or row.size < 0:
        return "no size"
    return None if row.size == newest.size else "size"


def refuse_rows(row: Any) -> LedgerkeepError:
    """What to raise where rows are out of order."""
    return DatabaseError(
        f"the document rows do not come in the order of their keys' bytes (at {row!r:.200})",
        hint="the result would be wrong, so there is none; report this with the server's version "
        "and encoding",
    )


def refuse_objects(version: Any) -> LedgerkeepError:
    """What to raise where what is listed is out of order."""
    return StorageError(
        f"the store does not list its keys in the order of their bytes (at {version.key!r:.200})",
        hint="the result would be wrong, so there is none; S3 lists general purpose buckets in "
        "this order, directory buckets do not",
    )
