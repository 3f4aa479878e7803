"""That a copy is what its version was, and by what that is known.

What each proof shows:

    etag        both ETags are equal. An ETag is the MD5 of the bytes, or of the parts' MD5s; with
                a key of KMS it is neither, but then no two objects have the same. Equal ones are
                equal bytes, by MD5, as the store computed it when each was written.
    checksum    a checksum of the whole object that the store keeps of both is equal (SHA-256,
                CRC-64/NVME …): the bytes as the store took them when each was written.
    sha256      the bytes passed through the worker: their SHA-256 was made on the way, and the
                destination compared it (of large objects, the CRC-32C of each part) on arrival.
    read        nothing of these was there, so both were read back whole and their SHA-256 is equal.

The first two trust the store's own account of its content; `read` trusts nothing, and costs a
reading of both.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from ledgerkeep.documents.recovery.belongings import head_version
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.storage.bucket import Bucket

_CHUNK = 1024 * 1024
CHECKSUMS = (
    "ChecksumSHA256",
    "ChecksumCRC64NVME",
    "ChecksumSHA1",
    "ChecksumCRC32C",
    "ChecksumCRC32",
)
"""From the strongest to the weakest; the first that both have decides. (AWS: "Checking object
integrity".)"""


def prove(
    route: Route,
    key: str,
    *,
    version_id: str,
    copy_id: str,
    size: int,
    etag: str,
    copy_etag: str,
    copy_size: int,
) -> str:
    """How it is known that a copy is its version; empty: it is not.

    :raises ObjectMissing, StorageError: one of both cannot be looked at.
    """
    if size != copy_size:
        return ""
    if etag and etag == copy_etag:
        return "etag"
    version = head_version(route.source, key, version_id)
    copy = head_version(route.destination, route.into + key, copy_id)
    told = compare_checksums(version, copy)
    if told is not None:
        return told
    same = _sha256(route.source, key, version_id) == _sha256(
        route.destination, route.into + key, copy_id
    )
    return "read" if same else ""


def compare_checksums(version: Mapping[str, Any], copy: Mapping[str, Any]) -> str | None:
    """`checksum` or empty (they differ); None: no checksum of the whole is kept of both."""
    for name in CHECKSUMS:
        one, other = version.get(name), copy.get(name)
        # With a hyphen it is made of the parts' checksums, and says nothing across other parts.
        if one and other and "-" not in one and "-" not in other:
            return "checksum" if one == other else ""
    return None


def _sha256(bucket: Bucket, key: str, version_id: str) -> str:
    def read() -> str:
        digest = hashlib.sha256()
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key, VersionId=version_id)
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            digest.update(chunk)
        return digest.hexdigest()

    return bucket.ask("get", read, key=key)
