"""The obligations of the storage port, against every implementation."""

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ledgerkeep.errors import ObjectConflict, ObjectCorrupt, ObjectMissing
from ledgerkeep.model import utc_now
from ledgerkeep.storage.port import ObjectStore, Retention, StoredObject
from tests.storage.conftest import PART

LARGE = random.Random(7).randbytes(2 * PART + 12_345)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def write(store: ObjectStore, key: str, body: bytes, *, step: int = 1_000_000, **about):
    with store.writer(key, **about) as writer:
        for start in range(0, len(body), step):
            writer.write(memoryview(body)[start : start + step])
        return writer.commit()


def write_and_be_interrupted(store: ObjectStore, body: bytes) -> None:
    with store.writer("volume") as writer:
        writer.write(body)
        raise KeyboardInterrupt


def test_what_was_put_is_got_with_its_hash_and_metadata(store):
    stored = store.put("a/b.json", b"{}", metadata={"kind": "test"})
    assert stored == StoredObject(key="a/b.json", size=2, sha256=sha256(b"{}"))
    assert store.get("a/b.json") == b"{}"
    head = store.head("a/b.json")
    assert head.size == 2
    assert head.metadata == {"kind": "test", "sha256": sha256(b"{}")}
    assert abs(utc_now() - head.modified_at) < timedelta(minutes=1)


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, len(LARGE)])
def test_what_was_written_is_read_with_its_hash(store, size):
    body = LARGE[:size]
    stored = write(store, "volume.zst", body)
    assert stored == StoredObject(key="volume.zst", size=size, sha256=sha256(body))
    assert b"".join(store.read(stored)) == body


def test_a_key_with_unusual_characters_is_kept(store):
    key = "a b/ü+%25&=(1)'.bin"
    stored = write(store, key, LARGE)
    assert b"".join(store.read(stored)) == LARGE
    assert [listed.key for listed in store.list("a b/")] == [key]


def test_the_same_content_again_is_success(store):
    assert store.put("k", b"same") == store.put("k", b"same")
    assert write(store, "large", LARGE) == write(store, "large", LARGE, step=777_777)
    assert write(store, "k", b"same").sha256 == sha256(b"same")


def test_other_content_is_refused_and_both_hashes_are_named(store):
    store.put("k", b"old")
    with pytest.raises(ObjectConflict) as refusal:
        store.put("k", b"new")
    assert refusal.value.message == (
        f"{store.location}/k exists already with other content: "
        f"stored sha256 {sha256(b'old')}, new sha256 {sha256(b'new')}"
    )
    assert refusal.value.hint == (
        "nothing was overwritten; find out which run wrote it before anything is removed"
    )
    assert store.get("k") == b"old"


def test_other_content_of_a_large_object_is_refused(store):
    write(store, "large", LARGE)
    other = b"x" + LARGE[1:]
    with pytest.raises(ObjectConflict) as refusal:
        write(store, "large", other)
    assert sha256(LARGE) in refusal.value.message
    assert sha256(other) in refusal.value.message
    with pytest.raises(ObjectConflict):
        store.put("large", b"small")


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_writer_left_without_commit_leaves_nothing(store, size):
    with store.writer("volume") as writer:
        writer.write(LARGE[:size])
    with pytest.raises(KeyboardInterrupt):
        write_and_be_interrupted(store, LARGE[:size])
    assert store.head("volume") is None
    assert list(store.list("")) == []


def test_nothing_is_visible_before_the_commit(store):
    with store.writer("volume") as writer:
        writer.write(LARGE)
        assert store.head("volume") is None
        writer.commit()
        assert store.head("volume").size == len(LARGE)


def test_a_missing_object_is_named(store):
    assert store.head("gone") is None
    with pytest.raises(ObjectMissing) as missing:
        store.get("gone")
    assert missing.value.message == f"{store.location}/gone does not exist"
    assert missing.value.hint == (
        "was it deleted, or does the policy name another bucket? "
        "with versioning an earlier version can be restored"
    )
    for size in (10, len(LARGE)):
        absent = StoredObject(key="gone", size=size, sha256=sha256(b""))
        with pytest.raises(ObjectMissing):
            list(store.read(absent))


def test_content_that_differs_from_the_expected_hash_is_corrupt(store):
    store.put("k", b"body")
    with pytest.raises(ObjectCorrupt) as corrupt:
        store.get("k", sha256=sha256(b"else"))
    assert corrupt.value.message == (
        f"{store.location}/k is not what was written: "
        f"sha256 {sha256(b'body')}, recorded {sha256(b'else')}"
    )
    assert corrupt.value.hint == (
        "do not restore from it: use another recovery point, or an earlier version of the object"
    )


@pytest.mark.parametrize("size", [1000, len(LARGE)])
def test_a_reader_notices_a_wrong_hash_at_the_end(store, size):
    stored = write(store, "volume", LARGE[:size])
    wrong = stored.model_copy(update={"sha256": sha256(b"else")})
    with pytest.raises(ObjectCorrupt) as corrupt:
        list(store.read(wrong))
    assert corrupt.value.message == (
        f"{store.location}/volume is not what was written: "
        f"sha256 {stored.sha256}, recorded {sha256(b'else')}"
    )


@pytest.mark.parametrize("size", [1000, len(LARGE), 2 * PART])
@pytest.mark.parametrize("off_by", [1, -1])
def test_a_reader_notices_a_wrong_size(store, size, off_by):
    stored = write(store, "volume", LARGE[:size])
    wrong = stored.model_copy(update={"size": size + off_by})
    with pytest.raises(ObjectCorrupt) as corrupt:
        list(store.read(wrong))
    assert corrupt.value.message == (
        f"{store.location}/volume has {size} bytes, {size + off_by} were recorded"
    )


def test_a_reader_can_be_closed_early(store):
    stored = write(store, "volume", LARGE)
    chunks = store.read(stored)
    assert LARGE.startswith(next(chunks))
    chunks.close()
    assert b"".join(store.read(stored)) == LARGE


def test_listing_is_in_key_order_and_starts_after_a_key(store):
    for name in ("b", "a", "c/d", "c/e"):
        store.put(f"p/{name}", name.encode())
    store.put("q", b"")
    assert [listed.key for listed in store.list("p/")] == ["p/a", "p/b", "p/c/d", "p/c/e"]
    assert [listed.key for listed in store.list("p/", start_after="p/b")] == ["p/c/d", "p/c/e"]
    assert [listed.size for listed in store.list("p/c")] == [3, 3]
    assert list(store.list("nothing/")) == []


@pytest.mark.parametrize("prefix", ["p/", "p/0"])
def test_a_listing_of_several_pages_has_each_object_once_and_in_order(store, prefix):
    names = [f"p/{number:04}" for number in range(1005)]
    with ThreadPoolExecutor(16) as workers:
        list(workers.map(lambda key: store.put(key, key.encode()), names))
    wanted = [name for name in names if name.startswith(prefix)]
    assert [listed.key for listed in store.list(prefix)] == wanted
    after = "p/0998"
    assert [listed.key for listed in store.list(prefix, start_after=after)] == [
        name for name in wanted if name > after
    ]


def test_a_listing_tells_contents_apart_however_it_is_asked(store):
    for name, body in (("p/1", b"same"), ("p/2", b"same"), ("p/3", b"else")):
        store.put(name, body)
    one, two, other = store.list("p/")
    assert one.etag == two.etag != other.etag
    assert [one, two, other] == list(store.list("p"))


def test_directories_are_the_next_components(store):
    for key in ("p/2/x", "p/1/x", "p/1/y/z", "p/file"):
        store.put(key, b"")
    assert list(store.list_directories("p/")) == ["1", "2"]
    assert list(store.list_directories("p/1/")) == ["y"]
    assert list(store.list_directories("nothing/")) == []


@pytest.mark.parametrize("size", [10, len(LARGE)])
def test_a_locked_object_survives_a_sweep(store, size):
    until = (utc_now() + timedelta(hours=1)).replace(microsecond=0)
    lock = Retention(mode="GOVERNANCE", until=until)
    write(store, "p/locked", LARGE[:size], retention=lock)
    store.put("p/open", b"")
    assert store.head("p/locked").retention == lock
    assert store.delete_prefix("p/") == 1
    assert [listed.key for listed in store.list("p/")] == ["p/locked"]


def test_a_lock_can_be_put_on_later_and_prolonged(store):
    store.put("k", b"body")
    assert store.head("k").retention is None
    for hours in (1, 2):
        until = (utc_now() + timedelta(hours=hours)).replace(microsecond=0)
        store.retain("k", Retention(mode="COMPLIANCE", until=until))
        assert store.head("k").retention == Retention(mode="COMPLIANCE", until=until)
    assert store.delete_prefix("k") == 0
    with pytest.raises(ObjectMissing):
        store.retain("gone", Retention(mode="COMPLIANCE", until=until))


def test_a_bucket_with_object_lock_says_so(store):
    assert store.keeps_locks()
    store.put("k", b"body")
    assert store.head("k").storage_class == "STANDARD"


def test_a_sweep_removes_only_what_is_below_the_prefix_and_old_enough(store):
    for key in ("p/1", "p/2", "other"):
        store.put(key, b"")
    assert store.delete_prefix("p/", older_than=utc_now() - timedelta(hours=1)) == 0
    assert store.delete_prefix("p/", older_than=utc_now() + timedelta(hours=1)) == 2
    assert store.delete_prefix("p/") == 0
    assert [listed.key for listed in store.list("")] == ["other"]


def test_a_swept_key_can_be_written_again(store):
    store.put("k", b"interrupted")
    store.delete_prefix("k")
    assert store.put("k", b"again").sha256 == sha256(b"again")


def test_a_store_that_is_there_passes_the_check(store):
    store.check()
    assert store.location.startswith("s3://")
