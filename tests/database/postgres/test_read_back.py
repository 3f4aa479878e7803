"""Reading back: the first difference between what is stored and what the server sent is named."""

import io
import tarfile
from typing import Any

import pytest
from crc32c import crc32c

from ledgerkeep.catalog.models import Archive, StreamedBackup
from ledgerkeep.database.postgres.read_back import needed_segments, read_back
from ledgerkeep.errors import ObjectCorrupt, ObjectMissing
from ledgerkeep.progress import no_progress
from ledgerkeep.storage.compression import compress_bytes
from tests.database.postgres.test_manifest import make_manifest
from tests.support.memory_store import MemoryStore

SEGMENT = 1 << 20
WAL = "pg_wal/000000010000000000000020"  # segment 32 of 1 MiB: 0/2000000
REPAIR = (
    "this backup cannot be restored; take a new full backup, and restore from another one "
    "until then"
)
DATA = {"PG_VERSION": b"18\n", "base/5/1259": b"relation" * 4096, "global/pg_control": b"c" * 8192}
FAST = {"PG_18_1/5/16385": b"row" * 100}


def make_backup(
    store: MemoryStore,
    data: dict[str, bytes],
    fast: dict[str, bytes],
    listed: dict[str, bytes] | None = None,
    **changes: Any,
) -> StreamedBackup:
    """A backup of a data directory and one tablespace, as its stream would leave it."""
    if listed is None:
        listed = {**DATA, **{f"pg_tblspc/16384/{name}": body for name, body in FAST.items()}}
    manifest = store.put("b/backup_manifest", make_manifest(*map(_listed, listed.items())))
    archives = [
        _archive(store, 16384, fast),
        _archive(store, None, data),
    ]
    plain: dict[str, Any] = {
        "id": "20260101T000000Z-F-00000000",
        "environment": "production",
        "cluster": "loans",
        "system_identifier": "7710904328894892802",
        "created_at": "2026-01-01T00:00:00Z",
        "made_by": "test",
        "server_version": 180006,
        "timeline": 1,
        "start_lsn": "0/2000028",
        "stop_lsn": "0/2000120",
        "started_at": "2026-01-01T00:00:00Z",
        "stopped_at": "2026-01-01T00:00:01Z",
        "next_xid": 700,
        "segment_size": SEGMENT,
        "wal_level": "replica",
        "data_checksums": True,
        "archives": archives,
        "manifest": manifest,
        "raw_bytes": sum(archive.raw_bytes for archive in archives),
        "stored_bytes": 0,
    }
    return StreamedBackup(**{**plain, **changes})


def _listed(item: tuple[str, bytes]) -> dict[str, object]:
    path, body = item
    crc = crc32c(body).to_bytes(4, "little").hex()
    return {"Path": path, "Size": len(body), "Checksum-Algorithm": "CRC32C", "Checksum": crc}


def _archive(store: MemoryStore, oid: int | None, files: dict[str, bytes]) -> Archive:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    stream = compress_bytes(tar.getvalue(), level=1)
    return Archive(
        tablespace_oid=oid,
        location=None if oid is None else "/srv/fast",
        raw_bytes=len(tar.getvalue()),
        volumes=[
            store.put(f"b/{oid or 'base'}.tar.zst.00001", stream[:100]),
            store.put(f"b/{oid or 'base'}.tar.zst.00002", stream[100:]),
        ],
    )


def refused(data: dict[str, bytes], fast: dict[str, bytes] = FAST, **changes: Any) -> str:
    store = MemoryStore()
    backup = make_backup(store, data, fast, **changes)
    with pytest.raises(ObjectCorrupt) as caught:
        read_back(store, backup, no_progress)
    assert caught.value.hint == REPAIR
    return caught.value.message


WHOLE = {**DATA, WAL: b"w" * SEGMENT, "pg_wal/archive_status/x.done": b""}


def test_whole_backup_is_counted() -> None:
    store = MemoryStore()
    told: list[tuple[int, int | None, str]] = []
    found = read_back(
        store, make_backup(store, WHOLE, FAST), lambda *progress: told.append(progress)
    )
    assert found.files == 4
    assert found.bytes == sum(len(body) for body in {**WHOLE, **FAST}.values()) == told[-1][0]
    assert {what for _, _, what in told} == {"reading the backup back"}


def test_file_with_other_content_is_named() -> None:
    changed = {**WHOLE, "base/5/1259": b"Relation" + DATA["base/5/1259"][8:]}
    crc, expected = (crc32c(body["base/5/1259"]) for body in (changed, DATA))
    assert refused(changed) == (
        f"file base/5/1259 has CRC-32C {crc:08x} in the archive, "
        f"{expected:08x} in the server's manifest"
    )


def test_file_with_other_size_is_named() -> None:
    assert refused({**WHOLE, "PG_VERSION": b"18"}) == (
        "file PG_VERSION has 2 bytes in the archive, 3 in the server's manifest"
    )


def test_missing_file_is_named() -> None:
    data = {name: body for name, body in WHOLE.items() if name != "global/pg_control"}
    assert refused(data) == "file global/pg_control is in the server's manifest, but in no archive"


def test_missing_file_of_a_tablespace_is_named_by_its_full_path() -> None:
    assert refused(WHOLE, {}) == (
        "file pg_tblspc/16384/PG_18_1/5/16385 is in the server's manifest, but in no archive"
    )


def test_file_of_a_tablespace_without_an_archive_is_named() -> None:
    listed = {**DATA, "pg_tblspc/99/PG_18_1/5/1": b"x"}
    assert refused(WHOLE, {}, listed=listed) == (
        "file pg_tblspc/99/PG_18_1/5/1 is in the server's manifest, but in no archive"
    )


def test_file_the_server_does_not_know_is_named() -> None:
    assert refused({**WHOLE, "base/5/666": b"x"}) == (
        "file base/5/666 is in the archive of the data directory, "
        "but the server's manifest does not know it"
    )


def test_missing_wal_segment_is_named() -> None:
    """Without it the backup could not become consistent by itself."""
    assert refused(DATA) == (
        "WAL segment 000000010000000000000020, which backup 20260101T000000Z-F-00000000 needs to "
        "become consistent, is missing in its archive"
    )


def test_short_wal_segment_is_named() -> None:
    assert refused({**DATA, WAL: b"w" * 100}) == (
        "WAL segment 000000010000000000000020, which backup 20260101T000000Z-F-00000000 needs to "
        "become consistent, has 100 bytes in its archive"
    )


def test_stop_position_on_a_boundary_needs_no_further_segment() -> None:
    backup = make_backup(MemoryStore(), WHOLE, FAST, stop_lsn="0/2100000")
    assert needed_segments(backup) == ["000000010000000000000020"]
    backup = make_backup(MemoryStore(), WHOLE, FAST, stop_lsn="0/2100001")
    assert needed_segments(backup) == ["000000010000000000000020", "000000010000000000000021"]


def test_manifest_of_another_cluster_is_refused() -> None:
    assert refused(WHOLE, system_identifier="1") == (
        "the backup manifest b/backup_manifest is of cluster 7710904328894892802, "
        "but the backup is of 1"
    )


@pytest.mark.parametrize("volume", ["base.tar.zst.00001", "base.tar.zst.00002"])
@pytest.mark.parametrize("place", [0, 50, -1])
def test_flipped_byte_names_its_volume(volume: str, place: int) -> None:
    """Whether it shows first as broken zstd, broken tar or a wrong file: the object is named."""
    store = MemoryStore()
    backup = make_backup(store, WHOLE, FAST)
    damaged = bytearray(store.objects[f"b/{volume}"].body)
    damaged[place] ^= 1
    store.objects[f"b/{volume}"].body = bytes(damaged)
    with pytest.raises(ObjectCorrupt) as caught:
        read_back(store, backup, no_progress)
    assert caught.value.message.startswith(
        f"s3://memory/b/{volume} is not what was written: sha256 "
    )


def test_archive_of_another_length_is_refused() -> None:
    store = MemoryStore()
    backup = make_backup(store, WHOLE, FAST)
    base = backup.archives[1].model_copy(update={"raw_bytes": 77})
    backup = backup.model_copy(update={"archives": [backup.archives[0], base]})
    with pytest.raises(ObjectCorrupt) as caught:
        read_back(store, backup, no_progress)
    raw = make_backup(MemoryStore(), WHOLE, FAST).archives[1].raw_bytes
    assert caught.value.message == (
        f"the archive of the data directory holds {raw} bytes, 77 were recorded"
    )


def test_missing_volume_is_missing() -> None:
    store = MemoryStore()
    backup = make_backup(store, WHOLE, FAST)
    del store.objects["b/base.tar.zst.00002"]
    with pytest.raises(ObjectMissing):
        read_back(store, backup, no_progress)
