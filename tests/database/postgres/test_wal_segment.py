"""Checking and storing one segment."""

import hashlib
import os
import struct
from collections.abc import Iterator

import pytest

from ledgerkeep.database.postgres.wal_segment import (
    BLOCK,
    Segment,
    check_header,
    inspect_stored,
    store_segment,
    stored_content_hash,
)
from ledgerkeep.errors import ForeignCluster, ObjectCorrupt, WalConflict, WalError
from tests.support.memory_store import MemoryStore

SIZE = 2 * BLOCK
SEGMENT = Segment("production", "7777", 3, 5 * SIZE, SIZE, frozenset({2}))


def _page(
    *,
    magic: int = 0xD118,
    flags: int = 2,
    timeline: int = 3,
    address: int = 5 * SIZE,
    system: int = 7777,
    size: int = SIZE,
) -> bytes:
    return struct.pack("<HHIQI4xQII", magic, flags, timeline, address, 0, system, size, 8192)


def _content(seed: bytes = b"") -> bytes:
    return (_page() + seed).ljust(SIZE, b"\0")


def _blocks(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), BLOCK):
        yield content[at : at + BLOCK]


def _store(store: MemoryStore, content: bytes, level: int = 1) -> object:
    return store_segment(store, SEGMENT, _blocks(content), level=level, retention=None)


@pytest.mark.parametrize("magic", [0xD110, 0xD113, 0xD116, 0xD118])
@pytest.mark.parametrize("timeline", [2, 3])
def test_the_right_header_passes(magic: int, timeline: int) -> None:
    """PostgreSQL 15 to 18; an ancestor's pages where the timeline begins."""
    check_header(_page(magic=magic, timeline=timeline), SEGMENT)


@pytest.mark.parametrize(
    ("header", "kind", "message", "hint"),
    [
        (
            {"system": 8888},
            ForeignCluster,
            "segment 00000003000000000000000A.. is of cluster 8888, "
            "but cluster 7777 is shipped here",
            "was the data directory replaced while the server ran? check the connection",
        ),
        (
            {"magic": 0x1234},
            WalError,
            "segment 00000003000000000000000A.. does not begin with a WAL page header "
            "(magic 1234, flags 0002)",
            "the server's pg_wal may be damaged: look at it with pg_waldump",
        ),
        (
            {"flags": 0},
            WalError,
            "segment 00000003000000000000000A.. does not begin with a WAL page header "
            "(magic D118, flags 0000)",
            "the server's pg_wal may be damaged: look at it with pg_waldump",
        ),
        (
            {"timeline": 4},
            WalError,
            "segment 00000003000000000000000A.. names timeline 4",
            "was the server promoted just now? run again",
        ),
        (
            {"address": SIZE},
            WalError,
            "segment 00000003000000000000000A.. says it is 2097152 bytes at 0/200000, "
            "not 2097152 at 0/A00000",
            "the server's pg_wal may be damaged: look at it with pg_waldump",
        ),
        (
            {"size": 1 << 24},
            WalError,
            "segment 00000003000000000000000A.. says it is 16777216 bytes at 0/A00000, "
            "not 2097152 at 0/A00000",
            "the server's pg_wal may be damaged: look at it with pg_waldump",
        ),
    ],
)
def test_a_wrong_header_is_refused_before_anything_is_stored(
    header: dict[str, int], kind: type[WalError], message: str, hint: str
) -> None:
    """Each field has its own words."""
    store = MemoryStore()
    with pytest.raises(kind) as refused:
        _store(store, _page(**header).ljust(SIZE, b"\0"))
    assert refused.value.message == message.replace("00000003000000000000000A..", SEGMENT.name)
    assert refused.value.hint == hint
    assert store.objects == {}


def test_a_stored_segment_says_what_it_is() -> None:
    """Its metadata lets anybody check it without us."""
    store, content = MemoryStore(), _content()
    shipped = _store(store, content)
    head = store.head(SEGMENT.key)
    assert head.metadata == {
        "sha256": shipped.stored.sha256,
        "raw-sha256": hashlib.sha256(content).hexdigest(),
        "system-identifier": "7777",
        "start-lsn": "0/A00000",
        "timeline": "3",
    }
    assert inspect_stored(store, SEGMENT) == shipped


def test_the_same_content_again_is_success_however_it_was_compressed() -> None:
    """A killed worker's segment; another zstd."""
    store, content = MemoryStore(), _content(os.urandom(5000) * 20)
    first = _store(store, content)
    assert _store(store, content) == first
    assert _store(store, content, level=15) == first


def test_other_content_is_a_conflict_that_names_both_hashes() -> None:
    """Nothing is overwritten."""
    store = MemoryStore()
    _store(store, _content(b"one"))
    hashes = [hashlib.sha256(_content(seed)).hexdigest() for seed in (b"one", b"two")]
    with pytest.raises(WalConflict) as refused:
        _store(store, _content(b"two"))
    assert refused.value.message == (
        f"segment {SEGMENT.name} is stored already with other content: SHA-256 of the content is "
        f"{hashes[0]} in s3://memory, {hashes[1]} on the server"
    )
    assert refused.value.hint == (
        "two servers ship to this place, or the stored segment was tampered with: "
        "compare both with pg_waldump before anything else; nothing was overwritten"
    )
    assert stored_content_hash(store, SEGMENT.key) == hashes[0]


def test_a_segment_that_is_cut_short_is_not_stored() -> None:
    """A stream that ends early leaves nothing."""
    store = MemoryStore()
    with pytest.raises(WalError) as refused:
        _store(store, _content()[:BLOCK])
    assert refused.value.message == f"segment {SEGMENT.name} has 1048576 bytes instead of 2097152"
    assert refused.value.hint == "nothing of it counts; run again"
    assert store.objects == {}


def test_a_segment_too_large_for_one_request_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content hash is not known at the start, so it is computed when it is asked for."""
    monkeypatch.setattr("ledgerkeep.database.postgres.wal_segment._ONE_REQUEST", BLOCK // 2)
    store, content = MemoryStore(), _content(os.urandom(SIZE - 100))
    shipped = _store(store, content)
    assert "raw-sha256" not in store.head(SEGMENT.key).metadata
    assert stored_content_hash(store, SEGMENT.key) == hashlib.sha256(content).hexdigest()
    assert inspect_stored(store, SEGMENT) == shipped
    assert _store(store, content) == shipped


def test_a_stored_segment_that_is_no_zstd_is_named() -> None:
    """Somebody put something else there."""
    store = MemoryStore()
    store.put(SEGMENT.key, b"nonsense")
    with pytest.raises(ObjectCorrupt, match="is not a zstd stream that can be read"):
        inspect_stored(store, SEGMENT)
