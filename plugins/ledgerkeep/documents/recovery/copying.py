"""One version over its key, with everything that belongs to it.

Three ways, by where the bytes are and how many:

- The store copies in one request: headers, metadata and tags come along.
- Above 5 GB it copies in parts, named by ranges of the version; what belongs to the object is
  read first and given to the new one.
- Between two stores the worker reads and writes: hashed while it passes, held against the
  source's MD5 where its ETag is one, and sent with a checksum that the destination verifies.

Each copy says what may be there before it, by `If-Match` and `If-None-Match`: if somebody has
written meanwhile, the store refuses and nothing is hidden. The same condition makes it safe to ask
again when an answer was lost. (AWS: "Conditional writes"; CopyObject limits.)
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from crc32c import crc32c

from ledgerkeep.documents.recovery.belongings import (
    described,
    head_version,
    lock_of,
    protection,
    tags_of,
)
from ledgerkeep.documents.recovery.decide import PlannedKey, is_gone
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.recovery.within import copy_within
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.failures import CORRUPT_HINT
from ledgerkeep.storage.versions import NULL_VERSION, ObjectVersion

LARGEST_COPY = 5 * 1024**3
"""Bytes that one CopyObject may copy. (AWS: Amazon S3 limits.)"""
_MOST_PARTS = 10_000
_PART = 512 * 1024**2
_MD5_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Copied:
    """A version that was made current."""

    version_id: str
    """Of the copy."""
    etag: str
    sha256: str = ""
    """Of the bytes that went through the worker; empty: the store copied by itself."""


@dataclass(frozen=True)
class Copier:
    """Copies versions along one route; threads may share it."""

    route: Route
    asks_head: bool
    """See `belongings.needs_head`."""
    locks: bool = True
    """Whether a copy is locked as its version is."""
    largest_copy: int = LARGEST_COPY
    part: int = _PART
    """Bytes of a part of a copy in parts, at least 5 MiB."""

    def copy(self, one: PlannedKey, now: ObjectVersion | None) -> Copied:
        """Make a version current.

        :param now: what is current at the destination; if it is not any more, nothing is done.
        :raises ObjectConflict: somebody has written meanwhile.
        :raises ObjectMissing, ObjectCorrupt, StorageError:
        """
        on = condition(now)
        if not self.route.copied_by_store:
            return self._through_worker(one, on)
        if one.size > self.largest_copy:
            return self._in_parts(one, on)
        return self._at_once(one, on)

    def _at_once(self, one: PlannedKey, on: Mapping[str, str]) -> Copied:
        route, key = self.route, self.route.into + one.key
        head = head_version(route.source, one.key, one.version_id) if self.asks_head else None
        if head is not None and not self.locks and lock_of(head):
            # SeaweedFS copies the lock along, asked or not.
            return self._through_worker(one, on)
        parameters = {**on, **protection(head, route.destination, locks=self.locks)}
        return Copied(*copy_within(route.destination, key, self._named(one), parameters))

    def _in_parts(self, one: PlannedKey, on: Mapping[str, str]) -> Copied:
        head = head_version(self.route.source, one.key, one.version_id)

        destination, key = self.route.destination, self.route.into + one.key

        def part(upload_id: str, number: int, start: int, end: int) -> dict[str, Any]:
            answer = destination.ask(
                "copy",
                lambda: destination.client.upload_part_copy(
                    Bucket=destination.name,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    CopySource=self._named(one),  # type: ignore[arg-type]
                    CopySourceRange=f"bytes={start}-{end - 1}",
                ),
                key=key,
            )
            return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

        size = max(self.part, -(-one.size // _MOST_PARTS))
        about = described(head, tags_of(self.route.source, one.key, one.version_id))
        sending = _Sending(part, size, destination.concurrency)
        return self._upload(one, about, head, on, sending)

    def _through_worker(self, one: PlannedKey, on: Mapping[str, str]) -> Copied:
        if one.size <= self.route.destination.part_size:
            return self._put(one, on)
        return self._send_parts(one, on)

    def _put(self, one: PlannedKey, on: Mapping[str, str]) -> Copied:
        destination, key = self.route.destination, self.route.into + one.key
        body, head = self._read(one)
        digest = hashlib.sha256(body)
        md5 = hashlib.md5(body)  # noqa: S324 - the store's own mark
        check_read(self.route.source.location, one, head, md5=md5.digest(), sha256=digest.digest())
        tags = tags_of(self.route.source, one.key, one.version_id) if head.get("TagCount") else {}
        answer = destination.ask(
            "put",
            lambda: destination.client.put_object(
                Bucket=destination.name,
                Key=key,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                **on,  # type: ignore[arg-type]
                **described(head, tags),
                **protection(head, destination, locks=self.locks),
            ),
            key=key,
        )
        return Copied(
            answer.get("VersionId", NULL_VERSION), _plain(answer["ETag"]), digest.hexdigest()
        )

    def _send_parts(self, one: PlannedKey, on: Mapping[str, str]) -> Copied:
        destination, key = self.route.destination, self.route.into + one.key
        head = head_version(self.route.source, one.key, one.version_id)
        whole, md5 = hashlib.sha256(), hashlib.md5()  # noqa: S324 - the store's own mark

        def part(upload_id: str, number: int, start: int, end: int) -> dict[str, Any]:
            body, _ = self._read(one, start, end)
            whole.update(body)
            md5.update(body)
            if end == one.size:
                check_read(
                    self.route.source.location,
                    one,
                    head,
                    md5=md5.digest(),
                    sha256=whole.digest(),
                )
            answer = destination.ask(
                "put",
                lambda: destination.client.upload_part(
                    Bucket=destination.name,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=body,
                    ChecksumCRC32C=base64.b64encode(crc32c(body).to_bytes(4, "big")).decode(),
                ),
                key=key,
            )
            sent = {"PartNumber": number, "ETag": answer["ETag"]}
            # A store that knows no checksums returns none, and must not be told one at the end.
            if "ChecksumCRC32C" in answer:
                sent["ChecksumCRC32C"] = answer["ChecksumCRC32C"]
            return sent

        size = max(destination.part_size, -(-one.size // _MOST_PARTS))
        about = described(head, tags_of(self.route.source, one.key, one.version_id))
        about["ChecksumAlgorithm"] = "CRC32C"
        # One after the other: their hash is that of the whole. Others are copied meanwhile.
        copied = self._upload(one, about, head, on, _Sending(part, size, 1))
        return replace(copied, sha256=whole.hexdigest())

    def _upload(
        self,
        one: PlannedKey,
        about: Mapping[str, Any],
        head: Mapping[str, Any],
        on: Mapping[str, str],
        sending: "_Sending",
    ) -> Copied:
        """A multipart upload; it leaves nothing when it fails."""
        destination, key = self.route.destination, self.route.into + one.key
        begun = destination.ask(
            "put",
            lambda: destination.client.create_multipart_upload(
                Bucket=destination.name,
                Key=key,
                **about,
                **protection(head, destination, locks=self.locks),
            ),
            key=key,
        )
        upload_id = begun["UploadId"]
        try:
            parts = sending.send(upload_id, one.size)
            answer = destination.ask(
                "put",
                lambda: destination.client.complete_multipart_upload(
                    Bucket=destination.name,
                    Key=key,
                    UploadId=upload_id,
                    MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
                    **on,  # type: ignore[arg-type]
                ),
                key=key,
            )
        except BaseException:
            destination.abort_upload(key, upload_id)
            raise
        return Copied(answer.get("VersionId", NULL_VERSION), _plain(answer["ETag"]))

    def _named(self, one: PlannedKey) -> dict[str, str]:
        return {"Bucket": self.route.source.name, "Key": one.key, "VersionId": one.version_id}

    def _read(
        self, one: PlannedKey, start: int = 0, end: int | None = None
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Bytes of the version, and what the store says about it with them."""
        source, end = self.route.source, one.size if end is None else end
        # An empty object has no first byte that could be asked for.
        ranged = {"Range": f"bytes={start}-{end - 1}"} if end - start < one.size else {}

        def fetch() -> tuple[bytes, Mapping[str, Any]]:
            answer = source.client.get_object(
                Bucket=source.name,
                Key=one.key,
                VersionId=one.version_id,
                ChecksumMode="ENABLED",
                **ranged,  # type: ignore[arg-type]
            )
            return answer["Body"].read(), answer

        body, answer = source.ask("get", fetch, key=one.key)
        if len(body) != end - start:
            raise ObjectCorrupt(
                f"{source.location}/{one.key} gave {len(body)} bytes where {end - start} "
                "were asked for",
                hint=CORRUPT_HINT,
            )
        return body, answer


@dataclass(frozen=True)
class _Sending:
    """How the parts of an upload are sent."""

    part: Callable[[str, int, int, int], dict[str, Any]]
    """Sends one: upload id, number from 1, first byte, the byte behind the last."""
    size: int
    at_once: int

    def send(self, upload_id: str, total: int) -> list[dict[str, Any]]:
        """Send all of them, and tell what the store said of each."""
        starts = range(0, total, self.size)
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="parts") as pool:
            under_way = [
                pool.submit(self.part, upload_id, number, start, min(start + self.size, total))
                for number, start in enumerate(starts, 1)
            ]
            try:
                return [one.result() for one in under_way]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def condition(now: ObjectVersion | None) -> dict[str, str]:
    """Create only over what was seen: a delete marker counts as nothing."""
    if now is None or is_gone(now) or not now.etag:
        return {"IfNoneMatch": "*"}
    return {"IfMatch": f'"{now.etag}"'}


def check_read(
    location: str, one: PlannedKey, head: Mapping[str, Any], *, md5: bytes, sha256: bytes
) -> None:
    """Hold what was read against what the source knows of it: SHA-256, or an ETag that is an MD5.

    With a key of KMS the ETag looks like an MD5 and is none.

    :raises ObjectCorrupt:
    """
    known = {"SHA-256": (_sha256_of(head), sha256.hex())}
    if len(one.etag) == _MD5_LENGTH and "kms" not in head.get("ServerSideEncryption", ""):
        known["MD5"] = (one.etag, md5.hex())
    for name, (recorded, found) in known.items():
        if recorded and recorded != found:
            raise ObjectCorrupt(
                f"{location}/{one.key} is not what was written: "
                f"{name} {found}, recorded {recorded}",
                hint=CORRUPT_HINT,
            )


def _sha256_of(head: Mapping[str, Any]) -> str:
    """Of the whole object, in hexadecimal; empty where the store has none."""
    told = head.get("ChecksumSHA256", "")
    # With a hyphen it is made of the parts' checksums.
    return "" if not told or "-" in told else base64.b64decode(told).hex()


def _plain(etag: str) -> str:
    return etag.strip('"')
