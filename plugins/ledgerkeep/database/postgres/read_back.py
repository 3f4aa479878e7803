"""Reading a backup back from the store: every byte is there that the server sent.

Three layers, each by whoever knew first: the volumes against the SHA-256 made when they were
uploaded, every file against the CRC-32C the server put into its manifest, the manifest against
its own checksum. Then that nothing is missing, nothing is there that should not be, and that the
WAL from start to stop is in the archive, so that the backup restores even when no other WAL does.

Everything streams; what is kept in memory is the manifest's list of files.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass

from crc32c import crc32c

from ledgerkeep.catalog.lsn import segment_name
from ledgerkeep.catalog.models import Archive, StreamedBackup
from ledgerkeep.database.postgres.archive_reader import archive_name, read_archive
from ledgerkeep.database.postgres.manifest import Manifest, ManifestFile, parse_manifest
from ledgerkeep.database.postgres.tar_stream import Member, MemberKind, TarEvent
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.progress import Progress
from ledgerkeep.storage.port import ObjectStore

_WAL = "pg_wal/"
_REPAIR = (
    "this backup cannot be restored; take a new full backup, and restore from another one until "
    "then"
)


@dataclass(frozen=True)
class ReadBack:
    """What was read back and found to be right."""

    files: int
    """Files of the manifest; the WAL in the backup is not counted."""
    bytes: int
    """Of all archives before compression."""
    seconds: float


def read_back(store: ObjectStore, backup: StreamedBackup, progress: Progress) -> ReadBack:
    """Check every stored byte of a backup.

    :raises ObjectMissing: an object is gone.
    :raises ObjectCorrupt: names the first object or file that is not what it was.
    """
    started = time.monotonic()
    manifest = read_manifest(store, backup)
    expected = manifest.by_archive()
    count = _Count(backup.raw_bytes, progress)
    for archive in backup.archives:
        files = expected.pop(archive.tablespace_oid, {})
        try:
            _check_archive(store, backup, archive, files, count.add)
        except ObjectCorrupt as problem:
            _name_volume(store, archive, problem)
            raise
    for files in expected.values():
        raise _missing(next(iter(files.values())).path)
    return ReadBack(len(manifest.files), count.done, time.monotonic() - started)


class _Count:
    """Bytes of files so far, for the progress."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done = 0
        self._total = total
        self._progress = progress

    def add(self, count: int) -> None:
        """Take note of so many more."""
        self.done += count
        self._progress(self.done, self._total, "reading the backup back")


def read_manifest(store: ObjectStore, backup: StreamedBackup) -> Manifest:
    """A backup's manifest, checked against the store's hash, its own, and the backup's record.

    :raises ObjectMissing, ObjectCorrupt:
    """
    manifest = parse_manifest(b"".join(store.read(backup.manifest)), backup.manifest.key)
    if manifest.system_identifier not in (None, backup.system_identifier):
        raise ObjectCorrupt(
            f"the backup manifest {backup.manifest.key} is of cluster "
            f"{manifest.system_identifier}, but the backup is of {backup.system_identifier}",
            hint=_REPAIR,
        )
    return manifest


def check_members(
    events: Iterable[TarEvent], files: dict[str, ManifestFile], read: Callable[[int], None]
) -> dict[str, int]:
    """Check an archive's files against the manifest's, by path inside the archive.

    :param read: told the number of each piece's bytes.
    :returns: path → size of the files that are there without being in the manifest.
    :raises ObjectCorrupt: a file differs, or is missing.
    """
    missing = dict(files)
    unlisted: dict[str, int] = {}
    crc = 0
    for event in events:
        if isinstance(event, memoryview):
            crc = crc32c(event, crc)
            read(len(event))
        elif isinstance(event, Member):
            crc = 0
        elif event.member.kind is MemberKind.FILE:
            file = missing.pop(event.member.name, None)
            if file is None:
                unlisted[event.member.name] = event.member.size
            else:
                _compare(file, event.member.size, crc)
    for file in missing.values():
        raise _missing(file.path)
    return unlisted


def needed_segments(backup: StreamedBackup) -> list[str]:
    """File names of the WAL segments from a backup's start to its end."""
    size = backup.segment_size
    # The stop position is the end of the last record: a byte before it is the last one needed.
    numbers = range(backup.start_lsn // size, (backup.stop_lsn - 1) // size + 1)
    return [segment_name(backup.timeline, number, size) for number in numbers]


def _check_archive(
    store: ObjectStore,
    backup: StreamedBackup,
    archive: Archive,
    files: dict[str, ManifestFile],
    read: Callable[[int], None],
) -> None:
    with closing(read_archive(store, archive)) as events:
        unlisted = check_members(events, files, read)
    for path in unlisted:
        if archive.tablespace_oid is not None or not path.startswith(_WAL):
            raise ObjectCorrupt(
                f"file {path} is in the archive of {archive_name(archive)}, "
                "but the server's manifest does not know it",
                hint=_REPAIR,
            )
    if archive.tablespace_oid is None:
        _check_wal(backup, unlisted)


def _check_wal(backup: StreamedBackup, unlisted: dict[str, int]) -> None:
    for segment in needed_segments(backup):
        size = unlisted.get(f"{_WAL}{segment}")
        if size != backup.segment_size:
            found = "is missing" if size is None else f"has {size} bytes"
            raise ObjectCorrupt(
                f"WAL segment {segment}, which backup {backup.id} needs to become consistent, "
                f"{found} in its archive",
                hint=_REPAIR,
            )


def _compare(file: ManifestFile, size: int, crc: int) -> None:
    if size != file.size:
        raise ObjectCorrupt(
            f"file {file.path} has {size} bytes in the archive, "
            f"{file.size} in the server's manifest",
            hint=_REPAIR,
        )
    if crc != file.crc32c:
        raise ObjectCorrupt(
            f"file {file.path} has CRC-32C {crc:08x} in the archive, "
            f"{file.crc32c:08x} in the server's manifest",
            hint=_REPAIR,
        )


def _missing(path: str) -> ObjectCorrupt:
    return ObjectCorrupt(
        f"file {path} is in the server's manifest, but in no archive", hint=_REPAIR
    )


def _name_volume(store: ObjectStore, archive: Archive, problem: ObjectCorrupt) -> None:
    """Say whether the store changed: a broken file shows before its volume's hash is known.

    :raises ObjectCorrupt: names the volume; when none raises, the bytes were broken on arrival.
    """
    for volume in archive.volumes:
        try:
            for _ in store.read(volume):
                pass
        except ObjectCorrupt as cause:
            raise cause from problem
