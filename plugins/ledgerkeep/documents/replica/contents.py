"""Contents of versions whose ETags cannot be compared: by checksum, by metadata, or by reading.

Multipart uploads and KMS give the same bytes different ETags. The store keeps other checksums,
which a HEAD request tells: the first kind that all versions in question have, of the whole object,
decides. Then comes the SHA-256 that an application put into the metadata; it is the application's
own word, and a copy carries it along, so it is named as what it is. Where there is neither, the
contents are read, up to a bound; beyond it the versions count as unclear, not as equal.
(AWS: S3 user guide, Checking object integrity; composite checksums depend on the parts.)
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ledgerkeep.documents.metadata.content import ContentReader
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.upload import SHA256_METADATA
from ledgerkeep.storage.versions import ObjectVersion

CHECKSUMS = {
    "ChecksumSHA256": "sha256",
    "ChecksumCRC64NVME": "crc64nvme",
    "ChecksumCRC32C": "crc32c",
    "ChecksumCRC32": "crc32",
    "ChecksumSHA1": "sha1",
}
_METADATA = "metadata sha256"
_READ = "content read"

Versions = list[ObjectVersion]


class Contents:
    """Tells whether contents of two buckets are the same; threads may share it."""

    def __init__(self, source: Bucket, replica: Bucket, *, read_limit: int) -> None:
        """Begin with nothing read.

        :param read_limit: bytes that are read of each side in all, at most.
        """
        self._buckets = {bucket.location: bucket for bucket in (source, replica)}
        self._sides = (source.location, replica.location)
        self._readers = {
            location: ContentReader(bucket, read_limit=read_limit)
            for location, bucket in self._buckets.items()
        }

    def settle(self, source: Versions, replica: Versions) -> tuple[Versions, Versions, str] | None:
        """The same versions with ETags that are equal for equal contents, and how that is known.

        None when some content cannot be known: too much was read already, or it lies in cold
        storage.

        :raises ObjectMissing: one of them is gone.
        :raises StorageError:
        """
        told = [
            [{} if one.is_delete_marker else self._told(location, one) for one in versions]
            for location, versions in zip(self._sides, (source, replica), strict=True)
        ]
        real = [evidence for side in told for evidence in side if evidence]
        contents = sum(not one.is_delete_marker for one in (*source, *replica))
        for kind in (*CHECKSUMS.values(), _METADATA):
            if sum(kind in evidence for evidence in real) == contents:
                mine, its = ([evidence.get(kind, "") for evidence in side] for side in told)
                how = kind if kind == _METADATA else f"checksum {kind}"
                return _with_etags(source, mine), _with_etags(replica, its), how
        return self._by_reading(source, replica)

    def same(self, one: ObjectVersion, other: ObjectVersion) -> tuple[bool | None, str]:
        """Whether a version and its copy have the same content (None: nobody knows), and how.

        :raises ObjectMissing: one of them is gone.
        :raises StorageError:
        """
        settled = self.settle([one], [other])
        if settled is None:
            return None, "unclear"
        (mine,), (its,), how = settled
        return mine.etag == its.etag, how

    def _told(self, location: str, version: ObjectVersion) -> dict[str, str]:
        bucket = self._buckets[location]
        answer = bucket.ask(
            "head",
            lambda: bucket.client.head_object(
                Bucket=bucket.name,
                Key=version.key,
                VersionId=version.version_id,
                ChecksumMode="ENABLED",
            ),
            key=version.key,
        )
        return evidence_of(answer)

    def _by_reading(
        self, source: Versions, replica: Versions
    ) -> tuple[Versions, Versions, str] | None:
        read: list[list[str]] = []
        for location, versions in zip(self._sides, (source, replica), strict=True):
            read.append([])
            for version in versions:
                marker = version.is_delete_marker
                sha256 = "" if marker else self._readers[location].content(version).sha256
                if sha256 is None:
                    return None
                read[-1].append(sha256)
        return _with_etags(source, read[0]), _with_etags(replica, read[1]), _READ


def _with_etags(versions: Versions, etags: list[str]) -> Versions:
    return [replace(one, etag=etag) for one, etag in zip(versions, etags, strict=True)]


def evidence_of(head: Mapping[str, Any]) -> dict[str, str]:
    """Kind of checksum → checksum of the whole content, as an answer to HEAD tells them."""
    found = {
        kind: head[name]
        for name, kind in CHECKSUMS.items()
        if head.get(name) and "-" not in head[name]
    }
    if head.get("ChecksumType") == "COMPOSITE":
        found = {}
    if claimed := head.get("Metadata", {}).get(SHA256_METADATA):
        found[_METADATA] = claimed.lower()
    return found
