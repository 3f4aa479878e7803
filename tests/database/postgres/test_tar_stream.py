"""The parser of the server's tar streams, against archives made by Python's own tarfile."""

import io
import tarfile
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerkeep.database.postgres.tar_stream import Member, MemberEnd, MemberKind, read_tar
from ledgerkeep.errors import ObjectCorrupt

REPAIR = (
    "this backup cannot be restored; take a new full backup, and restore from another one "
    "until then"
)


def make_tar(files: dict[str, bytes], format: int = tarfile.USTAR_FORMAT) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=format) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            archive.addfile(info, io.BytesIO(content))
    return body.getvalue()


def cut(body: bytes, size: int) -> Iterator[memoryview]:
    for start in range(0, len(body), size):
        yield memoryview(body)[start : start + size]


def files_of(chunks: Iterable[bytes | memoryview]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    open_member: Member | None = None
    for event in read_tar(chunks, "base"):
        if isinstance(event, Member):
            assert open_member is None
            open_member, found[event.name] = event, b""
        elif isinstance(event, MemberEnd):
            assert event.member is open_member
            assert len(found[event.member.name]) == event.member.size
            open_member = None
        else:
            assert open_member is not None
            found[open_member.name] += event
    assert open_member is None
    return found


@settings(deadline=None, max_examples=60)
@given(
    files=st.dictionaries(
        st.text("abcdef/._", min_size=1, max_size=40).filter(lambda name: name.strip("/") == name),
        st.binary(max_size=3000),
        max_size=6,
    ),
    size=st.integers(1, 5000),
)
def test_chunks_of_any_size_give_the_same_files(files: dict[str, bytes], size: int) -> None:
    assert files_of(cut(make_tar(files), size)) == files


def test_directories_and_links_lose_their_trailing_slash() -> None:
    """PostgreSQL ends the names of directories, and of links to directories, with a slash."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        directory = tarfile.TarInfo("pg_tblspc/")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(directory)
        link = tarfile.TarInfo("pg_tblspc/16384/")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, "/srv/fast", 0o777
        archive.addfile(link)
    members = [event for event in read_tar([body.getvalue()], "base") if isinstance(event, Member)]
    assert members == [
        Member("pg_tblspc", 0, 0o700, MemberKind.DIRECTORY),
        Member("pg_tblspc/16384", 0, 0o777, MemberKind.SYMLINK, "/srv/fast"),
    ]


def test_size_in_base_256_is_read() -> None:
    """Files of 8 GiB and more do not fit the octal field."""
    header = bytearray(make_tar({"big": b""})[:512])
    header[124:136] = b"\x80" + (9 << 30).to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    member = next(read_tar([bytes(header)], "base"))
    assert isinstance(member, Member)
    assert member.size == 9 << 30


def test_payload_is_not_copied() -> None:
    body = make_tar({"relation": b"x" * 8192})
    pieces = [event for event in read_tar([body], "base") if isinstance(event, memoryview)]
    assert [piece.obj is body for piece in pieces] == [True]


def test_everything_behind_the_end_is_still_read() -> None:
    """So that a store's check of the whole object is not cut off before its last word."""
    read = []

    def chunks() -> Iterator[bytes]:
        yield make_tar({"a": b"1"})
        read.append("end")

    assert files_of(chunks()) == {"a": b"1"}
    assert read == ["end"]


WHOLE = make_tar({"a": b"content"})[: 4 * 512]  # header, content, two zero blocks


@pytest.mark.parametrize(
    ("body", "place", "what"),
    [
        (WHOLE[:1024], 1024, "it ends before its end block"),
        (WHOLE[:515], 515, "it ends before its end block"),
        (b"!" + WHOLE[1:], 0, "a member's header does not have its checksum"),
        (b"\1" * 512 + WHOLE, 0, "no member begins where one should"),
        (WHOLE[:124] + b"9" + WHOLE[125:], 0, "a member's header does not have its checksum"),
        (WHOLE + b"\1", 1536, "something follows the end of the archive"),
    ],
    ids=["without its end", "cut", "name", "no header", "size", "trailing byte"],
)
def test_damage_is_refused_with_its_place(body: bytes, place: int, what: str) -> None:
    with pytest.raises(ObjectCorrupt) as caught:
        files_of([body])
    assert caught.value.message == (f"the tar stream of base is damaged at byte {place}: {what}")
    assert caught.value.hint == REPAIR


def test_formats_no_server_writes_are_refused() -> None:
    body = make_tar({"n" * 200: b"content"}, tarfile.GNU_FORMAT)
    with pytest.raises(ObjectCorrupt) as caught:
        files_of([body])
    assert caught.value.message == (
        "the tar stream of base is damaged at byte 0: a member of unknown type b'L'"
    )
