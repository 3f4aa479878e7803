"""Reading objects: ranges fetched ahead and handed on in order, hashed as they pass.

A few ranges are in flight while the consumer works on the one before them, so the network and the
consumer are busy at the same time and memory stays at a few ranges. The last range asks for one
byte more than was recorded: that an object is longer is then seen without a request of its own.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.failures import CORRUPT_HINT
from ledgerkeep.storage.port import StoredObject

_LONGEST_RANGE = 16 * 1024 * 1024
"""As long as a usual part, since stores keep parts and read them whole: at half of it, SeaweedFS
needs a third more processor time. obstore holds a range twice while it arrives."""


def read_object(bucket: Bucket, stored: StoredObject) -> Iterator[memoryview]:
    """The object's bytes in order; see `ObjectStore.read`.

    :raises ObjectMissing: there is no such object.
    :raises ObjectCorrupt: its size or its SHA-256 is not the recorded one.
    """
    digest = hashlib.sha256()
    with closing(_chunks(bucket, stored.key, stored.size)) as chunks:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != stored.sha256:
        raise ObjectCorrupt(
            f"{bucket.location}/{stored.key} is not what was written: "
            f"sha256 {digest.hexdigest()}, recorded {stored.sha256}",
            hint=CORRUPT_HINT,
        )


def hash_object(bucket: Bucket, key: str, size: int) -> str:
    """The SHA-256 of an object of which only the size is known, in hex.

    :raises ObjectMissing, ObjectCorrupt: it changed meanwhile.
    """
    digest = hashlib.sha256()
    with closing(_chunks(bucket, key, size)) as chunks:
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def get_object(bucket: Bucket, key: str) -> tuple[bytes, dict[str, str]]:
    """A small object, whole, and its metadata.

    :raises ObjectMissing:
    """

    def fetch() -> tuple[bytes, dict[str, str]]:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
        return answer["Body"].read(), answer.get("Metadata", {})

    return bucket.ask("get", fetch, key=key)


def _chunks(bucket: Bucket, key: str, size: int) -> Generator[memoryview, None, None]:
    if size <= bucket.part_size:
        body, _ = get_object(bucket, key)
        _check_size(bucket, key, size, len(body))
        yield memoryview(body)
    else:
        yield from _ranges(bucket, key, size)


def _ranges(bucket: Bucket, key: str, size: int) -> Iterator[memoryview]:
    """The ranges of a large object, `concurrency` of them requested ahead."""
    stop = threading.Event()
    pool = ThreadPoolExecutor(bucket.concurrency, thread_name_prefix="download")
    under_way: deque[tuple[int, Future[memoryview]]] = deque()
    length = min(bucket.part_size, _LONGEST_RANGE)
    try:
        for start in range(0, size, length):
            end = min(start + length, size)
            asked = end + 1 if end == size else end
            under_way.append(
                (end - start, pool.submit(bucket.fetch_range, key, start, asked, stop))
            )
            if len(under_way) > bucket.concurrency:
                yield _received(bucket, key, size, *under_way.popleft())
        while under_way:
            yield _received(bucket, key, size, *under_way.popleft())
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _received(
    bucket: Bucket, key: str, size: int, expected: int, under_way: Future[memoryview]
) -> memoryview:
    try:
        part = under_way.result()
    except ObjectCorrupt:
        part = memoryview(b"")
    if len(part) != expected:
        head = bucket.head(key)
        _check_size(bucket, key, size, head.size if head else 0)
        raise ObjectCorrupt(
            f"{bucket.location}/{key} gave {len(part)} bytes where {expected} were asked for",
            hint=CORRUPT_HINT,
        )
    return part


def _check_size(bucket: Bucket, key: str, recorded: int, found: int) -> None:
    if found != recorded:
        raise ObjectCorrupt(
            f"{bucket.location}/{key} has {found} bytes, {recorded} were recorded",
            hint=CORRUPT_HINT,
        )
