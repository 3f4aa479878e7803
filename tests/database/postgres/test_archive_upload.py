"""An archive on its way to the store: in order, in volumes, and nothing left of a failure."""

import random
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest

from ledgerkeep.database.postgres.archive_upload import (
    Pack,
    VolumeWriter,
    compress_block,
    join_block,
    open_archive_upload,
)
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.storage.compression import decompress_bytes
from ledgerkeep.storage.port import Retention
from tests.support.memory_store import MemoryStore, MemoryWriter

CONTENT = random.Random(7).randbytes(256) * 50_000  # 12.8 MB: several blocks


def upload(store: MemoryStore, pack: Pack, *, volume_bytes: int, piece: int = 32_768) -> list[str]:
    with ThreadPoolExecutor(2) as workers:
        volumes = VolumeWriter(store, "b/base.tar.zst", volume_bytes=volume_bytes)
        with open_archive_upload(volumes, workers, pack) as archive:
            for start in range(0, len(CONTENT), piece):
                archive.write(memoryview(CONTENT)[start : start + piece])
            return [volume.key for volume in archive.finish()]


def test_volumes_one_after_the_other_are_the_stream() -> None:
    store = MemoryStore()
    keys = upload(store, join_block, volume_bytes=5_000_000)
    assert keys == [f"b/base.tar.zst.0000{number}" for number in (1, 2, 3)]
    assert [len(store.objects[key].body) for key in keys] == [5_000_000, 5_000_000, 2_800_000]
    assert b"".join(store.objects[key].body for key in keys) == CONTENT


def test_compressed_blocks_are_one_zstd_stream_in_order() -> None:
    store = MemoryStore()
    keys = upload(store, partial(compress_block, level=1), volume_bytes=1_000)
    assert len(keys) > 1
    stream = b"".join(store.objects[key].body for key in keys)
    assert decompress_bytes(stream, "archive") == CONTENT


def test_volume_that_is_full_at_the_end_is_the_last_one() -> None:
    store = MemoryStore()
    assert len(upload(store, join_block, volume_bytes=len(CONTENT))) == 1


class FailingWriter(MemoryWriter):
    """Fails at its first byte."""

    def write(self, chunk: bytes | memoryview) -> None:
        raise StoreUnavailable("the store is gone")


class FailingStore(MemoryStore):
    """Takes nothing, and tells how its writers were left."""

    def __init__(self) -> None:
        super().__init__()
        self.left_by: list[str] = []

    @contextmanager
    def writer(
        self,
        key: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retention: Retention | None = None,
        content_type: str = "application/octet-stream",
    ) -> Iterator[MemoryWriter]:
        try:
            yield FailingWriter(self, key, metadata, retention)
        except BaseException as problem:
            self.left_by.append(type(problem).__name__)
            raise


def test_failure_of_the_store_ends_the_upload() -> None:
    """The receiving thread is told, is not left waiting, and the writer is left with the error."""
    store = FailingStore()
    with pytest.raises(StoreUnavailable) as caught:
        upload(store, join_block, volume_bytes=1 << 30)
    assert caught.value.message == "the store is gone"
    assert store.left_by == ["StoreUnavailable"]
    assert [thread.name for thread in threading.enumerate() if "store" in thread.name] == []


def test_failure_of_the_receiver_leaves_no_object() -> None:
    store = MemoryStore()

    def interrupted() -> None:
        volumes = VolumeWriter(store, "a")
        with (
            ThreadPoolExecutor(2) as workers,
            open_archive_upload(volumes, workers, join_block) as archive,
        ):
            archive.write(memoryview(CONTENT))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert store.objects == {}
    assert [thread.name for thread in threading.enumerate() if "store" in thread.name] == []
