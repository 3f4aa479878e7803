"""Every file against the manifest: an archive that is whole as an object may still be wrong."""

import errno
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from unittest.mock import Mock

import pytest
import zstandard
from crc32c import crc32c

from ledgerkeep.catalog.models import Archive, BaseBackup
from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.errors import ObjectCorrupt, RestoreFailed
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.extract import extract_backup
from ledgerkeep.recovery.room import Room
from tests.recovery.samples import backup
from tests.recovery.test_room import record
from tests.support.memory_store import MemoryStore

US = Account("us", os.geteuid(), os.getegid())
DATA = {
    "PG_VERSION": b"18\n",
    "base/1/1259": os.urandom(100_000),
    "tablespace_map": b"16384 /source/fast\n",
    "global/pg_control": b"c" * 8192,
}
LARGE = {**DATA, "base/1/2600": os.urandom(2_000_000)}
FAST = {"PG_18/5/16385": b"rows" * 5000}


def tar_of(files: dict[str, bytes]) -> bytes:
    """The files and their directories, as the server packs them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        made: set[Path] = set()
        for name, content in files.items():
            for parent in reversed(Path(name).parents):
                if parent not in made | {Path("/"), Path()} and ".." not in parent.parts:
                    made.add(parent)
                    entry = tarfile.TarInfo(str(parent))
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o700
                    archive.addfile(entry)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o640
            archive.addfile(entry, io.BytesIO(content))
        if "PG_VERSION" in files:
            link = tarfile.TarInfo("pg_tblspc/16384")
            link.type, link.linkname = tarfile.SYMTYPE, "/source/fast"
            archive.addfile(link)
    return packed.getvalue()


def manifest_of(files: dict[str, bytes]) -> bytes:
    """A manifest of these files, with its own checksum."""
    entries = [
        {
            "Path": path,
            "Size": len(content),
            "Last-Modified": "2026-03-01 12:00:00 GMT",
            "Checksum-Algorithm": "CRC32C",
            "Checksum": crc32c(content).to_bytes(4, "little").hex(),
        }
        for path, content in files.items()
    ]
    body = {"PostgreSQL-Backup-Manifest-Version": 1, "Files": entries, "WAL-Ranges": []}
    text = json.dumps(body)[:-1] + ",\n"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return f'{text}"Manifest-Checksum": "{checksum}"}}\n'.encode()


def stored(
    data: dict[str, bytes], *, manifest: dict[str, bytes] | None = None
) -> tuple[MemoryStore, BaseBackup]:
    """A backup of a data directory and one tablespace; the manifest may claim something else."""
    store, archives = MemoryStore(), []
    for oid, files in ((16384, FAST), (None, data)):
        raw = tar_of(files)
        volume = store.put(f"v{oid}", zstandard.compress(raw))
        archives.append(
            Archive(tablespace_oid=oid, location=None, raw_bytes=len(raw), volumes=[volume])
        )
    inside = {f"pg_tblspc/16384/{path}": content for path, content in FAST.items()}
    listing = store.put("backup_manifest", manifest_of({**(manifest or data), **inside}))
    made = backup("monday", stop=3, at=0)
    return store, made.model_copy(update={"archives": archives, "manifest": listing})


def extract(store: MemoryStore, made: BaseBackup, directory: Path) -> Room:
    room = Room.create(directory, record(), US)
    extract_backup(store, made, room.destination, US, no_progress, lasting=False)
    return room


def refusal(store: MemoryStore, made: BaseBackup, directory: Path) -> str:
    with pytest.raises(ObjectCorrupt) as corrupt:
        extract(store, made, directory)
    assert corrupt.value.hint
    return corrupt.value.message


def test_files_come_back_with_their_modes_and_tablespaces_below_the_room(tmp_path):
    room = extract(*stored(DATA), tmp_path / "room")
    for path, content in DATA.items():
        if path != "tablespace_map":
            assert (room.data / path).read_bytes() == content
            assert (room.data / path).stat().st_mode & 0o777 == 0o640
    assert not (room.data / "tablespace_map").exists()
    assert (room.data / "pg_tblspc/16384").readlink() == room.tablespaces / "16384"
    assert (room.data / "pg_tblspc/16384/PG_18/5/16385").read_bytes() == b"rows" * 5000


def test_large_file_gets_its_room_before_it_is_written(tmp_path, monkeypatch):
    asked = []

    def noted(descriptor, offset, size):
        assert os.fstat(descriptor).st_size == 0
        asked.append((offset, size))

    monkeypatch.setattr(os, "posix_fallocate", noted)
    room = extract(*stored(LARGE), tmp_path / "room")
    assert asked == [(0, 2_000_000)]
    assert (room.data / "base/1/2600").read_bytes() == LARGE["base/1/2600"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_file_system_that_makes_no_room_is_written_to_all_the_same(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=OSError(number, "no such call")))
    room = extract(*stored(LARGE), tmp_path / "room")
    assert (room.data / "base/1/2600").read_bytes() == LARGE["base/1/2600"]


def test_file_for_which_there_is_no_room_is_refused_and_holds_none(tmp_path, monkeypatch):
    allocate = os.posix_fallocate

    def half(descriptor, offset, size):
        allocate(descriptor, offset, size // 2)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", half)
    store, made = stored(LARGE)
    with pytest.raises(RestoreFailed) as refused:
        extract(store, made, tmp_path / "room")
    assert refused.value.message.startswith(f"the file system of {tmp_path / 'room'} is full after")
    assert (tmp_path / "room/data/base/1/2600").stat().st_blocks == 0


def test_incremental_files_that_say_nothing_share_one_file(tmp_path):
    """Every relation has one in every incremental backup."""
    nothing, less = b"\0" * 11 + b"\1", b"\0" * 11 + b"\2"
    files = {
        "base/1/INCREMENTAL.1": nothing,
        "base/1/INCREMENTAL.2": nothing,
        "base/5/INCREMENTAL.1": nothing,
        "base/5/INCREMENTAL.2": less,
        "base/5/plain": nothing,
    }
    data = extract(*stored({**DATA, **files}), tmp_path / "room").data
    assert {path: (data / path).read_bytes() for path in files} == files
    inodes = {path: (data / path).stat().st_ino for path in files}
    assert len({inodes[path] for path in list(files)[:3]}) == 1
    assert len(set(inodes.values())) == 3
    assert {(data / path).stat().st_mode & 0o777 for path in files} == {0o640}


def test_files_that_cannot_be_linked_are_files_of_their_own(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("too many links")

    monkeypatch.setattr("ledgerkeep.recovery.unchanged.os.link", refuse)
    files = {"base/1/INCREMENTAL.1": b"n" * 12, "base/1/INCREMENTAL.2": b"n" * 12}
    data = extract(*stored({**DATA, **files}), tmp_path / "room").data
    assert {path: (data / path).read_bytes() for path in files} == files


def test_incremental_file_that_is_not_the_manifests_is_named(tmp_path):
    path = "base/1/INCREMENTAL.1"
    wrong = stored({**DATA, path: b"n" * 12}, manifest={**DATA, path: b"m" * 12})
    assert f"the file {path} has 12 bytes" in refusal(*wrong, tmp_path / "room")


def test_wal_is_let_through_without_being_in_the_manifest(tmp_path):
    with_wal = {**DATA, "pg_wal/000000010000000000000003": b"w" * 1000}
    room = extract(*stored(with_wal, manifest=DATA), tmp_path / "room")
    assert (room.data / "pg_wal/000000010000000000000003").exists()


@pytest.mark.parametrize("path", ["base/1/1259", "tablespace_map"])
def test_content_that_is_not_the_manifests_is_named(tmp_path, path):
    other = {**DATA, path: b"x" * len(DATA[path])}
    has, says = crc32c(DATA[path]), crc32c(other[path])
    assert refusal(*stored(DATA, manifest=other), tmp_path / "room") == (
        f"the archive of the data directory is damaged: the file {path} has {len(DATA[path])} "
        f"bytes and CRC-32C {has:08x}, the manifest says {len(DATA[path])} and {says:08x}"
    )


def test_file_that_is_not_there_is_named(tmp_path):
    more = {**DATA, "base/1/2619": b"statistics"}
    assert refusal(*stored(DATA, manifest=more), tmp_path / "room") == (
        "the archive of the data directory is damaged: 1 files of the manifest are not in it, "
        "the first is base/1/2619"
    )


def test_file_that_nobody_knows_is_named(tmp_path):
    more = {**DATA, "base/1/trojan": b"!"}
    assert refusal(*stored(more, manifest=DATA), tmp_path / "room") == (
        "the archive of the data directory is damaged: the file base/1/trojan is in it but not "
        "in the manifest"
    )


@pytest.mark.parametrize("path", ["../outside", "/outside", "base/../../outside"])
def test_nothing_is_written_outside_of_the_room(tmp_path, path):
    evil = {**DATA, path: b"!"}
    assert refusal(*stored(evil), tmp_path / "room") == (
        f"the archive holds a file outside of its root: {path}"
    )
    assert not (tmp_path / "outside").exists()
