"""The versions of the keys that matter, in as few listings as there can be.

A prefix is one listing. A list of keys is too, where the keys lie close together; where they lie
far apart, the listing jumps to the next one instead of paging through what lies between. A key is
listed as itself: the listing by prefix ends where the first longer key begins.

Two places are put side by side by key while they are read, so nothing is kept of either.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import NamedTuple

from ledgerkeep.documents.recovery.request import DocumentRequest
from ledgerkeep.errors import StorageError
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import PAGE, ObjectVersion, list_versions


class OneKey(NamedTuple):
    """What there is of one key on both sides."""

    key: str
    current: ObjectVersion | None
    """The newest at the destination; None also when both sides are the same."""
    versions: Iterator[ObjectVersion]
    """Of the source, newest first; to be read before the next key is asked for."""


def versions_of(
    bucket: Bucket, request: DocumentRequest, into: str = ""
) -> Iterator[ObjectVersion]:
    """All versions of the request's keys, in the store's order.

    :param into: stands before each key in the bucket; taken off again.
    :raises StorageError: also when they come in another order.
    """
    if request.prefix is not None:
        found = list_versions(bucket, into + request.prefix)
    else:
        found = of_keys(
            bucket, [into + key for key in request.keys], into + request.common_prefix()
        )
    found = _in_order(bucket, found)
    if not into:
        return found
    return (replace(one, key=one.key.removeprefix(into)) for one in found)


def _in_order(bucket: Bucket, rows: Iterator[ObjectVersion]) -> Iterator[ObjectVersion]:
    """The rows as they come, unless a key comes after one that sorts behind it.

    A key whose versions are not together would be decided about twice, and wrongly.
    """
    last = b""
    for one in rows:
        encoded = one.key.encode()
        if encoded < last:
            raise StorageError(
                f"{bucket.location} lists {one.key!r} behind {last.decode()!r}",
                hint="versions are planned from a listing in the order of S3, keys ascending by "
                "their UTF-8 bytes; this store does not keep to it",
            )
        last = encoded
        yield one


def of_keys(bucket: Bucket, keys: Sequence[str], common: str) -> Iterator[ObjectVersion]:
    """All versions of exactly these keys.

    :param keys: in the order of their bytes.
    :param common: a prefix that all of them have.
    :raises StorageError:
    """
    rows: Iterator[ObjectVersion] | None = None
    row: ObjectVersion | None = None
    for key in keys:
        if rows is not None:
            row = _passed_to(key, row, rows)
            if row is None:
                return  # the bucket ends before this key
        if rows is None or (row is not None and row.key.encode() < key.encode()):
            # Nothing is read of what lies between; a key's own versions always come first.
            yield from list_versions(bucket, key, until=key)
            rows, row = list_versions(bucket, common, after=key), None
            continue
        while row is not None and row.key == key:
            yield row
            row = next(rows, None)


def _passed_to(
    key: str, row: ObjectVersion | None, rows: Iterator[ObjectVersion]
) -> ObjectVersion | None:
    """The first row that is not before the key; an earlier one where that is over a page away."""
    row = next(rows, None) if row is None else row
    for _ in range(PAGE - 1):
        if row is None or row.key.encode() >= key.encode():
            break
        row = next(rows, None)
    return row


def newest_of(bucket: Bucket, keys: Sequence[str], common: str) -> dict[str, ObjectVersion]:
    """The newest version or delete marker of each of these keys that has any.

    :raises StorageError:
    """
    newest: dict[str, ObjectVersion] = {}
    for one in of_keys(bucket, keys, common):
        newest.setdefault(one.key, one)
    return newest


def side_by_side(
    source: Iterable[ObjectVersion],
    destination: Iterable[ObjectVersion] = (),
    named: Iterable[str] = (),
) -> Iterator[OneKey]:
    """Every key of either side, and every named one, in order.

    :param destination: empty when source and destination are the same.
    """
    merged = heapq.merge(
        ((key.encode(), None, False) for key in named),
        ((one.key.encode(), one, False) for one in destination),
        ((one.key.encode(), one, True) for one in source),
        key=lambda entry: entry[0],
    )
    for encoded, entries in groupby(merged, key=lambda entry: entry[0]):
        yield _one_key(encoded.decode(), entries)


def _one_key(key: str, entries: Iterator[tuple[bytes, ObjectVersion | None, bool]]) -> OneKey:
    current: ObjectVersion | None = None
    for _, one, is_source in entries:
        if is_source and one is not None:
            rest = (version for _, version, _ in entries if version is not None)
            return OneKey(key, current, chain([one], rest))
        if current is None:
            current = one
    return OneKey(key, current, iter(()))
