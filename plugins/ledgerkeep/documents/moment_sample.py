"""A sample of the documents of a moment, restored into a place of its own and compared.

A manifest says which version each row needs; that it can be read, whole and right, is shown only
by reading it. A restore test takes a few at random, copies them into the backup bucket under a
prefix of the run (so nothing appears among the documents), reads them back and holds them against
the rows' SHA-256. The prefix is removed in the end, whatever happened.

Public: `restore_sample(bucket, catalog, check, *, run, count) -> SampleResult`,
`remove_sample(catalog, run)`.
"""

import hashlib
import random
from collections.abc import Iterable
from typing import Any

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.metadata.content import COLD_CLASSES, read_version
from ledgerkeep.documents.metadata.snapshot import read_lines
from ledgerkeep.documents.moment import MomentCheck
from ledgerkeep.errors import ProofMismatch
from ledgerkeep.model import Record
from ledgerkeep.progress import Progress, no_progress
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import StoredObject

_UNREADABLE = "unproven"


class SampleResult(Record):
    """What was restored and compared."""

    documents: int
    stored_bytes: int
    cold: int
    """Documents of the sample that lie in cold storage and were left out."""


def restore_sample(
    bucket: Bucket,
    catalog: Catalog,
    check: MomentCheck,
    *,
    run: str,
    count: int,
    progress: Progress = no_progress,
) -> SampleResult:
    """Restore documents chosen at random, and compare them byte for byte by their SHA-256.

    :param count: how many, at most.
    :raises ProofMismatch: one is not what its row says.
    :raises ObjectCorrupt: one was not stored as it was sent.
    :raises StorageError:
    """
    place = _place(catalog, run)
    # A task that is tried again starts over.
    catalog.store.delete_prefix(place)
    chosen = choose(read_lines(catalog.store, check.manifest), count, seed=run)
    done = cold = size = 0
    for number, (key, version_id, expected, sha256, *_) in enumerate(chosen):
        if _is_cold(bucket, key, version_id):
            cold += 1
            continue
        stored = _copied(bucket, catalog, key, version_id, expected, f"{place}{number:06d}")
        for _chunk in catalog.store.read(stored):
            pass  # reading compares what arrives with what was sent
        if stored.sha256 != sha256:
            raise ProofMismatch(
                f"{bucket.location}/{key} (version {version_id}) restores to the SHA-256 "
                f"{stored.sha256}, but its row says {sha256}",
                hint="the version's checksum was the store's or the application's word: read the "
                "object, and look for a version that has the row's content",
            )
        done, size = done + 1, size + stored.size
        progress(size, None, "documents restored")
    return SampleResult(documents=done, stored_bytes=size, cold=cold)


def remove_sample(catalog: Catalog, run: str) -> int:
    """Remove what a run restored; returns the number of objects."""
    return catalog.store.delete_prefix(_place(catalog, run))


def choose(lines: Iterable[Any], count: int, *, seed: str) -> list[Any]:
    """Some lines of a stream, each as likely as any other, in the stream's order.

    What has no proven content is no part of it. (Algorithm R: a reservoir of `count` lines.)
    """
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    kept: list[tuple[int, Any]] = []
    for number, line in enumerate(one for one in lines if one[4] != _UNREADABLE):
        if len(kept) < count:
            kept.append((number, line))
        elif (at := chance.randrange(number + 1)) < count:
            kept[at] = (number, line)
    return [line for _, line in sorted(kept, key=lambda one: one[0])]


def _place(catalog: Catalog, run: str) -> str:
    tag = hashlib.sha256(run.encode()).hexdigest()[:16]
    return keys.restored_copy(catalog.environment, tag)


def _is_cold(bucket: Bucket, key: str, version_id: str) -> bool:
    answer = bucket.ask(
        "head",
        lambda: bucket.client.head_object(Bucket=bucket.name, Key=key, VersionId=version_id),
        key=key,
    )
    return answer.get("StorageClass", "STANDARD") in COLD_CLASSES


def _copied(
    bucket: Bucket, catalog: Catalog, key: str, version_id: str, size: int, to: str
) -> StoredObject:
    with catalog.store.writer(to) as writer:
        for chunk in read_version(bucket, key, version_id, size):
            writer.write(chunk)
        return writer.commit()
