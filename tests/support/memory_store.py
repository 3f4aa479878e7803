"""An object store in memory, for tests that need none of S3's own behaviour.

It keeps the obligations of the port (the same contract tests run against it and the real store):
nothing is overwritten, a lock is a lock, a writer that is left without a commit leaves nothing.
`objects` may be reached into to damage what is stored.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from ledgerkeep.errors import ObjectConflict, ObjectCorrupt, ObjectMissing
from ledgerkeep.model import utc_now
from ledgerkeep.storage.port import ListedObject, ObjectHead, Retention, StoredObject

_CHUNK = 1024 * 1024


@dataclass
class MemoryObject:
    """What is kept of one object."""

    body: bytes
    metadata: dict[str, str]
    retention: Retention | None
    storage_class: str = "STANDARD"
    modified_at: datetime = field(default_factory=utc_now)


class MemoryStore:
    """An `ObjectStore` whose bucket is a dictionary."""

    def __init__(self, name: str = "memory", *, storage_class: str = "STANDARD") -> None:
        self.location = f"s3://{name}"
        self.storage_class = storage_class
        self.locking = True
        self.objects: dict[str, MemoryObject] = {}

    def check(self) -> None:
        """Always there."""

    def keeps_locks(self) -> bool:
        """See `ObjectStore`."""
        return self.locking

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> StoredObject:
        """See `ObjectStore`."""
        body = bytes(body)
        new = _hash(body)
        stored = StoredObject(key=key, size=len(body), sha256=new)
        about = {**(metadata or {}), "sha256": new}
        # In one step, so that of several threads exactly one creates the object.
        kept = self.objects.setdefault(
            key, MemoryObject(body, about, retention, self.storage_class)
        )
        found = _hash(kept.body)
        if found != new:
            raise ObjectConflict(
                f"{self.location}/{key} exists already with other content: "
                f"stored sha256 {found}, new sha256 {new}",
                hint="nothing was overwritten; find out which run wrote it before anything "
                "is removed",
            )
        return stored

    @contextmanager
    def writer(
        self,
        key: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> Iterator["MemoryWriter"]:
        """See `ObjectStore`."""
        yield MemoryWriter(self, key, metadata, retention)

    def get(self, key: str, *, sha256: str | None = None) -> bytes:
        """See `ObjectStore`."""
        found = self._find(key)
        self._compare(key, found.body, sha256 or found.metadata["sha256"])
        return found.body

    def read(self, stored: StoredObject) -> Iterator[memoryview]:
        """See `ObjectStore`."""
        body = self._find(stored.key).body
        if len(body) != stored.size:
            raise ObjectCorrupt(
                f"{self.location}/{stored.key} has {len(body)} bytes, {stored.size} were recorded",
                hint=_CORRUPT_HINT,
            )
        for start in range(0, len(body), _CHUNK):
            yield memoryview(body)[start : start + _CHUNK]
        self._compare(stored.key, body, stored.sha256)

    def head(self, key: str) -> ObjectHead | None:
        """See `ObjectStore`."""
        found = self.objects.get(key)
        if found is None:
            return None
        return ObjectHead(
            key=key,
            size=len(found.body),
            modified_at=found.modified_at,
            metadata=found.metadata,
            retention=found.retention,
            storage_class=found.storage_class,
        )

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore`."""
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > start_after:
                found = self.objects[key]
                yield ListedObject(
                    key=key,
                    size=len(found.body),
                    modified_at=found.modified_at,
                    etag=_hash(found.body),
                )

    def list_directories(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore`."""
        below = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        yield from sorted({rest.split("/", 1)[0] for rest in below if "/" in rest})

    def retain(self, key: str, retention: Retention) -> None:
        """See `ObjectStore`."""
        self._find(key).retention = retention

    def delete_prefix(self, prefix: str, *, older_than: datetime | None = None) -> int:
        """See `ObjectStore`."""
        gone = [
            key
            for key, found in self.objects.items()
            if key.startswith(prefix)
            and (older_than is None or found.modified_at < older_than)
            and (found.retention is None or found.retention.until <= utc_now())
        ]
        for key in gone:
            del self.objects[key]
        return len(gone)

    def _find(self, key: str) -> MemoryObject:
        if key not in self.objects:
            raise ObjectMissing(
                f"{self.location}/{key} does not exist",
                hint="was it deleted, or does the policy name another bucket? "
                "with versioning an earlier version can be restored",
            )
        return self.objects[key]

    def _compare(self, key: str, body: bytes, recorded: str) -> None:
        found = _hash(body)
        if found != recorded:
            raise ObjectCorrupt(
                f"{self.location}/{key} is not what was written: "
                f"sha256 {found}, recorded {recorded}",
                hint=_CORRUPT_HINT,
            )


_CORRUPT_HINT = (
    "do not restore from it: use another recovery point, or an earlier version of the object"
)


class MemoryWriter:
    """An `ObjectWriter` that puts what it took when it is committed."""

    def __init__(
        self,
        store: MemoryStore,
        key: str,
        metadata: Mapping[str, str] | None,
        retention: Retention | None,
    ) -> None:
        self._store = store
        self._key = key
        self._metadata = metadata
        self._retention = retention
        self._body = bytearray()

    def write(self, chunk: bytes | memoryview) -> None:
        """See `ObjectWriter`."""
        self._body += chunk

    def commit(self) -> StoredObject:
        """See `ObjectWriter`."""
        return self._store.put(
            self._key, bytes(self._body), metadata=self._metadata, retention=self._retention
        )


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
