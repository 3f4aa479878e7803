"""A base backup from the object store into a data directory, checked byte by byte on the way.

One pass: while the next volumes are downloaded, hashed and decompressed on another thread, the
files are written with plain system calls, and each one's size and CRC-32C are compared with the
server's own manifest. Python's tarfile takes three times as long. Nothing is trusted before the
end of the pass, and a copy that fails in it is removed.

Tablespaces go below the room, never to the paths they had on the source: the links in pg_tblspc
are ours, and the server's `tablespace_map`, which would put them back, is left out.
"""

import errno
import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from crc32c import crc32c

from ledgerkeep.catalog.models import Archive, BaseBackup
from ledgerkeep.database.postgres.archive_reader import archive_name, read_archive
from ledgerkeep.database.postgres.manifest import ManifestFile, parse_manifest, path_in_data
from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.database.postgres.tar_stream import Member, MemberEnd, MemberKind
from ledgerkeep.errors import ObjectCorrupt, RestoreFailed
from ledgerkeep.progress import Progress, format_bytes
from ledgerkeep.recovery.room import Destination
from ledgerkeep.recovery.unchanged import UnchangedFiles, is_incremental, is_unchanged
from ledgerkeep.recovery.write_behind import STEP, WriteBehind
from ledgerkeep.storage.port import ObjectStore

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORTH_ROOM = 1024 * 1024
"""Bytes of a file from which on asking for its room costs less than it spares."""

_LEFT_OUT = "tablespace_map"
_WAL = "pg_wal/"


@dataclass
class Extracted:
    """What was written."""

    files: int = 0
    raw_bytes: int = 0
    changed: list[str] = field(default_factory=list)
    """Incremental files that bring blocks: their paths in the data directory."""


def extract_backup(
    store: ObjectStore,
    backup: BaseBackup,
    destination: Destination,
    account: Account,
    progress: Progress,
    *,
    lasting: bool,
    with_wal: bool = True,
) -> Extracted:
    """Write a backup's files and check each against the manifest.

    :param destination: directories that exist and are empty.
    :param lasting: the files are to survive a power cut: they are flushed meanwhile.
    :param with_wal: also write the WAL that makes the backup consistent.
    :raises ObjectCorrupt: a stored byte is not what was written; the object or file is named.
    :raises RestoreFailed: the file system is full or refuses.
    """
    manifest = parse_manifest(
        store.get(backup.manifest.key, sha256=backup.manifest.sha256), backup.manifest.key
    )
    expected = manifest.by_archive()
    written = Extracted()
    try:
        for archive in backup.archives:
            with WriteBehind(STEP if lasting else None) as behind:
                writer = _ArchiveWriter(archive, expected, destination, account, behind, with_wal)
                _write_archive(store, archive, writer, written, backup.raw_bytes, progress)
            writer.nothing_missing()
    except OSError as problem:
        raise _refused(problem, destination.data.parent, backup, written) from problem
    return written


def _write_archive(
    store: ObjectStore,
    archive: Archive,
    writer: "_ArchiveWriter",
    written: Extracted,
    total: int,
    progress: Progress,
) -> None:
    with closing(read_archive(store, archive)) as events, closing(writer):
        for event in events:
            if isinstance(event, memoryview):
                writer.write(event)
                written.raw_bytes += len(event)
                progress(written.raw_bytes, total, "restore of the base backup")
            elif isinstance(event, Member):
                if writer.begin(event) and is_incremental(event.name):
                    written.changed.append(path_in_data(archive.tablespace_oid, event.name))
            elif isinstance(event, MemberEnd) and event.member.kind is MemberKind.FILE:
                writer.end(event.member)
                written.files += 1


class _ArchiveWriter:
    """Writes the members of one archive, one after the other."""

    def __init__(
        self,
        archive: Archive,
        expected: dict[int | None, dict[str, ManifestFile]],
        destination: Destination,
        account: Account,
        behind: WriteBehind,
        with_wal: bool,
    ) -> None:
        self._archive = archive
        self._behind = behind
        self._with_wal = with_wal
        self._expected = expected.get(archive.tablespace_oid, {})
        self._account = account
        self._destination = destination
        self._root = str(destination.data)
        self._descriptor = -1
        self._path = ""
        self._unchanged = UnchangedFiles(account)
        self._content: bytearray | None = None
        self._size = 0
        self._checksum = 0
        if archive.tablespace_oid is not None:
            self._root = str(self._tablespace(archive.tablespace_oid))

    def _tablespace(self, oid: int) -> Path:
        """The tablespace's directory, and our own link to it."""
        root = self._destination.tablespaces / str(oid)
        root.mkdir(mode=0o700, exist_ok=True)
        links = self._destination.data / "pg_tblspc"
        links.mkdir(mode=0o700, exist_ok=True)
        link = links / str(oid)
        if not link.is_symlink():
            link.symlink_to(root)
        for path in (root, links):
            self._account.own(path)
        return root

    def begin(self, member: Member) -> bool:
        """Make the member; its payload follows.

        Returns whether it is a file that is written.
        """
        self._size = self._checksum = 0
        # Plain text: there may be millions of files, and a Path each costs more than making it.
        path = f"{self._root}/{_inside(member.name)}"
        if member.kind is MemberKind.DIRECTORY:
            self._make_directory(Path(path), member.mode)
        elif is_unchanged(path, member.size):
            self._path, self._content = path, bytearray()
        elif member.kind is MemberKind.FILE and self._is_written(member.name):
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode
            )
            if self._account.is_other:
                os.fchown(self._descriptor, self._account.uid, self._account.gid)
            if member.size >= _WORTH_ROOM:
                _make_room(self._descriptor, member.size)
            return True
        return False

    def _make_directory(self, path: Path, mode: int) -> None:
        if not path.is_symlink():
            path.mkdir(mode=mode or 0o700, parents=True, exist_ok=True)
            self._account.own(path)

    def _is_written(self, name: str) -> bool:
        return name != _LEFT_OUT and (self._with_wal or not name.startswith(_WAL))

    def write(self, piece: memoryview) -> None:
        """Write the next payload."""
        self._size += len(piece)
        self._checksum = crc32c(piece, self._checksum)
        if self._content is not None:
            self._content += piece
        if self._descriptor >= 0:
            size = len(piece)
            while piece:
                piece = piece[os.write(self._descriptor, piece) :]
            self._behind.wrote(self._descriptor, size)

    def end(self, member: Member) -> None:
        """Close the file and compare it with what the server said it is."""
        self.close()
        known = self._expected.pop(member.name, None)
        if known is None:
            # The WAL that comes with a backup is not in the manifest; PostgreSQL checks it itself.
            if not member.name.startswith(_WAL):
                raise self._corrupt(f"the file {member.name} is in it but not in the manifest")
        elif (known.size, known.crc32c) != (self._size, self._checksum):
            raise self._corrupt(
                f"the file {member.name} has {self._size} bytes and CRC-32C {self._checksum:08x}, "
                f"the manifest says {known.size} and {known.crc32c:08x}"
            )
        if self._content is not None:
            self._unchanged.make(self._path, bytes(self._content), member.mode)
            self._content = None

    def close(self) -> None:
        """Close the file under way, if any."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def nothing_missing(self) -> None:
        """Check that every file of the manifest has come.

        :raises ObjectCorrupt:
        """
        if self._expected:
            raise self._corrupt(
                f"{len(self._expected)} files of the manifest are not in it, "
                f"the first is {min(self._expected)}"
            )

    def _corrupt(self, what: str) -> ObjectCorrupt:
        return ObjectCorrupt(
            f"the archive of {archive_name(self._archive)} is damaged: {what}",
            hint="this backup cannot be restored; restore from another one, "
            "and take a new full backup",
        )


def _make_room(descriptor: int, size: int) -> None:
    """Let the file system find the blocks of a file at once, instead of for each page of it.

    :raises OSError: they are not to be had.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as problem:
        # One that cannot do this can take the file all the same.
        if problem.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return
        # What it found before there was no more would be missing where the free space is told.
        os.ftruncate(descriptor, 0)
        raise


def _inside(name: str) -> str:
    if name.startswith("/") or ".." in name.split("/"):
        raise ObjectCorrupt(
            f"the archive holds a file outside of its root: {name}",
            hint="no PostgreSQL server wrote this; find out who did before restoring anything",
        )
    return name


def _refused(
    problem: OSError, directory: Path, backup: BaseBackup, written: Extracted
) -> RestoreFailed:
    if problem.errno not in NO_SPACE:
        return RestoreFailed(
            f"the restore to {directory} failed: {problem.strerror}"
            + (f" ({problem.filename})" if problem.filename else ""),
            hint="look at the permissions and the health of that file system",
        )
    free = shutil.disk_usage(directory).free
    missing = max(backup.raw_bytes - written.raw_bytes - free, 0)
    return RestoreFailed(
        f"the file system of {directory} is full after {format_bytes(written.raw_bytes)} "
        f"of {format_bytes(backup.raw_bytes)}: {problem.strerror}",
        hint=f"free at least {format_bytes(missing)} more there, or restore to another directory; "
        "the partial copy was removed",
    )
