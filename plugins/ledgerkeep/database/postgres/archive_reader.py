"""A stored archive, read as the members of its tar: for reading back and for restoring.

Downloading and hashing run on one thread and decompressing on another, each a little ahead of the
next, and ahead of whoever checks or writes the files; the heavy work there releases the interpreter
lock. Were the two on one thread, it would still hash and decompress what it had fetched ahead when
nothing is left to fetch and nothing to write.
"""

import threading
from collections.abc import Generator
from contextlib import closing
from queue import Empty, Queue
from typing import TypeVar

from ledgerkeep.catalog.models import Archive
from ledgerkeep.database.postgres.tar_stream import TarEvent, read_tar
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.compression import decompress
from ledgerkeep.storage.port import ObjectStore

_CHUNKS_AHEAD = 8
_STORED_AHEAD = 1
"""Of what is stored, hashed: as long as a range of the store."""

T = TypeVar("T")


def archive_name(archive: Archive) -> str:
    """An archive's name in messages."""
    oid = archive.tablespace_oid
    return "the data directory" if oid is None else f"tablespace {oid}"


def read_archive(store: ObjectStore, archive: Archive) -> Generator[TarEvent, None, None]:
    """The members of an archive, with their payload, in the archive's order.

    Act on them for good only when the iterator has ended: the hash of a volume, and the size of
    the whole, are known only behind their last byte. Closing it early stops the download.

    :raises ObjectCorrupt: what is stored is not what was written.
    """
    with closing(ahead(_tar(store, archive), _CHUNKS_AHEAD)) as chunks:
        yield from read_tar(chunks, archive_name(archive))


def _tar(store: ObjectStore, archive: Archive) -> Generator[bytes, None, None]:
    size = 0
    with closing(ahead(_stored(store, archive), _STORED_AHEAD)) as stored:
        for chunk in decompress(stored, f"the archive of {archive_name(archive)}"):
            size += len(chunk)
            yield chunk
    if size != archive.raw_bytes:
        raise ObjectCorrupt(
            f"the archive of {archive_name(archive)} holds {size} bytes, "
            f"{archive.raw_bytes} were recorded",
            hint="this backup cannot be restored; take a new full backup, and restore from "
            "another one until then",
        )


def _stored(store: ObjectStore, archive: Archive) -> Generator[memoryview, None, None]:
    for volume in archive.volumes:
        yield from store.read(volume)


def ahead(items: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The same items, made on another thread, at most `depth` of them ahead."""
    queue: Queue[tuple[T] | BaseException | None] = Queue(maxsize=depth)
    stop = threading.Event()

    def make() -> None:
        try:
            with closing(items):
                for item in items:
                    if stop.is_set():
                        return
                    queue.put((item,))
            queue.put(None)
        except BaseException as problem:
            queue.put(problem)

    maker = threading.Thread(target=make, name="read ahead", daemon=True)
    maker.start()
    try:
        while (made := queue.get()) is not None:
            if isinstance(made, BaseException):
                raise made
            yield made[0]
    finally:
        stop.set()
        while maker.is_alive():
            _empty(queue)
            maker.join(0.01)


def _empty(queue: "Queue[T]") -> None:
    try:
        while True:
            queue.get_nowait()
    except Empty:
        return
