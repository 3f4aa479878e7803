"""The blocks that incremental backups bring, written into the whole file that an older one brought.

pg_combinebackup writes a file anew when any block of it changed. That is nearly every large file
of a busy database: all of it would be written twice. So before the program is called, the changed
blocks are written over the whole file where it lies, and the result takes the place of the newest
incremental file. For the program it is then a file that the newest backup brought whole, and a
link to it is all that is left to make.

What a file becomes is what the program would have made of it, byte for byte (PostgreSQL:
src/bin/pg_combinebackup/reconstruct.c). Whatever does not look as expected is left alone: the
program puts it together, or says what is wrong with it. It also still decides whether the backups
follow each other. Nothing here needs to be undone: a chain that fails half-way is removed.

Public: `write_changes(members, changed, progress)`; the pure part is `read_header(start, size)`.
"""

import errno
import os
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ledgerkeep.recovery.unchanged import INCREMENTAL

BLOCK = 8192
"""Bytes; files of a server that was built with other blocks do not look as expected."""

_MAGIC = 0xD3AE1F0D
_FIELDS = struct.Struct("=III")
_LONGEST_RUN = 128
"""Blocks that are written at once: memory stays at a megabyte."""

Wrote = Callable[[int], None]
"""Told how many bytes were just written."""


@dataclass(frozen=True)
class Header:
    """What an incremental file says about itself (PostgreSQL: basebackup_incremental.c)."""

    length: int
    """Bytes before the first block."""
    until: int
    """Blocks below this one are as in the backup before, where this file does not bring them;
    others existed no more at some moment between the two."""
    blocks: Sequence[int]
    """Which blocks of the whole file it brings, in the order in which it brings them."""

    @property
    def whole_length(self) -> int:
        """Blocks of the whole file, in this backup."""
        return max(self.until, max(self.blocks, default=-1) + 1)

    def runs(self, below: int) -> Iterator[tuple[int, int, int]]:
        """Offset here, offset in the whole file and bytes of what follows each other in both.

        :param below: blocks from this number on are passed over.
        """
        first = count = 0
        for position, block in enumerate(self.blocks):
            if count and block == self.blocks[first] + count < below and count < _LONGEST_RUN:
                count += 1
                continue
            if count:
                yield self._run(first, count)
            first, count = position, int(block < below)
        if count:
            yield self._run(first, count)

    def _run(self, first: int, count: int) -> tuple[int, int, int]:
        return self.length + first * BLOCK, self.blocks[first] * BLOCK, count * BLOCK


@dataclass(frozen=True)
class _Change:
    """An open incremental file."""

    descriptor: int
    header: Header


def write_changes(members: Sequence[Path], changed: Iterable[str], wrote: Wrote) -> None:
    """Make whole files of the newest backup's incremental ones.

    :param members: the data directories of the backups, from the full one to the last.
    :param changed: paths of the incremental files in any of them that bring blocks.
    :raises OSError: the file system is full, or refuses.
    """
    for path in sorted(set(changed)):
        folder, _, name = path.rpartition("/")
        _write_file(members, path, f"{folder}/{name.removeprefix(INCREMENTAL)}", wrote)


def _write_file(members: Sequence[Path], path: str, plain: str, wrote: Wrote) -> None:
    newest = members[-1]
    base, sources = _sources(members, path, plain)
    if base is None or not sources:
        return
    with ExitStack() as leave:
        changes = []
        for source in sources:
            descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
            leave.callback(os.close, descriptor)
            header = _header(descriptor)
            if header is None:
                return
            changes.append(_Change(descriptor, header))
        whole = os.open(base, os.O_RDWR | os.O_NOFOLLOW)
        leave.callback(os.close, whole)
        _write(whole, changes, wrote)
    os.rename(base, newest / plain)
    os.unlink(newest / path)


def _sources(members: Sequence[Path], path: str, plain: str) -> tuple[Path | None, list[Path]]:
    """The last whole file, and the incremental ones since then, oldest first.

    No whole file: one of the backups since has neither. No incremental one: the newest backup has
    the file whole, or not at all.
    """
    sources: list[Path] = []
    for member in reversed(members):
        if (member / plain).exists():
            return member / plain, sources[::-1]
        if not (member / path).exists():
            break
        sources.append(member / path)
    return None, []


def _write(whole: int, changes: Sequence[_Change], wrote: Wrote) -> None:
    """Write the changes, oldest first, so that of each block the newest stays."""
    *older, newest = changes
    until = newest.header.until
    # What the newest backup does not vouch for comes from no older one.
    os.ftruncate(whole, min(os.fstat(whole).st_size // BLOCK, until) * BLOCK)
    for change in older:
        _copy(change, whole, until, wrote)
    _copy(newest, whole, newest.header.whole_length, wrote)
    # Blocks that nobody brought are zero: the server made room and wrote nothing there.
    os.ftruncate(whole, newest.header.whole_length * BLOCK)


def _copy(change: _Change, whole: int, below: int, wrote: Wrote) -> None:
    for here, there, size in change.header.runs(below):
        piece = memoryview(os.pread(change.descriptor, size, here))
        if len(piece) < size:
            raise OSError(errno.EIO, "an incremental file ended too soon")
        while piece:
            written = os.pwrite(whole, piece, there)
            piece, there = piece[written:], there + written
        wrote(size)


def _header(descriptor: int) -> Header | None:
    size = os.fstat(descriptor).st_size
    start = os.pread(descriptor, _FIELDS.size, 0)
    if len(start) < _FIELDS.size:
        return None
    count = _FIELDS.unpack(start)[1]
    # The count is not trusted before the size agrees with it.
    if size != _FIELDS.size and count * BLOCK >= size:
        return None
    return read_header(os.pread(descriptor, _FIELDS.size + 4 * count, 0), size)


def read_header(start: bytes, size: int) -> Header | None:
    """Read an incremental file's header; None: it does not look like one that we know.

    :param start: the file's first bytes, all of its header without the padding.
    :param size: of the file.
    """
    magic, count, until = _FIELDS.unpack_from(start)
    numbers = start[_FIELDS.size :]
    length = len(start) if not count else -(-len(start) // BLOCK) * BLOCK
    if magic != _MAGIC or len(numbers) != 4 * count or size != length + count * BLOCK:
        return None
    return Header(length, until, array("I", numbers))
