"""Objects of JSON lines, compressed and hashed, that are written and read without being held.

A plan or a report has a line per key, and there may be millions: neither Airflow nor a worker's
memory is a place for them. They go through the storage port as they are made.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ledgerkeep.storage.compression import ZstdSink, compress_bytes, decompress, decompress_bytes
from ledgerkeep.storage.port import ObjectStore, Retention, StoredObject

_GATHERED = 256 * 1024
_LEVEL = 3


def write_lines(
    store: ObjectStore,
    key: str,
    lines: Iterable[dict[str, Any]],
    *,
    retention: Retention | None = None,
) -> StoredObject:
    """Create an object of one JSON object per line.

    :raises StorageError:
    """
    with store.writer(key, retention=retention, content_type="application/zstd") as writer:
        sink = ZstdSink(writer, level=_LEVEL)
        gathered = bytearray()
        for line in lines:
            gathered += _line(line)
            if len(gathered) >= _GATHERED:
                sink.write(bytes(gathered))
                gathered.clear()
        sink.write(bytes(gathered))
        sink.finish()
        return writer.commit()


def read_lines(store: ObjectStore, stored: StoredObject) -> Iterator[dict[str, Any]]:
    """The lines of an object; its hash is compared when all of them have been read.

    :raises ObjectMissing, ObjectCorrupt, StorageError:
    """
    rest = b""
    for chunk in decompress(store.read(stored), f"{store.location}/{stored.key}"):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield json.loads(line)


def pack(lines: Iterable[dict[str, Any]]) -> bytes:
    """A few lines as the content of a small object."""
    return compress_bytes(b"".join(_line(line) for line in lines), level=_LEVEL)


def unpack(body: bytes, what: str) -> list[dict[str, Any]]:
    """The lines of a small object.

    :raises ObjectCorrupt:
    """
    return [json.loads(line) for line in decompress_bytes(body, what).splitlines()]


def _line(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
