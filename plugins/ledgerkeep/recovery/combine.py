"""The backups of a chain, each in a directory of its own, put together to one data directory.

PostgreSQL's own pg_combinebackup does that. It takes every block from the newest backup that has
it, and checks that each backup begins where the one before it ended. A file that is whole need not
be written again, if the file system can share it: as a hard link (from PostgreSQL 18 on) or as a
clone. What it can do is tried in the room itself, since neither the file system's name nor the
system's says it for sure. So that as many files as possible are whole, the changed blocks are
written into them before (see `changed_blocks`).

With links the copy and the backups are the same files, and a server that starts on the copy would
change both. So the backups are removed as soon as they are combined, whatever the method was.

Public: `choose_method(directory, major) -> Method`, `prepare_chain(...)`, `combine_chain(...)`.
"""

import errno
import fcntl
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.programs import Account, Programs
from ledgerkeep.database.postgres.ward import Ward
from ledgerkeep.errors import RestoreFailed
from ledgerkeep.progress import Progress, format_bytes
from ledgerkeep.recovery.changed_blocks import write_changes
from ledgerkeep.recovery.extract import NO_SPACE
from ledgerkeep.recovery.room import Destination, Room

PROGRAM = "pg_combinebackup"
Method = Literal["link", "clone", "copy-file-range", "copy"]
"""How a file that no incremental touched gets into the copy."""

SHARING: tuple[Method, ...] = ("link", "clone")
"""The methods that take no space for such a file."""

_FIRST_WITH_LINK = 18
_FICLONE = 0x40049409
"""Linux: ioctl_ficlonerange(2)."""

_SHORT_WRITE = re.compile(r"wrote \d+ of \d+")
"""The last bytes that fit: the program tells them without the reason."""

_LOWEST_FREE = 10
"""Below it a descriptor might be one that the ward's shell script uses."""


def choose_method(directory: Path, major: int) -> Method:
    """The cheapest way for files to get from one directory below this one to another.

    :param directory: it exists; a file is made there for a moment.
    :param major: major version of the programs.
    """
    ways: list[tuple[Method, Callable[[Path, Path], object]]] = [
        ("clone", _clone),
        ("copy-file-range", _copy_file_range),
    ]
    if major >= _FIRST_WITH_LINK:
        ways.insert(0, ("link", os.link))
    with TemporaryDirectory(prefix=".try-", dir=directory) as place:
        source = Path(place) / "source"
        source.write_bytes(bytes(8192))
        for method, way in ways:
            try:
                way(source, Path(place) / method)
            except OSError:
                continue
            return method
    return "copy"


def prepare_chain(
    chain: Sequence[BaseBackup], room: Room, changed: Sequence[str], progress: Progress
) -> None:
    """Write the changed blocks into the whole files that they changed, so that those are shared.

    :param chain: from the full backup to the last incremental.
    :param changed: what `extract_chain` told.
    :raises RestoreFailed: the file system is full, or refuses.
    """
    total, done = sum(backup.raw_bytes for backup in chain[1:]), 0
    what = f"changed blocks of {len(chain) - 1} backups"

    def wrote(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total, what)

    try:
        write_changes([room.member(backup.id).data for backup in chain], changed, wrote)
    except OSError as problem:
        words = problem.strerror or str(problem)
        if problem.errno in NO_SPACE:
            raise _full(chain, room, words) from problem
        raise RestoreFailed(
            f"the changed blocks of {chain[-1].id} could not be written in {room.directory}: "
            f"{words}",
            hint="look at the permissions and the health of that file system",
        ) from problem


def combine_chain(
    chain: Sequence[BaseBackup],
    room: Room,
    programs: Programs,
    account: Account,
    method: Method,
    lock: int,
    progress: Progress,
) -> None:
    """Make the room's data directory of the chain's prepared backups, and remove those.

    The program dies with us. Should it take a moment to, it holds the room until then, so that
    nobody removes the directory that it still writes to.

    :param chain: from the full backup to the last incremental.
    :param lock: what `room.held()` yielded.
    :raises RestoreFailed: the file system is full, or the backups do not fit together.
    """
    log = room.directory / "combine.log"
    kept = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE)
    try:
        with log.open("ab") as output:
            ward = Ward.start(
                _command(chain, room, programs, method),
                account,
                directory=room.directory,
                output=output,
                ending="KILL",
                inherited=[kept],
            )
    finally:
        os.close(kept)
    try:
        status = _wait(ward, room, chain, progress)
    finally:
        ward.end()
    if status != 0:
        raise _failed(chain, room, log.read_text(errors="replace"))
    room.remove_members()


def _command(
    chain: Sequence[BaseBackup], room: Room, programs: Programs, method: Method
) -> list[str]:
    # The server flushes the whole copy at its start, and every file was checked on its way here.
    command = [programs.path(PROGRAM), "--no-sync", "--no-manifest"]
    if method != "copy":
        command.append(f"--{method}")
    for place in _tablespaces(room.member(chain[-1].id)):
        command += ["-T", f"{_quoted(place)}={_quoted(room.tablespaces / place.name)}"]
    command += ["-o", str(room.data)]
    return command + [str(room.member(backup.id).data) for backup in chain]


def _tablespaces(last: Destination) -> list[Path]:
    return sorted(last.tablespaces.iterdir())


def _quoted(path: Path) -> str:
    """A path in a tablespace mapping, where `=` separates the old one from the new."""
    return str(path).replace("=", "\\=")


def _wait(ward: Ward, room: Room, chain: Sequence[BaseBackup], progress: Progress) -> int:
    """Follow the program to its end; the file system says how much it has written."""
    what, total = f"combining {len(chain)} backups", sum(backup.raw_bytes for backup in chain)
    free = _free(room.directory)
    progress(0, total, what)
    while not ward.ended_within(0.5):
        progress(max(0, free - _free(room.directory)), total, what)
    return ward.process.returncode


def _free(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _clone(source: Path, target: Path) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "clones are looked for on Linux only")
    with source.open("rb") as reader, target.open("wb") as writer:
        fcntl.ioctl(writer, _FICLONE, reader.fileno())


def _copy_file_range(source: Path, target: Path) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "Linux only")
    with source.open("rb") as reader, target.open("wb") as writer:
        os.copy_file_range(reader.fileno(), writer.fileno(), source.stat().st_size)


def _failed(chain: Sequence[BaseBackup], room: Room, said: str) -> RestoreFailed:
    lines = [line for line in said.splitlines() if "error: " in line] or said.splitlines()[-3:]
    words = " ".join(line.removeprefix(f"{PROGRAM}: error: ") for line in lines)
    if _SHORT_WRITE.search(words) or any(os.strerror(number) in words for number in NO_SPACE):
        return _full(chain, room, words)
    return RestoreFailed(
        f"the chain of {chain[-1].id} could not be combined: {words or 'no word why'}",
        hint="if a backup of the chain is named, it does not fit the others: restore from another "
        "one, and take a new full backup; otherwise look at this worker's PostgreSQL programs",
    )


def _full(chain: Sequence[BaseBackup], room: Room, words: str) -> RestoreFailed:
    raw_bytes = sum(backup.raw_bytes for backup in chain)
    return RestoreFailed(
        f"the file system of {room.directory} is full while {len(chain)} backups are combined: "
        f"{words}",
        hint=f"combining may take {format_bytes(raw_bytes)} beside the backups themselves: "
        "free space there, or restore to another directory; the partial copy was removed",
    )
