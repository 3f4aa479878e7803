"""Documents for a restore test: drawn at random, restored beside, read back byte for byte.

Any version of a document may be drawn, not only current ones: what was overwritten or deleted is
what a recovery is for. The copies go into the backup bucket, below a prefix that is only theirs:
no production key is written, and no replica takes the copies over. They are made by the same code
as every recovery, but never locked, so that they can be removed again, with all of their versions.
"""

import contextlib
import hashlib
import random
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.belongings import KEPT_HEADERS, tags_of
from ledgerkeep.documents.recovery.decide import COLD, PlannedKey
from ledgerkeep.documents.recovery.groups import in_groups
from ledgerkeep.documents.recovery.plan import (
    DocumentPlan,
    new_id,
    read_plan,
    shortened,
    write_plan,
)
from ledgerkeep.documents.recovery.request import DocumentRequest, Source, ToMoment
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.errors import BucketMissing, StoreUnavailable, TargetUnreachable
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import ObjectVersion, list_versions

_CHUNK = 1024 * 1024
_SHOWN = 5
_TOGETHER = 1_000
_COMPARED = ("Metadata", *KEPT_HEADERS)


@dataclass(frozen=True)
class Sample:
    """What was drawn."""

    versions: list[ObjectVersion]
    """One of each key, in the order of their keys."""
    documents: int
    """Keys that there are."""
    newest_at: datetime | None
    """When the newest version or delete marker was written."""


class Compared(Record):
    """Copies held against the versions that they were made from."""

    documents: int
    size: int
    """Bytes read on each side."""
    different: list[str] = []
    """The first few whose bytes differ."""
    different_count: int = 0
    altered: list[str] = []
    """The first few whose metadata, content type or tags differ."""
    altered_count: int = 0
    source_seconds: float
    """Spent reading the versions, of all threads together."""
    copy_seconds: float
    read_at: UtcDatetime

    @property
    def ratio(self) -> float:
        """Time to read the copies, divided by that of the originals."""
        return self.copy_seconds / self.source_seconds if self.source_seconds > 0 else 1.0


def draw(
    versions: Iterable[ObjectVersion], count: int, largest: int, dice: random.Random
) -> Sample:
    """Draw keys, and of each a version, all with the same chance; one pass, constant memory.

    :param largest: bytes; larger versions are not drawn, nor those in cold storage.
    """
    drawn: list[ObjectVersion] = []
    documents = able = 0
    newest: datetime | None = None
    for _, rows in groupby(versions, key=lambda one: one.key):
        documents += 1
        chosen, newest = _one_of(rows, largest, dice, newest)
        if chosen is None:
            continue
        able += 1
        if len(drawn) < count:
            drawn.append(chosen)
        elif (place := dice.randrange(able)) < count:
            drawn[place] = chosen
    drawn.sort(key=lambda one: one.key.encode())
    return Sample(drawn, documents, newest)


def plan_sample(
    catalog: Catalog,
    source: Bucket,
    backups: Bucket,
    *,
    prefix: str,
    count: int,
    largest: int,
    taken_from: Source,
    shares_identity: bool,
    dice: random.Random,
) -> tuple[DocumentPlan, Sample]:
    """Draw a sample and write down its recovery into a place of its own.

    :raises TargetUnreachable: there is nothing to draw from.
    :raises StorageError:
    """
    made_at = utc_now()
    sample = draw(list_versions(source, prefix), count, largest, dice)
    if not sample.versions:
        raise TargetUnreachable(
            f"{source.location} holds no document that could be restored",
            hint="a restore test draws from the documents below documents.prefix that are not in "
            "cold storage and not larger than its largest_mib",
        )
    made_id = new_id(made_at)
    route = Route(
        source, backups, keys.restored_copy(catalog.environment, made_id), shares_identity
    )
    request = DocumentRequest(
        keys=tuple(one.key for one in sample.versions),
        goal=ToMoment(at=made_at),
        source=taken_from,
    )
    plan = write_plan(
        catalog, request, route, map(_planned, sample.versions), made_at=made_at, made_id=made_id
    )
    return plan, sample


def seconds_behind(primary: Bucket, replica: Bucket, *, prefix: str) -> float:
    """How much would be lost if the primary were gone now: seconds of what was written last.

    None of it, when nothing in the primary is newer than the newest in the replica; otherwise, and
    when the primary does not answer, everything since that.

    :raises StorageError: the replica cannot be read.
    """
    arrived = _newest(replica, prefix)
    if arrived is None:
        return 0.0
    with contextlib.suppress(StoreUnavailable, BucketMissing):
        written = _newest(primary, prefix)
        if written is None or written <= arrived:
            return 0.0
    return max(0.0, (utc_now() - arrived).total_seconds())


def _newest(bucket: Bucket, prefix: str) -> datetime | None:
    return max((one.modified_at for one in list_versions(bucket, prefix)), default=None)


def compare(catalog: Catalog, plan: DocumentPlan, route: Route, *, concurrency: int) -> Compared:
    """Read every version and its copy, as the application reads it, and compare all of it.

    :raises ObjectMissing: a copy is not there.
    :raises StorageError:
    """
    _, planned = read_plan(catalog.store, plan)
    counted = _Counted()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="compare") as pool:
        for together in in_groups(planned, _TOGETHER):
            for one, pair in zip(
                together, pool.map(lambda one: _read_both(route, one), together), strict=True
            ):
                counted.take(one, *pair)
    return Compared(read_at=utc_now(), **counted.told())


@dataclass(frozen=True)
class _Read:
    sha256: str
    seconds: float
    belongings: dict[str, Any]


class _Counted:
    def __init__(self) -> None:
        self._documents = self._size = 0
        self._seconds = [0.0, 0.0]
        self._different: list[str] = []
        self._altered: list[str] = []

    def take(self, one: PlannedKey, version: _Read, copy: _Read) -> None:
        self._documents += 1
        self._size += one.size
        self._seconds[0] += version.seconds
        self._seconds[1] += copy.seconds
        if version.sha256 != copy.sha256:
            self._different.append(shortened(one.key))
        if version.belongings != copy.belongings:
            self._altered.append(shortened(one.key))

    def told(self) -> dict[str, Any]:
        return {
            "documents": self._documents,
            "size": self._size,
            "different": self._different[:_SHOWN],
            "different_count": len(self._different),
            "altered": self._altered[:_SHOWN],
            "altered_count": len(self._altered),
            "source_seconds": self._seconds[0],
            "copy_seconds": self._seconds[1],
        }


def _one_of(
    rows: Iterator[ObjectVersion], largest: int, dice: random.Random, newest: datetime | None
) -> tuple[ObjectVersion | None, datetime | None]:
    chosen, seen = None, 0
    for one in rows:
        newest = one.modified_at if newest is None else max(newest, one.modified_at)
        if one.is_delete_marker or one.size > largest or one.storage_class in COLD:
            continue
        seen += 1
        if dice.randrange(seen) == 0:
            chosen = one
    return chosen, newest


def _planned(one: ObjectVersion) -> PlannedKey:
    return PlannedKey(
        one.key,
        "copy",
        "drawn for a restore test",
        version_id=one.version_id,
        size=one.size,
        etag=one.etag,
        written_at=one.modified_at.isoformat(),
        storage_class=one.storage_class,
    )


def _read_both(route: Route, one: PlannedKey) -> tuple[_Read, _Read]:
    version = _read(route.source, one.key, one.version_id)
    return version, _read(route.destination, route.into + one.key, None)


def _read(bucket: Bucket, key: str, version_id: str | None) -> _Read:
    """The bytes and what belongs to them; without a version id what is current."""
    which = {} if version_id is None else {"VersionId": version_id}

    def read() -> tuple[str, Any]:
        digest = hashlib.sha256()
        answer = bucket.client.get_object(
            Bucket=bucket.name,
            Key=key,
            **which,  # type: ignore[arg-type]
        )
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            digest.update(chunk)
        return digest.hexdigest(), answer

    began = time.monotonic()
    sha256, answer = bucket.ask("get", read, key=key)
    seconds = time.monotonic() - began
    belongings = {name: answer[name] for name in _COMPARED if answer.get(name)}
    if answer.get("TagCount"):
        belongings["tags"] = tags_of(bucket, key, answer["VersionId"])
    return _Read(sha256, seconds, belongings)
