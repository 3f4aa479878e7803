"""One WAL segment on its way into the store: checked, hashed, compressed, put.

A segment is consumed as a stream of blocks, so that clusters with segments of up to 1 GB need no
more memory than others. Its first page names the cluster, the timeline and the position it belongs
to (PostgreSQL: src/include/access/xlog_internal.h, XLogLongPageHeaderData); a segment that says
anything but what is expected is not stored.

The same content is always success, whoever put it: a worker that died may have stored a segment
that its successor ships again. Whether content is the same is decided on the raw bytes, because
another zstd version may compress the same bytes differently.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import zstandard

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import format_lsn, segment_of
from ledgerkeep.catalog.models import NamedRestorePoint
from ledgerkeep.database.postgres.restore_points import RestorePointScan
from ledgerkeep.database.postgres.wal_goal import Marks
from ledgerkeep.errors import ForeignCluster, ObjectConflict, ObjectCorrupt, WalConflict, WalError
from ledgerkeep.storage.port import ObjectStore, Retention, StoredObject

BLOCK = 1 << 20
"""Segments come in blocks of this size (the smallest segment is one)."""
_ONE_REQUEST = 64 << 20
_HEADER = struct.Struct("<HHIQI4xQII")
_MAGIC_FAMILY = 0xD1
_LONG_HEADER = 0x0002


@dataclass(frozen=True)
class Segment:
    """Which segment of which cluster."""

    environment: str
    system_identifier: str
    timeline: int
    start: int
    size: int
    older_timelines: frozenset[int] = frozenset()
    """Timelines its first page may name besides its own: the segment in which a timeline
    branches off begins with what was copied from the timeline before."""

    partial: bool = False
    """Only its beginning, because its timeline was left inside it; the rest is zeros."""

    @property
    def name(self) -> str:
        """Its file name."""
        whole = segment_of(self.timeline, self.start, self.size)
        return f"{whole}.partial" if self.partial else whole

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.start + self.size

    @property
    def key(self) -> str:
        """Where it is stored."""
        return keys.wal_segment(self.environment, self.system_identifier, self.name)


@dataclass(frozen=True)
class ShippedSegment:
    """A segment that the store has acknowledged, and what was seen in it."""

    segment: Segment
    stored: StoredObject
    restore_points: tuple[NamedRestorePoint, ...]
    head: bytes
    tail: bytes
    """Payload at both ends, for the record that crosses into the next segment."""


class SegmentReader:
    """Looks at a segment while it passes: header, content hash, restore points."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._scan = RestorePointScan(segment.start)
        self._hash = hashlib.sha256()
        self._size = 0

    def feed(self, block: bytes) -> None:
        """Take the next block (whole pages).

        :raises ForeignCluster, WalError: the first page is not that of this segment.
        """
        if self._size == 0:
            check_header(block, self._segment)
        self._size += len(block)
        self._hash.update(block)
        self._scan.feed(block)

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 of the raw bytes so far."""
        return self._hash.hexdigest()

    def require_whole(self) -> None:
        """All bytes have passed.

        :raises WalError: some are missing.
        """
        if self._size != self._segment.size:
            raise WalError(
                f"segment {self._segment.name} has {self._size} bytes "
                f"instead of {self._segment.size}",
                hint="nothing of it counts; run again",
            )

    def shipped(self, stored: StoredObject) -> ShippedSegment:
        """The result, when all bytes have passed."""
        scan = self._scan
        return ShippedSegment(
            self._segment, stored, tuple(scan.found()), head=scan.head, tail=scan.tail
        )


def check_header(page: bytes, segment: Segment) -> None:
    """Compare the long header of a segment's first page with what it must be.

    :raises ForeignCluster: it is another cluster's.
    :raises WalError: it is no such header, or that of another position or timeline.
    """
    magic, flags, timeline, address, _, system, size, _ = _HEADER.unpack_from(page)
    if magic >> 8 != _MAGIC_FAMILY or not flags & _LONG_HEADER:
        raise WalError(
            f"segment {segment.name} does not begin with a WAL page header "
            f"(magic {magic:04X}, flags {flags:04X})",
            hint="the server's pg_wal may be damaged: look at it with pg_waldump",
        )
    if str(system) != segment.system_identifier:
        raise ForeignCluster(
            f"segment {segment.name} is of cluster {system}, "
            f"but cluster {segment.system_identifier} is shipped here",
            hint="was the data directory replaced while the server ran? check the connection",
        )
    if timeline != segment.timeline and timeline not in segment.older_timelines:
        raise WalError(
            f"segment {segment.name} names timeline {timeline}",
            hint="was the server promoted just now? run again",
        )
    if address != segment.start or size != segment.size:
        raise WalError(
            f"segment {segment.name} says it is {size} bytes at {format_lsn(address)}, "
            f"not {segment.size} at {format_lsn(segment.start)}",
            hint="the server's pg_wal may be damaged: look at it with pg_waldump",
        )


def store_segment(
    store: ObjectStore,
    segment: Segment,
    blocks: Iterable[bytes],
    *,
    level: int,
    retention: Retention | None,
    marks: Marks | None = None,
) -> ShippedSegment:
    """Put one segment and return when the store has acknowledged it.

    :param level: zstd compression level.
    :param marks: of which the segment carries the newest that it makes good.
    :raises WalConflict: the segment is stored with other content.
    :raises ForeignCluster, WalError: it is not the segment it should be.
    :raises StorageError: the store failed.
    """
    reader = SegmentReader(segment)
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj(
        size=segment.size
    )
    held: list[bytes] = []
    with ExitStack() as block_end:
        writer = None
        for block in blocks:
            reader.feed(block)
            held.append(compressor.compress(block))
            if sum(map(len, held)) > _ONE_REQUEST:
                writer = writer or block_end.enter_context(
                    store.writer(
                        segment.key, metadata=describe_segment(segment), retention=retention
                    )
                )
                writer.write(b"".join(held))
                held.clear()
        # Before the store is told anything final: is it all there?
        reader.require_whole()
        held.append(compressor.flush())
        try:
            if writer is None:
                # Only now, when the segment has ended, is it known which marks lie before its end.
                metadata = describe_segment(segment, marks)
                metadata["raw-sha256"] = reader.content_hash
                stored = store.put(
                    segment.key, b"".join(held), metadata=metadata, retention=retention
                )
            else:
                writer.write(b"".join(held))
                stored = writer.commit()
        except ObjectConflict as conflict:
            stored = _same_content(store, segment, reader.content_hash, conflict)
    return reader.shipped(stored)


def describe_segment(segment: Segment, marks: Marks | None = None) -> dict[str, str]:
    """The metadata of a stored segment: whose it is, where it belongs, which mark it makes good."""
    mark = marks.at(segment.end) if marks is not None else None
    return {
        "system-identifier": segment.system_identifier,
        "timeline": str(segment.timeline),
        "start-lsn": format_lsn(segment.start),
        **(mark.as_metadata() if mark is not None else {}),
    }


def _same_content(
    store: ObjectStore, segment: Segment, content_hash: str, conflict: ObjectConflict
) -> StoredObject:
    already = stored_content_hash(store, segment.key)
    if already != content_hash:
        raise WalConflict(
            f"segment {segment.name} is stored already with other content: SHA-256 of the content "
            f"is {already} in {store.location}, {content_hash} on the server",
            hint="two servers ship to this place, or the stored segment was tampered with: "
            "compare both with pg_waldump before anything else; nothing was overwritten",
        ) from conflict
    return stored_object(store, segment.key)


def stored_object(store: ObjectStore, key: str) -> StoredObject:
    """An object that is stored already, as it would have been acknowledged.

    :raises ObjectMissing: it is not there.
    """
    head = store.head(key)
    known = head.metadata.get("sha256") if head else None
    if head is not None and known is not None:
        return StoredObject(key=key, size=head.size, sha256=known)
    body = store.get(key)
    return StoredObject(key=key, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def stored_content_hash(store: ObjectStore, key: str) -> str:
    """Hex SHA-256 of a stored segment's raw bytes.

    :raises ObjectMissing, ObjectCorrupt:
    """
    head = store.head(key)
    known = head.metadata.get("raw-sha256") if head else None
    if known is not None:
        return known
    content = hashlib.sha256()
    for block in _stored_blocks(store, key):
        content.update(block)
    return content.hexdigest()


def inspect_stored(store: ObjectStore, segment: Segment) -> ShippedSegment:
    """Read a stored segment back and see in it what shipping would have seen.

    :raises ObjectMissing, ObjectCorrupt, ForeignCluster, WalError:
    """
    reader = SegmentReader(segment)
    for block in _stored_blocks(store, segment.key):
        reader.feed(block)
    reader.require_whole()
    return reader.shipped(stored_object(store, segment.key))


class BlockBuffer:
    """Pieces of any length in, blocks out; each byte is copied once."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, piece: memoryview) -> None:
        """Take a piece, which must not change afterwards."""
        self._pieces.append(piece)
        self._length += len(piece)

    def take(self, size: int) -> bytes:
        """The oldest `size` bytes; there are as many."""
        taken, missing = [], size
        while missing:
            piece = self._pieces.popleft()
            if len(piece) > missing:
                self._pieces.appendleft(piece[missing:])
                piece = piece[:missing]
            taken.append(piece)
            missing -= len(piece)
        self._length -= size
        return b"".join(taken)


def in_blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks; only the last may be shorter."""
    held = BlockBuffer()
    for piece in pieces:
        held.add(memoryview(piece))
        while len(held) >= BLOCK:
            yield held.take(BLOCK)
    if len(held):
        yield held.take(len(held))


def _stored_blocks(store: ObjectStore, key: str) -> Iterator[bytes]:
    body = store.get(key)
    try:
        yield from in_blocks(zstandard.ZstdDecompressor().read_to_iter(body))
    except zstandard.ZstdError as problem:
        raise ObjectCorrupt(
            f"{store.location}/{key} is not a zstd stream that can be read: {problem}",
            hint="restore the object's earlier version; it cannot be shipped again",
        ) from problem
