"""One archive on its way from the server to the store: compressed, cut into volumes, stored.

Receiving, compressing and storing run side by side. The caller's thread only gathers what comes
in; a pool compresses blocks, each to a zstd frame of its own, so that blocks are compressed in
parallel now and can be decompressed in parallel later (frames one after the other are one zstd
stream: RFC 8878, 3); one thread writes them to the store in their order. All heavy work
(compression, hashing, network) happens with the interpreter lock released.

The number of blocks between the threads is fixed, and so is the memory.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from queue import Queue

from ledgerkeep.errors import StorageError
from ledgerkeep.storage.compression import compress_bytes
from ledgerkeep.storage.port import ObjectStore, ObjectWriter, StoredObject

VOLUME_BYTES = 4 << 30
"""A volume is what a store keeps, hashes and locks as one object."""

_BLOCK_BYTES = 4 << 20
_BLOCKS_AHEAD = 4

Pack = Callable[[list[memoryview]], bytes]


def compress_block(pieces: list[memoryview], level: int) -> bytes:
    """Some pieces of a stream as one zstd frame."""
    return compress_bytes(b"".join(pieces), level=level)


def join_block(pieces: list[memoryview]) -> bytes:
    """Some pieces of a stream, together."""
    return b"".join(pieces)


class VolumeWriter:
    """A stream cut into objects `{name}.00001`, `{name}.00002` …; used by one thread."""

    def __init__(self, store: ObjectStore, name: str, *, volume_bytes: int = VOLUME_BYTES) -> None:
        self._store = store
        self._name = name
        self._limit = volume_bytes
        self._open = ExitStack()
        self._writer: ObjectWriter | None = None
        self._room = 0
        self.stored: list[StoredObject] = []

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        left = memoryview(chunk)
        while left:
            writer = self._writer or self._begin()
            piece, left = left[: self._room], left[self._room :]
            writer.write(piece)
            self._room -= len(piece)
            if not self._room:
                self._commit(writer)

    def finish(self) -> list[StoredObject]:
        """Wait until the last volume is durable; all of them, in order."""
        if self._writer is not None:
            self._commit(self._writer)
        return self.stored

    def abort(self, problem: BaseException) -> None:
        """Give the volume under way up."""
        self._writer = None
        self._open.__exit__(type(problem), problem, problem.__traceback__)

    def _begin(self) -> ObjectWriter:
        key = f"{self._name}.{len(self.stored) + 1:05d}"
        self._writer = self._open.enter_context(
            self._store.writer(key, content_type="application/zstd")
        )
        self._room = self._limit
        return self._writer

    def _commit(self, writer: ObjectWriter) -> None:
        self.stored.append(writer.commit())
        self._writer = None
        self._open.close()


class ArchiveUpload:
    """Takes an archive's bytes from the receiving thread; made by `open_archive_upload`."""

    def __init__(self, volumes: VolumeWriter, workers: ThreadPoolExecutor, pack: Pack) -> None:
        self._volumes = volumes
        self._workers = workers
        self._pack = pack
        self._pieces: list[memoryview] = []
        self._gathered = 0
        self._packed: Queue[Future[bytes] | None] = Queue(maxsize=_BLOCKS_AHEAD)
        self._problem: BaseException | None = None
        self._storing = threading.Thread(target=self._store, name="store archive", daemon=True)
        self._storing.start()
        self.received_bytes = 0

    def write(self, piece: memoryview) -> None:
        """Take the next bytes; waits while compression or the store is behind.

        :raises StorageError: what the store said to earlier bytes.
        """
        self._pieces.append(piece)
        self._gathered += len(piece)
        if self._gathered >= _BLOCK_BYTES:
            self._pass_on()

    def finish(self) -> list[StoredObject]:
        """Wait until everything is durable; the volumes, in order.

        :raises StorageError:
        """
        self._pass_on()
        self._packed.put(None)
        self._storing.join()
        self._raise_problem()
        return self._volumes.stored

    def abort(self, problem: BaseException) -> None:
        """Give up: nothing of the volume under way becomes visible."""
        self._problem = self._problem or problem
        self._packed.put(None)
        self._storing.join()

    def _pass_on(self) -> None:
        self._raise_problem()
        if self._pieces:
            self._packed.put(self._workers.submit(self._pack, self._pieces))
        self.received_bytes += self._gathered
        self._pieces, self._gathered = [], 0

    def _raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _store(self) -> None:
        """The storing thread. After a failure it goes on emptying the queue, so nobody waits."""
        while (packed := self._packed.get()) is not None:
            if self._problem is None:
                self._attempt(partial(self._store_block, packed))
        if self._problem is None:
            self._attempt(self._volumes.finish)
        if self._problem is not None:
            # The first problem is the one to tell; what cannot be removed now, the sweep will.
            with suppress(StorageError):
                self._volumes.abort(self._problem)

    def _store_block(self, packed: Future[bytes]) -> None:
        self._volumes.write(packed.result())

    def _attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except BaseException as problem:
            self._problem = problem


@contextmanager
def open_archive_upload(
    volumes: VolumeWriter, workers: ThreadPoolExecutor, pack: Pack
) -> Iterator[ArchiveUpload]:
    """An upload for a block; leaving it without `finish` gives the upload up."""
    upload = ArchiveUpload(volumes, workers, pack)
    try:
        yield upload
    except BaseException as problem:
        upload.abort(problem)
        raise
