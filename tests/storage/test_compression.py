"""zstd streams in and out."""

import random
import tracemalloc

import pytest
import zstandard

from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.compression import (
    CHUNK,
    ZstdSink,
    compress,
    compress_bytes,
    decompress,
    decompress_bytes,
)

BODY = random.Random(3).randbytes(300_000) + bytes(3_000_000) + b"end"


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("threads", [0, 2])
def test_a_stream_comes_back_whole(threads):
    packed = list(compress(pieces(BODY, 70_001), level=1, threads=threads))
    assert b"".join(decompress(packed, "stream")) == BODY
    assert sum(map(len, packed)) < len(BODY) / 5


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_several_frames_are_one_stream(size):
    stream = (
        compress_bytes(BODY, level=3)
        + b"".join(compress([], level=1))
        + compress_bytes(b"x", level=1)
    )
    assert b"".join(decompress(pieces(stream, size), "stream")) == BODY + b"x"


def test_nothing_is_an_empty_stream():
    assert list(decompress([], "stream")) == []
    assert decompress_bytes(compress_bytes(b"", level=1), "body") == b""


def test_a_sink_compresses_into_another_and_counts():
    taken: list[bytes] = []

    class Taker:
        def write(self, chunk: bytes | memoryview) -> None:
            taken.append(bytes(chunk))

    sink = ZstdSink(Taker(), level=1)
    for piece in pieces(BODY, 99_999):
        sink.write(memoryview(piece))
    sink.finish()
    assert decompress_bytes(b"".join(taken), "body") == BODY
    assert (sink.raw_bytes, sink.stored_bytes) == (len(BODY), sum(map(len, taken)))


def test_memory_stays_small_however_much_a_stream_expands():
    bomb = compress_bytes(bytes(300_000_000), level=1)
    tracemalloc.start()
    sizes = [len(chunk) for chunk in decompress([bomb], "stream")]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(sizes) == 300_000_000
    assert max(sizes) <= CHUNK + 16
    assert peak < 8 * CHUNK


@pytest.mark.parametrize("missing", [1, 4, 50, 300_000])
def test_a_stream_that_ends_within_a_frame_is_corrupt(missing):
    for first in (b"", compress_bytes(b"whole", level=1)):
        cut = first + compress_bytes(BODY, level=1)[:-missing]
        with pytest.raises(ObjectCorrupt) as corrupt:
            list(decompress([cut], "s3://b/volume"))
        assert corrupt.value.message.startswith("s3://b/volume ")
        assert corrupt.value.hint == (
            "do not restore from it: use another recovery point, "
            "or an earlier version of the object"
        )


def test_damage_and_foreign_bytes_are_corrupt():
    damaged = bytearray(compress_bytes(BODY, level=1))
    damaged[1000] ^= 1
    for stream in (bytes(damaged), b"no zstd at all", damaged[4:]):
        with pytest.raises(ObjectCorrupt, match="is damaged: "):
            list(decompress([bytes(stream)], "volume"))


def test_frames_of_other_programs_are_read():
    """A server's frames carry no checksum and no size."""
    plain = zstandard.ZstdCompressor(level=5, write_checksum=False).compressobj()
    stream = plain.compress(BODY) + plain.flush()
    assert decompress_bytes(stream, "body") == BODY
