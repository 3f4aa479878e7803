"""Creating objects: in one request when they fit in one part, in parts otherwise.

Whatever the way, the object appears at once, whole, and only if its key was free. The SHA-256 of
the whole is made while the bytes pass; each part also carries its CRC-32C, which the store checks
on arrival (AWS asks for such a checksum on anything under Object Lock, and it makes the costly
signature over the body unnecessary).

A part that was lost on the way is sent again; a commit whose answer was lost finds its own object
in its place, sees that the content is the same, and is content.
"""

import base64
import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from crc32c import crc32c

from ledgerkeep.errors import ObjectConflict, ObjectMissing, StorageError, StoreUnavailable
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.download import hash_object
from ledgerkeep.storage.port import Retention, StoredObject

SHA256_METADATA = "sha256"
_EVEN_PARTS = 1_000
_GROWTH = 160 * 1024


def part_size(number: int, base: int) -> int:
    """Bytes of part `number` (from 1): the first thousand equal, then growing evenly.

    S3 takes 10,000 parts per object; with this growth they hold more than 5 TiB from the smallest
    base of 5 MiB on, without the size being known beforehand.
    (AWS: Amazon S3 multipart upload limits.)
    """
    return base + max(0, number - _EVEN_PARTS) * _GROWTH


def creation_parameters(
    metadata: Mapping[str, str] | None, retention: Retention | None, content_type: str
) -> dict[str, Any]:
    """What a request that creates an object says about it."""
    parameters: dict[str, Any] = {"Metadata": dict(metadata or {}), "ContentType": content_type}
    if retention is not None:
        parameters["ObjectLockMode"] = retention.mode
        parameters["ObjectLockRetainUntilDate"] = retention.until
    return parameters


def put_object(bucket: Bucket, key: str, body: bytes, about: dict[str, Any]) -> StoredObject:
    """Create an object in one request; its SHA-256 goes into its metadata.

    :raises ObjectConflict: the key is taken by different content.
    """
    digest = hashlib.sha256(body)
    stored = StoredObject(key=key, size=len(body), sha256=digest.hexdigest())
    about = {**about, "Metadata": {**about["Metadata"], SHA256_METADATA: stored.sha256}}
    try:
        bucket.ask(
            "put",
            lambda: bucket.client.put_object(
                Bucket=bucket.name,
                Key=key,
                Body=body,
                IfNoneMatch="*",
                # Named as well as given: under Object Lock the store asks for the name.
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                **about,
                **bucket.creation,
            ),
            key=key,
        )
    except ObjectConflict:
        compare_with_stored(bucket, stored)
    return stored


def compare_with_stored(bucket: Bucket, wanted: StoredObject) -> None:
    """Accept the object that has the key already, if its content is what was to be written.

    :raises ObjectConflict: it is not; both hashes are named.
    """
    found = stored_sha256(bucket, wanted.key)
    if found is None:
        raise StoreUnavailable(
            f"the upload of {bucket.location}/{wanted.key} is gone and left no object",
            hint="a sweep or a lifecycle rule aborted it, or somebody deleted the object; "
            "run again",
        )
    if found != wanted.sha256:
        raise ObjectConflict(
            f"{bucket.location}/{wanted.key} exists already with other content: "
            f"stored sha256 {found}, new sha256 {wanted.sha256}",
            hint="nothing was overwritten; find out which run wrote it before anything is removed",
        )


def stored_sha256(bucket: Bucket, key: str) -> str | None:
    """The SHA-256 of a stored object: from its metadata, else by reading it; None when missing."""
    head = bucket.head(key)
    if head is None:
        return None
    return head.metadata.get(SHA256_METADATA) or hash_object(bucket, key, head.size)


class Upload:
    """An `ObjectWriter` over a multipart upload, which begins when the first part is full."""

    def __init__(self, bucket: Bucket, key: str, about: dict[str, Any]) -> None:
        self._bucket = bucket
        self._key = key
        self._about = about
        self._digest = hashlib.sha256()
        self._size = 0
        self._pieces: list[memoryview] = []
        self._gathered = 0
        self._upload_id: str | None = None
        self._parts: list[Future[dict[str, Any]]] = []
        self._slots = threading.BoundedSemaphore(bucket.concurrency)
        self._stop = threading.Event()
        self._failure: StorageError | None = None
        self._pool = ThreadPoolExecutor(bucket.concurrency, thread_name_prefix="upload")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        # A part that arrives after the abort would stay behind, so those under way end first.
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._upload_id is not None:
            self._bucket.abort_upload(self._key, self._upload_id)

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; see `ObjectWriter`."""
        self._raise_failure()
        rest = memoryview(chunk).cast("B")
        if not rest.readonly:
            # It is kept until its part is full, and its owner may write into it meanwhile.
            rest = memoryview(bytes(rest))
        self._digest.update(rest)
        self._size += len(rest)
        while len(rest):
            room = part_size(len(self._parts) + 1, self._bucket.part_size) - self._gathered
            self._pieces.append(rest[:room])
            self._gathered += len(self._pieces[-1])
            rest = rest[room:]
            # A full part is sent only when more follows: an object of one part needs no upload.
            if len(rest):
                self._send_part()

    def commit(self) -> StoredObject:
        """Finish the object; see `ObjectWriter`."""
        if self._upload_id is None:
            return put_object(self._bucket, self._key, self._part(), self._about)
        self._send_part()
        parts = [part.result() for part in self._parts]
        stored = StoredObject(key=self._key, size=self._size, sha256=self._digest.hexdigest())
        self._complete(parts, stored)
        return stored

    def _send_part(self) -> None:
        if self._upload_id is None:
            self._upload_id = self._begin()
        self._slots.acquire()
        self._raise_failure()
        number = len(self._parts) + 1
        self._parts.append(
            self._pool.submit(self._upload_part, self._upload_id, number, self._part())
        )

    def _part(self) -> bytes:
        part = b"".join(self._pieces)
        self._pieces, self._gathered = [], 0
        return part

    def _begin(self) -> str:
        answer = self._bucket.ask(
            "put",
            lambda: self._bucket.client.create_multipart_upload(
                Bucket=self._bucket.name,
                Key=self._key,
                ChecksumAlgorithm="CRC32C",
                **self._about,
                **self._bucket.creation,
            ),
            key=self._key,
        )
        return answer["UploadId"]

    def _upload_part(self, upload_id: str, number: int, body: bytes) -> dict[str, Any]:
        try:
            checksum = base64.b64encode(crc32c(body).to_bytes(4, "big")).decode()
            answer = self._bucket.ask(
                "put",
                lambda: self._bucket.client.upload_part(
                    Bucket=self._bucket.name,
                    Key=self._key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=body,
                    ChecksumCRC32C=checksum,
                ),
                key=self._key,
                stop=self._stop,
            )
        except StorageError as problem:
            self._failure = problem
            raise
        finally:
            self._slots.release()
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        # A store that knows no checksums returns none, and must not be told one at the end.
        if "ChecksumCRC32C" in answer:
            part["ChecksumCRC32C"] = answer["ChecksumCRC32C"]
        return part

    def _complete(self, parts: list[dict[str, Any]], stored: StoredObject) -> None:
        try:
            self._bucket.ask(
                "put",
                lambda: self._bucket.client.complete_multipart_upload(
                    Bucket=self._bucket.name,
                    Key=self._key,
                    UploadId=self._upload_id or "",
                    MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
                    IfNoneMatch="*",
                ),
                key=self._key,
            )
        except (ObjectConflict, ObjectMissing):
            compare_with_stored(self._bucket, stored)
        else:
            self._upload_id = None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
