"""The tar streams PostgreSQL's BASE_BACKUP sends, read as they arrive.

Python's `tarfile` spends its time on seeking, on copies and on formats that never occur here; a
restore through it takes three times as long as the network. This parser reads the one format the
server writes (PostgreSQL: src/port/tar.c): ustar headers, sizes in octal or base 256, files,
directories and symbolic links, two zero blocks at the end. Payload passes as views of the chunks
that came in, so the work is per member and per chunk, never per byte.

Whatever else turns up (GNU long names, pax headers, devices, hard links) was not written by a
PostgreSQL server, and is refused rather than guessed at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from ledgerkeep.errors import ObjectCorrupt

_BLOCK = 512
_ZERO_BLOCK = bytes(_BLOCK)


class MemberKind(Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


_KINDS = {b"0": MemberKind.FILE, b"2": MemberKind.SYMLINK, b"5": MemberKind.DIRECTORY}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, as its header describes it."""

    name: str
    """Path relative to the archive's root, without a trailing slash."""
    size: int
    """Bytes of payload that follow; 0 for anything but a file."""
    mode: int
    """Permission bits."""
    kind: MemberKind
    link_target: str | None = None
    """Where a symbolic link points; None for anything else."""


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """All payload of this member has passed."""

    member: Member


TarEvent = Member | memoryview | MemberEnd
"""A member begins, a piece of its payload, the member ends; always in that order."""


def read_tar(chunks: Iterable[bytes | memoryview], name: str) -> Iterator[TarEvent]:
    """Parse one archive from chunks of any size.

    A payload view is valid as long as the caller keeps it; it holds on to its whole chunk. All
    chunks are read to their end, so what checks them behind their last byte gets its chance.

    :param name: of the archive, for messages.
    :raises ObjectCorrupt: the stream is not such an archive, or ends before its end.
    """
    source = _Source(chunks, name)
    while (header := source.exactly(_BLOCK)) != _ZERO_BLOCK:
        member = _parse_header(header, name, source.position - _BLOCK)
        yield member
        left = member.size
        while left:
            piece = source.up_to(left)
            left -= len(piece)
            yield piece
        yield MemberEnd(member)
        source.exactly(-member.size % _BLOCK)
    _expect_end(source)


class _Source:
    """Chunks as one stream with a position."""

    def __init__(self, chunks: Iterable[bytes | memoryview], name: str) -> None:
        self._chunks = iter(chunks)
        self.name = name
        self._view = memoryview(b"")
        self.position = 0

    def up_to(self, count: int) -> memoryview:
        """The next bytes: at least one, at most `count`, never copied."""
        while not self._view:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _corrupt(self.name, self.position, "it ends before its end block")
            self._view = memoryview(chunk)
        piece = self._view[:count]
        self._view = self._view[count:]
        self.position += len(piece)
        return piece

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, copied together where they straddle chunks."""
        parts = []
        while count:
            piece = self.up_to(count)
            count -= len(piece)
            parts.append(piece)
        return b"".join(parts)

    def rest(self) -> Iterator[memoryview]:
        """Whatever is left."""
        yield self._view
        for chunk in self._chunks:
            yield memoryview(chunk)


def _expect_end(source: _Source) -> None:
    end = source.position
    for left in source.rest():
        if bytes(left).strip(b"\0"):
            raise _corrupt(source.name, end, "something follows the end of the archive")


def _parse_header(header: bytes, archive: str, position: int) -> Member:
    """The member a ustar header describes (POSIX.1-1988, as src/port/tar.c fills it in)."""
    _check_header(header, archive, position)
    kind = _KINDS.get(header[156:157])
    if kind is None:
        raise _corrupt(archive, position, f"a member of unknown type {header[156:157]!r}")
    prefix, name = _text(header[345:500]), _text(header[0:100])
    return Member(
        name=(f"{prefix}/{name}" if prefix else name).rstrip("/"),
        size=_number(header[124:136], archive, position) if kind is MemberKind.FILE else 0,
        mode=_number(header[100:108], archive, position) & 0o7777,
        kind=kind,
        link_target=_text(header[157:257]) if kind is MemberKind.SYMLINK else None,
    )


def _check_header(header: bytes, archive: str, position: int) -> None:
    if header[257:262] != b"ustar":
        raise _corrupt(archive, position, "no member begins where one should")
    # The checksum is made with its own field taken as eight spaces.
    actual = sum(header) - sum(header[148:156]) + 8 * 0x20
    if _number(header[148:156], archive, position) != actual:
        raise _corrupt(archive, position, "a member's header does not have its checksum")


def _number(field: bytes, archive: str, position: int) -> int:
    """A numeric field: octal digits, or base 256 when the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        raise _corrupt(archive, position, f"{field!r} is not a number") from None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _corrupt(archive: str, position: int, what: str) -> ObjectCorrupt:
    return ObjectCorrupt(
        f"the tar stream of {archive} is damaged at byte {position}: {what}",
        hint="this backup cannot be restored; take a new full backup, and restore from another one "
        "until then",
    )
