"""The object store port over S3 and what is compatible with it.

This module is the table of contents: each obligation of the port is kept by the module it is
handed to (`upload`, `download`, `sweep`), and every request passes through `Bucket.ask`.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.bucket import IMPATIENT, Bucket
from ledgerkeep.storage.download import get_object, read_object
from ledgerkeep.storage.failures import CORRUPT_HINT
from ledgerkeep.storage.listing import list_objects
from ledgerkeep.storage.port import (
    ListedObject,
    ObjectHead,
    ObjectWriter,
    Retention,
    StoredObject,
)
from ledgerkeep.storage.sweep import delete_prefix
from ledgerkeep.storage.upload import SHA256_METADATA, Upload, creation_parameters, put_object


class S3Store:
    """An `ObjectStore` on one S3 bucket; made by `open_store`. Threads may share it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @property
    def location(self) -> str:
        """`s3://bucket`."""
        return self._bucket.location

    def check(self) -> None:
        """Fail early; see `ObjectStore`. Does not wait as long as work under way does."""
        self._bucket.ask(
            "list",
            lambda: self._bucket.client.list_objects_v2(Bucket=self._bucket.name, MaxKeys=1),
            patience=min(self._bucket.patience, IMPATIENT),
        )

    def keeps_locks(self) -> bool:
        """Whether the bucket takes Object Lock retentions; see `ObjectStore`."""
        return self._bucket.keeps_locks()

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> StoredObject:
        """Create a small object; see `ObjectStore`."""
        about = creation_parameters(metadata, retention, content_type)
        return put_object(self._bucket, key, bytes(body), about)

    def writer(
        self,
        key: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> AbstractContextManager[ObjectWriter]:
        """Open a streaming upload; see `ObjectStore`."""
        return Upload(self._bucket, key, creation_parameters(metadata, retention, content_type))

    def get(self, key: str, *, sha256: str | None = None) -> bytes:
        """A small object, whole; see `ObjectStore`."""
        body, metadata = get_object(self._bucket, key)
        expected = sha256 or metadata.get(SHA256_METADATA)
        found = hashlib.sha256(body).hexdigest()
        if expected is not None and found != expected:
            raise ObjectCorrupt(
                f"{self.location}/{key} is not what was written: "
                f"sha256 {found}, recorded {expected}",
                hint=CORRUPT_HINT,
            )
        return body

    def read(self, stored: StoredObject) -> Iterator[memoryview]:
        """Stream a large object; see `ObjectStore`."""
        return read_object(self._bucket, stored)

    def head(self, key: str) -> ObjectHead | None:
        """The object's head, or None; see `ObjectStore`."""
        return self._bucket.head(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """Objects below a prefix in key order; see `ObjectStore`."""
        return list_objects(self._bucket, prefix, start_after)

    def list_directories(self, prefix: str) -> Iterator[str]:
        """The next path components below a prefix; see `ObjectStore`."""
        token: dict[str, str] = {}
        while True:
            page = self._bucket.ask(
                "list",
                lambda token=token: self._bucket.client.list_objects_v2(  # type: ignore[misc]
                    Bucket=self._bucket.name, Prefix=prefix, Delimiter="/", **token
                ),
            )
            for row in page.get("CommonPrefixes", []):
                yield row["Prefix"].removeprefix(prefix).removesuffix("/")
            if not page["IsTruncated"]:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def retain(self, key: str, retention: Retention) -> None:
        """Put an Object Lock retention on an existing object; see `ObjectStore`."""
        self._bucket.ask(
            "retain",
            lambda: self._bucket.client.put_object_retention(
                Bucket=self._bucket.name,
                Key=key,
                Retention={"Mode": retention.mode, "RetainUntilDate": retention.until},
            ),
            key=key,
        )

    def delete_prefix(self, prefix: str, *, older_than: datetime | None = None) -> int:
        """Remove every version below a prefix; see `ObjectStore`."""
        return delete_prefix(self._bucket, prefix, older_than)
