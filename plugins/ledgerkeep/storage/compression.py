"""zstd streams, in and out, with constant memory.

What is written here carries a content checksum, so that damage is seen on reading whatever the
way the bytes came. What is read may be several frames one after another, as a server or several
volumes make them. Nothing expands beyond a bound at a time, however well it was compressed.
"""

import secrets
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Protocol, cast

import zstandard

from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.failures import CORRUPT_HINT

CHUNK = 1024 * 1024


class ByteSink(Protocol):
    """Whatever takes bytes, such as an `ObjectWriter`."""

    def write(self, chunk: bytes | memoryview) -> object:
        """Take the next bytes."""


class ZstdSink:
    """Compresses what is written to it into another sink; `finish` ends the frame."""

    def __init__(self, sink: ByteSink, *, level: int, threads: int = 0) -> None:
        self._sink = sink
        self._compressor = _compressor(level, threads).compressobj()
        self.raw_bytes = 0
        self.stored_bytes = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes, uncompressed."""
        self.raw_bytes += len(chunk)
        self._pass_on(self._compressor.compress(chunk))

    def finish(self) -> None:
        """End the frame; nothing may be written afterwards. The sink stays open."""
        self._pass_on(self._compressor.flush())

    def _pass_on(self, compressed: bytes) -> None:
        if compressed:
            self.stored_bytes += len(compressed)
            self._sink.write(compressed)


def compress(chunks: Iterable[bytes], *, level: int, threads: int = 0) -> Iterator[bytes]:
    """One zstd frame of all chunks.

    :param threads: compressing threads beside the caller's; 0 compresses in the caller's.
    """
    compressor = _compressor(level, threads).compressobj()
    for chunk in chunks:
        if compressed := compressor.compress(chunk):
            yield compressed
    yield compressor.flush()


def compress_bytes(body: bytes | memoryview, *, level: int) -> bytes:
    """One zstd frame of a body held in memory, such as a WAL segment; it tells its size."""
    return _compressors.of_this_thread(level).compress(body)


def decompress(chunks: Iterable[bytes | memoryview], what: str) -> Iterator[bytes]:
    """The content of all frames of a stream, in chunks of at most `CHUNK` bytes.

    :param what: the stream's name, for messages.
    :raises ObjectCorrupt: it is not zstd, is damaged, or ends within a frame.
    """
    # The reader cannot tell a stream that ends within a frame from one that ends after it. A
    # frame of our own behind the last one comes out whole only if that was complete.
    seal = secrets.token_bytes(16)
    source = _Source(chunks, compress_bytes(seal, level=1))
    reader = zstandard.ZstdDecompressor().stream_reader(
        cast("IO[bytes]", source), read_size=CHUNK, read_across_frames=True
    )
    # What may contain the seal is held back; joined only where it is short, since a copy of every
    # chunk is what this loop would otherwise spend its time on.
    held = b""
    try:
        while chunk := reader.read(CHUNK):
            if len(chunk) < len(seal):
                held += chunk
                continue
            if held:
                yield held
            held = chunk
    except zstandard.ZstdError as problem:
        raise ObjectCorrupt(f"{what} is damaged: {problem}", hint=CORRUPT_HINT) from problem
    if not held.endswith(seal):
        raise ObjectCorrupt(f"{what} ends in the middle of a zstd frame", hint=CORRUPT_HINT)
    if rest := held[: -len(seal)]:
        yield rest


def decompress_bytes(body: bytes, what: str) -> bytes:
    """The content of a small body, whole.

    :raises ObjectCorrupt: see `decompress`.
    """
    return b"".join(decompress([body], what))


def _compressor(level: int, threads: int) -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(level=level, threads=threads, write_checksum=True)


class _Compressors(threading.local):
    """One per thread and level: making its tables anew costs more than many a body."""

    def __init__(self) -> None:
        self._by_level: dict[int, zstandard.ZstdCompressor] = {}

    def of_this_thread(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self._by_level:
            self._by_level[level] = _compressor(level, 0)
        return self._by_level[level]


_compressors = _Compressors()


class _Source:
    """The chunks, and then the seal, as the file that the decompressing reader wants."""

    def __init__(self, chunks: Iterable[bytes | memoryview], seal: bytes) -> None:
        self._chunks = self._sealed(chunks, seal)
        self._rest = memoryview(b"")

    @staticmethod
    def _sealed(chunks: Iterable[bytes | memoryview], seal: bytes) -> Iterator[bytes | memoryview]:
        yield from chunks
        yield seal

    def read(self, size: int) -> memoryview:
        """Up to `size` bytes; none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest = memoryview(chunk)
        part, self._rest = self._rest[:size], self._rest[size:]
        return part
