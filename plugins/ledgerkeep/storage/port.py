"""The storage port: what the rest of Ledgerkeep may ask of an object store.

Obligations of every implementation:

- **Never overwrite.** `put` and `ObjectWriter.commit` create with `If-None-Match: *`. The same
  content under the same key is success; other content is `ObjectConflict` naming both hashes.
- **Hash in the same pass.** What is written returns its SHA-256; what is read with an expected
  hash is compared while it passes, and a difference is `ObjectCorrupt`.
- **Constant memory.** A writer or a reader holds a few parts, whatever the object's size.
- **Durable means acknowledged.** A call that returned may be built on; one that raised left
  nothing that can be seen under the key.
- Failures are the errors of `ledgerkeep.errors.StorageError`, never the client library's.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import Field

from ledgerkeep.model import Record, UtcDatetime

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StoredObject(Record):
    """One object as it was acknowledged by the store."""

    key: str
    size: int
    """Bytes as stored (after compression)."""
    sha256: Sha256
    """Of the bytes as stored."""


class Retention(Record):
    """An Object Lock retention."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    until: UtcDatetime


class ObjectHead(Record):
    """What a HEAD request tells."""

    key: str
    size: int
    modified_at: UtcDatetime
    metadata: dict[str, str] = {}
    retention: Retention | None = None
    legal_hold: bool = False
    """The store's own legal hold on the object, which has no end."""
    encryption: str | None = None
    storage_class: str = "STANDARD"


class ListedObject(Record):
    """One row of a listing."""

    key: str
    size: int
    modified_at: UtcDatetime
    etag: str = ""
    """The store's own mark of the content: another content has another mark."""


class ObjectWriter(Protocol):
    """A streaming upload. Nothing is visible under the key before `commit` has returned."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; blocks while all upload slots are busy (bounded memory)."""

    def commit(self) -> StoredObject:
        """Finish the object and wait until the store has acknowledged it.

        :raises ObjectConflict: the key is taken by different content.
        """


class ObjectStore(Protocol):
    """One bucket."""

    @property
    def location(self) -> str:
        """`s3://bucket`, for messages and records."""

    def check(self) -> None:
        """Fail early: the bucket exists and may be listed.

        :raises BucketMissing, StoreAccessDenied, StoreUnavailable:
        """

    def keeps_locks(self) -> bool:
        """Whether the bucket takes Object Lock retentions and holds to them.

        :raises StoreAccessDenied, StoreUnavailable:
        """

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> StoredObject:
        """Create a small object (up to one part) in one request.

        Its SHA-256 is also stored as metadata `sha256`.

        :raises ObjectConflict: the key is taken by different content.
        """

    def writer(
        self,
        key: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> AbstractContextManager[ObjectWriter]:
        """Open a streaming upload; leaving the block without `commit` aborts it."""

    def get(self, key: str, *, sha256: str | None = None) -> bytes:
        """A small object, whole.

        :param sha256: compared when given, otherwise with the metadata where that has one.
        :raises ObjectMissing, ObjectCorrupt:
        """

    def read(self, stored: StoredObject) -> Iterator[memoryview]:
        """Stream a large object in order, with ranged requests ahead, checking size and SHA-256.

        `ObjectCorrupt` may come only after the last chunk: act on the data when the iterator
        has ended, not before. Closing the iterator early cancels what is under way.
        """

    def head(self, key: str) -> ObjectHead | None:
        """The object's head, or None when there is no such object."""

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """Objects whose key starts with `prefix`, in key order, page by page."""

    def list_directories(self, prefix: str) -> Iterator[str]:
        """The next path components below `prefix` (which ends with `/`), in order."""

    def retain(self, key: str, retention: Retention) -> None:
        """Put an Object Lock retention on an existing object."""

    def delete_prefix(self, prefix: str, *, older_than: datetime | None = None) -> int:
        """Remove every version of every object below `prefix`; used to sweep interrupted work.

        Also aborts unfinished multipart uploads there. Objects under lock are left and not
        counted. Returns the number of versions removed.
        """
