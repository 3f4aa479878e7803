"""S3 Inventory in place of listings: the same comparison for buckets too large to be listed.

S3 writes, once a day or a week, every version of a bucket into compressed CSV files, and a manifest
that names them with their MD5s; beside it lies the manifest's own MD5, which is written last. The
rows are in no order that AWS promises. So both sides are sorted here first, by external merge sort:
runs that fit into memory are sorted, written to the worker's temporary directory, and merged as
they are read back. That takes room on disk, about 150 bytes per version and side, and no more
memory for a billion versions than for a million. Every file has passed its MD5 before anything is
compared. (AWS: S3 user guide, Amazon S3 Inventory, Inventory manifest.)

Within one second an inventory does not tell which version came later, so the order of versions is
not compared. CSV is read; Parquet and ORC are refused.
"""

import csv
import gzip
import hashlib
import heapq
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from ledgerkeep.documents.replica.check import Bounds, Checked, Pair, check_streams
from ledgerkeep.documents.replica.merge import Step, no_step
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.errors import ObjectCorrupt, ObjectMissing, StorageError
from ledgerkeep.policy.values import format_duration
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import ObjectStore
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.storage.versions import NULL_VERSION, ObjectVersion

RUN = 250_000
"""Rows that are sorted in memory."""
FAN_IN = 64
"""Runs that are merged at once; more are merged into one beforehand."""

_RANGE = 8 * 1024 * 1024
_ROWS_PER_LINE = 500
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
_NEEDED = ("Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")

Row = tuple[str, bool, float, str, int, str, str, bool]
"""Key, whether it is not the latest, minus its time in seconds, version id; so rows sort as
listings do. Then size, ETag, storage class, whether it is a delete marker."""


@dataclass(frozen=True)
class Inventory:
    """One inventory of a bucket."""

    store: Bucket
    """Where it lies."""
    key: str
    """Of its manifest."""
    created_at: datetime
    columns: tuple[str, ...]
    files: tuple[tuple[str, int, str], ...]
    """Key, bytes and MD5 of each."""

    @property
    def location(self) -> str:
        """The manifest, for people."""
        return f"{self.store.location}/{self.key}"


@dataclass(frozen=True)
class ComparedInventories:
    """What was compared, and with which result."""

    checked: Checked
    inventories: tuple[Inventory, Inventory]

    def words(self, now: datetime) -> list[str]:
        """Which inventories they were, and how old."""
        return [
            f"compared from the inventory {one.location}, "
            f"{format_duration(now - one.created_at)} old when the check began"
            for one in self.inventories
        ]


def check_inventories(
    pair: Pair,
    places: tuple[tuple[Bucket, str], tuple[Bucket, str]],
    *,
    rules: Callable[[datetime], Rules],
    bounds: Bounds,
    oldest: datetime,
    into: Callable[[], tuple[ObjectStore, str]],
    seed: str,
    step: Step = no_step,
) -> ComparedInventories:
    """Compare the newest inventories of both sides.

    :param places: bucket and prefix of the dated directories, of the documents and of the replica.
    :param rules: for the moment up to which both sides are known.
    :param oldest: an inventory from before this is refused.
    :raises StorageError: one is missing, too old, or not such an inventory.
    :raises ObjectCorrupt: a file is not what the manifest says.
    """
    ours, theirs = (
        newest_inventory(store, prefix, of=side.name, oldest=oldest)
        for (store, prefix), side in zip(places, (pair.source, pair.replica), strict=True)
    )
    known_until = min(ours.created_at, theirs.created_at)
    unordered = replace(rules(known_until), ordered=False)
    with tempfile.TemporaryDirectory(prefix="ledgerkeep-inventory-") as scratch:
        streams = (
            sorted_versions(ours, Path(scratch) / "documents", prefix=pair.prefix),
            sorted_versions(theirs, Path(scratch) / "replica", prefix=pair.prefix),
        )
        checked = check_streams(pair, streams, unordered, bounds, into=into, seed=seed, step=step)
    return ComparedInventories(checked, (ours, theirs))


def newest_inventory(store: Bucket, prefix: str, *, of: str, oldest: datetime) -> Inventory:
    """The newest inventory below a prefix that is complete.

    :param of: the bucket it must be of.
    :raises StorageError: there is none, it is too old, or not such an inventory.
    """
    names = [name for name in S3Store(store).list_directories(prefix) if _DATED.fullmatch(name)]
    for name in sorted(names, reverse=True):
        key = f"{prefix}{name}/manifest.json"
        found = _manifest(store, key)
        if found is not None:
            return _accepted(store, key, found, of=of, oldest=oldest)
    raise StorageError(
        f"there is no inventory below {store.location}/{prefix}",
        hint="S3 delivers the first one within 48 hours of its configuration; check the prefix "
        "in documents.replica_consistency.inventories",
    )


def _manifest(store: Bucket, key: str) -> dict[str, Any] | None:
    """The manifest, or None while its own checksum, which comes last, is not there."""
    try:
        told = _whole(store, key.removesuffix("json") + "checksum").decode().strip()
    except ObjectMissing:
        return None
    body = _whole(store, key)
    found = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if found != told:
        raise _corrupt(store, key, found, told)
    manifest: dict[str, Any] = json.loads(body)
    return manifest


def _accepted(
    store: Bucket, key: str, manifest: dict[str, Any], *, of: str, oldest: datetime
) -> Inventory:
    location = f"{store.location}/{key}"
    if manifest["sourceBucket"] != of:
        raise StorageError(
            f"{location} is an inventory of {manifest['sourceBucket']}, not of {of}",
            hint="correct the prefix in documents.replica_consistency.inventories",
        )
    columns = tuple(name.strip() for name in manifest["fileSchema"].split(","))
    lacking = [name for name in _NEEDED if name not in columns]
    if manifest["fileFormat"] != "CSV" or lacking:
        what = f"without {', '.join(lacking)}" if lacking else f"in {manifest['fileFormat']}"
        raise StorageError(
            f"{location} is an inventory {what}",
            hint="configure it as CSV, of all versions, with the fields Size, LastModifiedDate "
            "and ETag",
        )
    created_at = datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1000, UTC)
    if created_at < oldest:
        raise StorageError(
            f"{location} is of {created_at:%Y-%m-%d %H:%M:%S}Z, which is too old to tell the "
            "state of the replica",
            hint="find out why S3 has delivered no newer one, or raise "
            "documents.replica_consistency.inventories.max_age",
        )
    files = tuple((one["key"], one["size"], one["MD5checksum"]) for one in manifest["files"])
    return Inventory(store, key, created_at, columns, files)


def sorted_versions(
    inventory: Inventory, scratch: Path, *, prefix: str = ""
) -> Iterator[ObjectVersion]:
    """All versions of an inventory in the order of a listing; the files are read at the first.

    :param scratch: a directory that is made; what it takes stays there until the caller removes it.
    :raises ObjectCorrupt: a file is not what the manifest says; no version was given then.
    :raises StorageError:
    """
    scratch.mkdir()
    all_rows = chain.from_iterable(_rows(inventory, file) for file in inventory.files)
    rows = (row for row in all_rows if row[0].startswith(prefix))
    with ExitStack() as leave:
        runs: list[Path] = []
        while run := sorted(islice(rows, RUN)):
            runs.append(_write(scratch / f"{len(runs)}", run))
            if len(runs) == FAN_IN:
                # Its name is free again: the first of the next runs is the second.
                merged = _write(scratch / "merged", heapq.merge(*(_read(path) for path in runs)))
                for path in runs:
                    path.unlink()
                runs = [merged.rename(scratch / "0")]
        for row in heapq.merge(*(leave.enter_context(_Closing(_read(path))) for path in runs)):
            yield _version(row)


class _Closing:
    """Ends a generator with a block, and with it the file that it reads."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows

    def __enter__(self) -> Iterator[Row]:
        return self._rows

    def __exit__(self, *problem: object) -> None:
        self._rows.close()  # type: ignore[attr-defined]


def _write(path: Path, rows: Iterable[Row]) -> Path:
    waiting = iter(rows)
    with path.open("w", encoding="ascii") as file:
        while part := list(islice(waiting, _ROWS_PER_LINE)):
            file.write(json.dumps(part))
            file.write("\n")
    return path


def _read(path: Path) -> Iterator[Row]:
    with path.open(encoding="ascii") as file:
        for line in file:
            for row in json.loads(line):
                yield tuple(row)


def _rows(inventory: Inventory, file: tuple[str, int, str]) -> Iterator[Row]:
    key, size, md5 = file
    body = _Body(inventory.store, key, size)
    names = inventory.columns
    with gzip.GzipFile(fileobj=io.BufferedReader(body)) as unpacked:
        for fields in csv.reader(io.TextIOWrapper(unpacked, "utf-8", newline="")):
            yield _row(dict(zip(names, fields, strict=True)))
    found = body.digest.hexdigest()
    if found != md5:
        raise _corrupt(inventory.store, key, found, md5)


def _row(told: dict[str, str]) -> Row:
    marker = told["IsDeleteMarker"] == "true"
    written = datetime.fromisoformat(told["LastModifiedDate"]).timestamp()
    return (
        unquote_plus(told["Key"]),
        told["IsLatest"] != "true",
        -written,
        told["VersionId"] or NULL_VERSION,
        0 if marker else int(told["Size"] or 0),
        "" if marker else told["ETag"].strip('"'),
        told.get("StorageClass") or "STANDARD",
        marker,
    )


def _version(row: Row) -> ObjectVersion:
    key, not_latest, minus_written, version_id, size, etag, storage_class, marker = row
    return ObjectVersion(
        key,
        version_id,
        datetime.fromtimestamp(-minus_written, UTC),
        size,
        etag,
        storage_class,
        not not_latest,
        marker,
    )


class _Body(io.RawIOBase):
    """An object's bytes as a file, range after range, hashed while they pass."""

    def __init__(self, store: Bucket, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._place = 0
        self._chunk = memoryview(b"")
        self.digest = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._chunk and self._place < self._size:
            self._chunk = memoryview(self._next())
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def _next(self) -> bytes:
        end = min(self._place + _RANGE, self._size)
        body = _whole(self._store, self._key, f"bytes={self._place}-{end - 1}")
        self.digest.update(body)
        self._place = end
        return body


def _whole(store: Bucket, key: str, span: str = "") -> bytes:
    ranged: dict[str, Any] = {"Range": span} if span else {}

    def fetch() -> bytes:
        return store.client.get_object(Bucket=store.name, Key=key, **ranged)["Body"].read()

    return store.ask("get", fetch, key=key)


def _corrupt(store: Bucket, key: str, found: str, told: str) -> ObjectCorrupt:
    return ObjectCorrupt(
        f"{store.location}/{key} is not what S3 wrote: MD5 {found}, recorded {told}",
        hint="nothing was compared; use the next inventory, and find out who writes there",
    )
