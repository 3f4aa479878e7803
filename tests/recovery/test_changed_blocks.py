"""What changed blocks make of a file: what pg_combinebackup makes of it, byte for byte."""

import errno
import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.errors import RestoreFailed
from ledgerkeep.progress import no_progress
from ledgerkeep.recovery.changed_blocks import BLOCK, read_header, write_changes
from ledgerkeep.recovery.combine import combine_chain, prepare_chain
from ledgerkeep.recovery.extract_chain import extract_chain
from ledgerkeep.recovery.preflight import find_worker
from ledgerkeep.recovery.room import Room, RoomRecord
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.recovery.chains import Chain, lived_through_a_chain
from tests.recovery.samples import backup
from tests.recovery.test_room import record

PLAIN = "base/5/16384"
PATH = "base/5/INCREMENTAL.16384"
MAGIC = 0xD3AE1F0D

Incremental = tuple[int, dict[int, int]]
"""The length up to which older backups may be asked, and the blocks: number to filling."""


def block(filling: int) -> bytes:
    return bytes([filling]) * BLOCK


def incremental(until: int, blocks: dict[int, int], *, magic: int = MAGIC) -> bytes:
    """An incremental file as the server writes it."""
    header = struct.pack(f"=III{len(blocks)}I", magic, len(blocks), until, *blocks)
    padding = bytes(-len(header) % BLOCK) if blocks else b""
    return header + padding + b"".join(map(block, blocks.values()))


def members(place: Path, files: list[dict[str, bytes]]) -> list[Path]:
    """Backups of a chain, each with these files."""
    return [fill(place / str(number), content) for number, content in enumerate(files)]


def fill(directory: Path, content: dict[str, bytes]) -> Path:
    (directory / "base/5").mkdir(parents=True)
    for path, body in content.items():
        (directory / path).write_bytes(body)
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def combined(base: bytes, changes: list[Incremental]) -> bytes:
    """What PostgreSQL makes of it, block by block (see write_changes' source)."""
    until, newest = changes[-1]
    length = max([until, *(number + 1 for number in newest)])
    made = []
    for number in range(length):
        found = newest.get(number)
        for _, blocks in reversed(changes[:-1]) if number < until else ():
            found = blocks.get(number) if found is None else found
        whole = base[number * BLOCK : (number + 1) * BLOCK] if number < until else b""
        if found is not None:
            made.append(block(found))
        else:
            made.append(whole if len(whole) == BLOCK else bytes(BLOCK))
    return b"".join(made)


changes = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.dictionaries(st.integers(0, 11), st.integers(1, 255), max_size=8),
    ),
    min_size=1,
    max_size=4,
)


@given(base=st.lists(st.integers(1, 255), max_size=10), tail=st.integers(0, 9), changes=changes)
def test_of_each_block_the_newest_stays_and_nothing_of_what_was_cut_off(
    base: list[int], tail: int, changes: list[Incremental], tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = b"".join(map(block, base)) + b"x" * tail
    files = [{PLAIN: whole}, *({PATH: incremental(*change)} for change in changes)]
    made = members(tmp_path_factory.mktemp("chain"), files)
    told: list[int] = []
    write_changes(made, [PATH, PATH], told.append)
    assert content(made[-1]) == {PLAIN: combined(whole, changes)}
    assert content(made[0]) == {}
    at_most = sum(len(blocks) for _, blocks in changes)
    assert sum(told) <= at_most * BLOCK


def test_file_begins_anew_with_the_last_backup_that_has_it_whole(tmp_path: Path) -> None:
    made = members(
        tmp_path,
        [
            {PLAIN: block(1) * 3},
            {PATH: incremental(3, {2: 9})},
            {PLAIN: block(4)},
            {PATH: incremental(1, {1: 5})},
        ],
    )
    write_changes(made, [PATH], lambda _: None)
    assert content(made[-1]) == {PLAIN: block(4) + block(5)}
    assert content(made[0]) == {PLAIN: block(1) * 3}


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({PLAIN: block(7)}, id="whole in the newest"),
        pytest.param({}, id="dropped before the newest"),
        pytest.param({PATH: incremental(1, {0: 3}, magic=1)}, id="another magic number"),
        pytest.param({PATH: incremental(1, {0: 3}) + b"x"}, id="another size"),
        pytest.param({PATH: b"short"}, id="no header"),
        pytest.param({PATH: struct.pack("=III", MAGIC, 2**32 - 1, 1)}, id="an absurd count"),
        pytest.param({PATH: struct.pack("=III", MAGIC, 1, 1) * 2}, id="no room for its blocks"),
    ],
)
def test_what_is_not_as_expected_is_left_to_the_program(
    tmp_path: Path, last: dict[str, bytes]
) -> None:
    files = [{PLAIN: block(1)}, {PATH: incremental(1, {0: 2})}, last]
    made = members(tmp_path, files)
    write_changes(made, [PATH], lambda _: None)
    assert [content(member) for member in made] == files


def test_file_that_a_backup_between_lacks_is_left_to_the_program(tmp_path: Path) -> None:
    files = [{PLAIN: block(1)}, {}, {PATH: incremental(1, {0: 2})}]
    made = members(tmp_path, files)
    write_changes(made, [PATH], lambda _: None)
    assert [content(member) for member in made] == files


@given(st.lists(st.integers(0, 600), unique=True, max_size=400), st.integers(0, 600))
def test_runs_bring_every_block_below_the_bound_once(numbers: list[int], below: int) -> None:
    start = struct.pack(f"=III{len(numbers)}I", MAGIC, len(numbers), 0, *numbers)
    length = -(-len(start) // BLOCK) * BLOCK if numbers else len(start)
    header = read_header(start, length + len(numbers) * BLOCK)
    assert header is not None
    runs = list(header.runs(below))
    brought = {
        (here + step, there + step) for here, there, size in runs for step in range(0, size, BLOCK)
    }
    assert brought == {
        (length + position * BLOCK, number * BLOCK)
        for position, number in enumerate(numbers)
        if number < below
    }
    assert max((size for _, _, size in runs), default=0) <= 128 * BLOCK
    assert all(one[0] + one[2] <= next_one[0] for one, next_one in pairwise(runs))


@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        pytest.param(
            errno.ENOSPC,
            "the file system of {room} is full while 2 backups are combined: "
            "No space left on device",
            "combining may take 200 B beside the backups themselves: free space there, or restore "
            "to another directory; the partial copy was removed",
            id="full",
        ),
        pytest.param(
            errno.EIO,
            "the changed blocks of tuesday could not be written in {room}: Input/output error",
            "look at the permissions and the health of that file system",
            id="broken",
        ),
    ],
)
def test_disk_that_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str, hint: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    room = Room(tmp_path, record())
    chain = [
        backup(name, stop=stop, at=stop).model_copy(update={"raw_bytes": 100})
        for name, stop in (("monday", 3), ("tuesday", 4))
    ]
    for one, files in zip(chain, [{PLAIN: block(1)}, {PATH: incremental(1, {0: 2})}], strict=True):
        fill(room.member(one.id).data, files)
    monkeypatch.setattr("ledgerkeep.recovery.changed_blocks.os.pwrite", refuse)
    with pytest.raises(RestoreFailed) as failed:
        prepare_chain(chain, room, [PATH], no_progress)
    assert failed.value.message == message.format(room=tmp_path)
    assert failed.value.hint == hint


# -- against the program


@pytest.fixture(scope="module")
def chain(place: Place, s3: ObjectStoreServer) -> Iterator[Chain]:
    with lived_through_a_chain(place, s3) as lived:
        yield lived


@pytest.mark.integration
def test_real_chain_becomes_what_the_program_alone_makes_of_it(
    chain: Chain, room: Path, settings: WorkerSettings
) -> None:
    ours = _restored(chain, room / "ours", settings, prepare=True)
    alone = _restored(chain, room / "alone", settings, prepare=False)
    assert list(ours) == list(alone)
    assert [path for path in ours if ours[path] != alone[path]] == []


def _restored(
    chain: Chain, directory: Path, settings: WorkerSettings, *, prepare: bool
) -> dict[str, bytes]:
    """The files that are made of the chain, with the program's work done for it or not."""
    worker = find_worker(settings, chain.backup.server_version // 10_000)
    plan = chain.plan(RecoveryTarget(latest=True))
    made = RoomRecord(**{**record().model_dump(), "plan": plan})
    room = Room.create(directory, made, worker.account)
    extracted = extract_chain(
        chain.catalog.store, chain.members, room, worker.account, no_progress, lasting=False
    )
    last = room.member(chain.backup.id).data
    assert any((last / path).exists() for path in extracted.changed)
    if prepare:
        prepare_chain(chain.members, room, extracted.changed, no_progress)
        assert not any((last / path).exists() for path in extracted.changed)
    with room.held() as lock:
        combine_chain(
            chain.members, room, worker.programs, worker.account, "link", lock, no_progress
        )
    found = {}
    for root, _, names in os.walk(room.directory / "data", followlinks=True):
        for name in names:
            path = Path(root) / name
            found[str(path.relative_to(room.data))] = path.read_bytes()
    return dict(sorted(found.items()))
