"""Whether a bucket can be worked with: documents read whole, one written, one deleted.

A bucket that answers a HEAD may still refuse what the application does with it all day: its key
may be gone, its policy may deny writes, its objects may lie in another account's encryption. So
the test does what the application does, with the worker's identity, before the application is
switched over and after.

The document that is written lies below a name of our own and ends as a delete marker; nothing of
the application's is touched.
"""

import hashlib
from itertools import islice
from time import monotonic
from typing import Any

from ledgerkeep.errors import ObjectCorrupt, StorageError
from ledgerkeep.model import Record
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.upload import SHA256_METADATA
from ledgerkeep.storage.versions import ObjectVersion, list_versions

TEST_PREFIX = "ledgerkeep-access-test/"
"""Below the policy's prefix; holds delete markers and what they hide."""
_LOOKED_AT = 10_000
"""Versions of the listing among which the sample is taken."""


class AccessTest(Record):
    """What an access test did."""

    bucket: str
    read: int
    """Documents read whole."""
    read_bytes: int
    checked: int
    """Of those, the ones whose SHA-256 the store knew, and which have it."""
    seconds: float
    """For all of it, the written document included."""

    def describe(self) -> str:
        """For the log and the plan."""
        return (
            f"{self.bucket}: {self.read} documents read ({self.checked} with their SHA-256), "
            f"one written, read back and deleted, in {self.seconds:.1f} s"
        )


def try_access(bucket: Bucket, *, prefix: str, sample: int, run: str) -> AccessTest:
    """Read a sample of the documents, write one, read it back, delete it.

    :param prefix: of the documents' keys.
    :param run: makes the written document's name.
    :raises StorageError: whatever the application would have run into.
    """
    began = monotonic()
    documents = _sample(bucket, prefix, sample)
    if not documents:
        raise StorageError(
            f"{bucket.location} holds no document below {prefix!r}",
            hint="the application would find nothing there; was it ever replicated to?",
        )
    read = [_read(bucket, document) for document in documents]
    _write(bucket, f"{prefix}{TEST_PREFIX}{hashlib.sha256(run.encode()).hexdigest()[:16]}")
    return AccessTest(
        bucket=bucket.name,
        read=len(read),
        read_bytes=sum(document.size for document in documents),
        checked=sum(read),
        seconds=monotonic() - began,
    )


def _sample(bucket: Bucket, prefix: str, sample: int) -> list[ObjectVersion]:
    """Current documents, spread evenly over the first of them."""
    current = [
        version
        for version in islice(list_versions(bucket, prefix), _LOOKED_AT)
        if version.is_latest
        and not version.is_delete_marker
        and not version.key.startswith(f"{prefix}{TEST_PREFIX}")
    ]
    taken = min(sample, len(current))
    return [current[place * len(current) // taken] for place in range(taken)]


def _read(bucket: Bucket, document: ObjectVersion) -> bool:
    """Read it whole; whether there was a SHA-256 to compare it with."""
    body, recorded = _content(bucket, document.key, document.version_id)
    found = hashlib.sha256(body).hexdigest()
    if len(body) != document.size or (recorded and recorded != found):
        raise ObjectCorrupt(
            f"{bucket.location}/{document.key} is not what was written: {len(body)} bytes with "
            f"sha256 {found}, recorded {document.size} bytes with {recorded or 'none'}",
            hint="compare it with the other bucket before the application relies on this one",
        )
    return bool(recorded)


def _write(bucket: Bucket, key: str) -> None:
    body = key.encode()
    bucket.ask(
        "put",
        lambda: bucket.client.put_object(
            Bucket=bucket.name, Key=key, Body=body, **bucket.encryption
        ),
        key=key,
    )
    found, _ = _content(bucket, key)
    bucket.ask("delete", lambda: bucket.client.delete_object(Bucket=bucket.name, Key=key), key=key)
    if found != body:
        raise ObjectCorrupt(
            f"{bucket.location}/{key} reads otherwise than it was written",
            hint="do not switch the application over to this bucket",
        )


def _content(bucket: Bucket, key: str, version_id: str | None = None) -> tuple[bytes, str]:
    """The content, and its SHA-256 by the object's own metadata where that has one."""
    which: Any = {"VersionId": version_id} if version_id else {}

    def fetch() -> tuple[bytes, str]:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key, **which)
        return answer["Body"].read(), answer.get("Metadata", {}).get(SHA256_METADATA, "")

    return bucket.ask("get", fetch, key=key)
