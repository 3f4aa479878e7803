"""The index: a copy of many records in one object, so that reading them takes one request.

Records never change, so a copy is as good as the original as long as the original is there. The
index is a cache and never the truth: whoever reads the catalog lists what is there first, and uses
a copy only for a record that is listed with the same key, size, time and mark of content as when
it was copied. So a record that is gone is gone, a new one is read where it lies, and no index,
whether old, damaged or missing, can make a recovery point appear or hide one.

An index is named by the SHA-256 of its bytes and never overwritten; the newest one counts. Only
`refresh_indexes` writes, after retention; two writers at the same time leave two indexes, of which
either will do. The one before the newest stays for whoever is about to read it.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkeep.catalog import keys
from ledgerkeep.errors import ObjectCorrupt, ObjectMissing
from ledgerkeep.storage.port import ListedObject, ObjectStore

if TYPE_CHECKING:
    from ledgerkeep.catalog.catalog import Catalog

WORTH_IT = 200
"""Records of a kind below which they are read one by one: that takes a second or two."""
_FIRST_LINE = b"ledgerkeep catalog index 1"
_LEVEL = 9

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """A record's bytes, and how it was listed when they were read."""

    size: int
    modified_at: str
    etag: str
    body: bytes

    @classmethod
    def of(cls, listed: ListedObject, body: bytes) -> "Copy":
        """A copy of what was listed."""
        return cls(listed.size, listed.modified_at.isoformat(), listed.etag, body)

    def is_of(self, listed: ListedObject) -> bool:
        """Whether this is a copy of what is listed now."""
        return (
            self.size == listed.size == len(self.body)
            and self.etag == listed.etag
            and self.modified_at == listed.modified_at.isoformat()
        )


Index = Mapping[str, Copy]
"""Key of a record → its copy."""


def load_index(store: ObjectStore, prefix: str) -> Index:
    """The newest index below a prefix that can be read; empty when there is none.

    :raises StorageError: the store does not answer.
    """
    found = sorted(store.list(prefix), key=lambda listed: listed.modified_at, reverse=True)
    for listed in found:
        digest = listed.key.removeprefix(prefix).partition(".")[0]
        try:
            return decode(store.get(listed.key, sha256=digest), listed.key)
        except (ObjectCorrupt, ObjectMissing) as problem:
            logger.warning("an index of the catalog is of no use: %s", problem.message)
    return {}


def refresh_indexes(catalog: "Catalog", system_identifier: str) -> None:
    """Bring the indexes of a cluster up to what is stored, and remove those that are outdated.

    :raises StorageError: the store failed; whatever there is of an index is still good.
    """
    for kind in keys.INDEXED:
        prefix = keys.indexes(catalog.environment, system_identifier, kind)
        earlier = sorted(catalog.store.list(prefix), key=lambda listed: listed.modified_at)
        copies = catalog.copies(system_identifier, kind)
        written = _write(catalog.store, prefix, copies) if len(copies) >= WORTH_IT else None
        outdated = [listed.key for listed in earlier if listed.key != written]
        for key in outdated[:-1] if written else outdated:
            catalog.store.delete_prefix(key)


def _write(store: ObjectStore, prefix: str, copies: Index) -> str:
    body = encode(copies)
    key = f"{prefix}{hashlib.sha256(body).hexdigest()}.zst"
    if store.head(key) is None:
        with store.writer(key) as writer:
            writer.write(body)
            writer.commit()
    return key


def encode(copies: Index) -> bytes:
    """The bytes of an index: the same for the same copies."""
    from ledgerkeep.storage.compression import compress_bytes

    return compress_bytes(b"\n".join(_lines(copies)), level=_LEVEL)


def _lines(copies: Index) -> Iterator[bytes]:
    yield _FIRST_LINE
    for key in sorted(copies):
        one = copies[key]
        if b"\n" in one.body:
            continue  # not written by us; it is read where it lies
        about = json.dumps([key, one.size, one.modified_at, one.etag], separators=(",", ":"))
        yield about.encode()
        yield one.body


def decode(body: bytes, what: str) -> Index:
    """What `encode` made.

    :raises ObjectCorrupt: it is no index.
    """
    from ledgerkeep.storage.compression import decompress_bytes

    first, *lines = decompress_bytes(body, what).split(b"\n")
    if first != _FIRST_LINE or len(lines) % 2:
        raise ObjectCorrupt(f"{what} is no index that this version knows", hint="")
    return dict(_entries(lines, what))


def _entries(lines: list[bytes], what: str) -> Iterable[tuple[str, Copy]]:
    for about, body in zip(lines[::2], lines[1::2], strict=True):
        try:
            key, size, modified_at, etag = json.loads(about)
        except ValueError as problem:
            raise ObjectCorrupt(f"{what} has a line that is none of ours", hint="") from problem
        yield key, Copy(size, modified_at, etag, body)
