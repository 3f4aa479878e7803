"""What an object holds, told by its SHA-256: by the store where it knows, else by reading it.

A listing tells no SHA-256. The store keeps one for what was uploaded with it (checked on arrival),
and the application may have put one into the metadata `sha256` (its own word, which nobody
checked). Where there is neither, only reading shows what is there, and reading terabytes every day
is nobody's wish: so it is bounded per run, and what the bound left out is counted, not passed over.

Public: `ContentReader(bucket, read_limit=…).content(version) -> Content`, `is_sha256(text)`.
"""

import base64
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.upload import SHA256_METADATA
from ledgerkeep.storage.versions import ObjectVersion

How = Literal["store", "metadata", "read", "limit", "cold"]
"""store, metadata: told by it; read: hashed here; limit, cold: not known, since too much was read
already, or since the object lies in cold storage."""

COLD_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes that nothing is read from without asking days before."""
_RANGE = 8 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of one version's content."""

    sha256: str | None
    """Hexadecimal; None: not known, for the reason that `how` gives."""
    how: How


def is_sha256(text: str | None) -> bool:
    """Whether it is a SHA-256 in hexadecimal, in lower case."""
    return text is not None and _SHA256.fullmatch(text) is not None


class ContentReader:
    """Tells contents of versions in one bucket; threads may share it."""

    def __init__(self, bucket: Bucket, *, read_limit: int) -> None:
        """Begin with nothing read.

        :param read_limit: bytes that are read in all, at most, to hash what no store tells.
        """
        self.bucket = bucket
        self._left = read_limit
        self._lock = threading.Lock()
        self.read_bytes = 0

    def content(self, version: ObjectVersion) -> Content:
        """What one version holds.

        :raises ObjectMissing: it is gone.
        :raises StorageError:
        """
        told = self._told(version)
        if told.sha256 is not None:
            return told
        if version.storage_class in COLD_CLASSES:
            return Content(None, "cold")
        if not self._may_read(version.size):
            return Content(None, "limit")
        return Content(self._read(version), "read")

    def _told(self, version: ObjectVersion) -> Content:
        answer = self.bucket.ask(
            "head",
            lambda: self.bucket.client.head_object(
                Bucket=self.bucket.name,
                Key=version.key,
                VersionId=version.version_id,
                ChecksumMode="ENABLED",
            ),
            key=version.key,
        )
        by_store = _of_the_whole(answer)
        if by_store is not None:
            return Content(by_store, "store")
        by_metadata = answer.get("Metadata", {}).get(SHA256_METADATA, "").lower()
        return Content(by_metadata if is_sha256(by_metadata) else None, "metadata")

    def _may_read(self, size: int) -> bool:
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            self.read_bytes += size
            return True

    def _read(self, version: ObjectVersion) -> str:
        digest = hashlib.sha256()
        for chunk in read_version(self.bucket, version.key, version.version_id, version.size):
            digest.update(chunk)
        return digest.hexdigest()


def read_version(bucket: Bucket, key: str, version_id: str, size: int) -> Iterator[bytes]:
    """The bytes of one version, a range at a time.

    :raises ObjectMissing, StorageError:
    """
    for start in range(0, size, _RANGE):
        yield _range(bucket, key, version_id, start, min(start + _RANGE, size))


def _range(bucket: Bucket, key: str, version_id: str, start: int, end: int) -> bytes:
    def fetch() -> bytes:
        answer = bucket.client.get_object(
            Bucket=bucket.name, Key=key, VersionId=version_id, Range=f"bytes={start}-{end - 1}"
        )
        return answer["Body"].read()

    return bucket.ask("get", fetch, key=key)


def _of_the_whole(answer: Mapping[str, Any]) -> str | None:
    """The store's SHA-256 of the whole object; that of a multipart upload is one of checksums."""
    told = answer.get("ChecksumSHA256", "")
    if not told or "-" in told or answer.get("ChecksumType") == "COMPOSITE":
        return None
    return base64.b64decode(told).hex()
