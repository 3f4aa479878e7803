"""The index can be old, damaged, missing or written twice: the catalog stays what is stored."""

import dataclasses

import pytest

from ledgerkeep.catalog import index as indexes
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.index import Copy, decode, encode, load_index, refresh_indexes
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.storage.compression import compress_bytes
from ledgerkeep.storage.port import ObjectStore
from tests.catalog.stored import catalog_on, keys_of, store_all, store_backup
from tests.recovery.samples import SYSTEM, backup, stretch
from tests.storage.conftest import open_bucket, store  # noqa: F401 - fixtures
from tests.support.memory_store import MemoryStore

PREFIX = keys.indexes("production", SYSTEM, "backups")


class CountingStore(MemoryStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, key: str, *, sha256: str | None = None) -> bytes:
        self.read.append(key)
        return super().get(key, sha256=sha256)


@pytest.fixture(autouse=True)
def a_few_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests need not store hundreds."""
    monkeypatch.setattr(indexes, "WORTH_IT", 3)
    monkeypatch.setattr("ledgerkeep.catalog.reading.WORTH_IT", 3)


@pytest.fixture
def counted() -> CountingStore:
    return CountingStore()


@pytest.fixture
def catalog(counted: CountingStore) -> Catalog:
    """Twenty backups and four stretches, indexed."""
    made = catalog_on(counted)
    store_all(made, *(backup(f"b{number:02}", stop=number, at=number) for number in range(20)))
    store_all(made, *(stretch(number, number, until=number) for number in range(4)))
    refresh_indexes(made, SYSTEM)
    counted.read.clear()
    return made


def ids(catalog: Catalog) -> list[str]:
    return [one.id for one in catalog.backups(SYSTEM)]


def index_keys(catalog: Catalog) -> list[str]:
    return [listed.key for listed in catalog.store.list(PREFIX)]


def damage(counted: MemoryStore, key: str) -> None:
    found = counted.objects[key]
    body = bytearray(found.body)
    body[len(body) // 2] ^= 1
    counted.objects[key] = dataclasses.replace(found, body=bytes(body))


def test_what_is_indexed_is_read_with_one_request(catalog: Catalog, counted: CountingStore) -> None:
    plain = catalog_on(MemoryStore())
    plain.store.objects = {  # type: ignore[attr-defined]
        key: found for key, found in counted.objects.items() if "/index/" not in key
    }
    assert catalog.snapshot(SYSTEM) == plain.snapshot(SYSTEM)
    assert len(counted.read) == 2  # one index of the backups, one of the stretches
    assert all("/index/" in key for key in counted.read)


def test_a_new_record_is_read_where_it_lies(catalog: Catalog, counted: CountingStore) -> None:
    store_backup(catalog, backup("a-first", stop=0, at=-1))
    store_backup(catalog, backup("z-last", stop=30, at=30))
    counted.read.clear()
    assert ids(catalog)[0] == "a-first"
    assert ids(catalog)[-1] == "z-last"
    assert len(ids(catalog)) == 22
    assert len(counted.read) == 3 * 3  # each time the index, and the two new ones


@pytest.mark.parametrize("gone", ["b00", "b07", "b19"])
def test_a_record_that_is_gone_does_not_come_back(catalog: Catalog, gone: str) -> None:
    catalog.store.delete_prefix(keys.backup("production", SYSTEM, gone) + keys.RECOVERY_POINT)
    assert gone not in ids(catalog)
    assert len(ids(catalog)) == 19
    assert catalog.unfinished_backups(SYSTEM) == [gone]


def test_a_record_that_was_written_anew_is_read_anew(
    catalog: Catalog, counted: CountingStore
) -> None:
    """Of the same size, even at the same moment: the store's mark of the content tells."""
    key = keys.backup("production", SYSTEM, "b05") + keys.RECOVERY_POINT
    earlier = counted.objects.pop(key)
    changed = backup("b05", stop=6, at=5)
    catalog.write(key, changed, None)
    counted.objects[key].modified_at = earlier.modified_at
    assert len(counted.objects[key].body) == len(earlier.body)
    assert changed in catalog.backups(SYSTEM)


def test_a_damaged_index_is_left_aside(catalog: Catalog, counted: CountingStore) -> None:
    (key,) = index_keys(catalog)
    damage(counted, key)
    assert len(ids(catalog)) == 20
    assert load_index(catalog.store, PREFIX) == {}
    refresh_indexes(catalog, SYSTEM)
    counted.read.clear()
    assert len(ids(catalog)) == 20


def test_an_index_that_is_none_is_left_aside(catalog: Catalog) -> None:
    """What a later version may write there, or anybody."""
    for number, body in enumerate([b"", b"what?", compress_bytes(b"other 2", level=1)]):
        catalog.store.put(f"{PREFIX}{number}.zst", body)
    assert len(ids(catalog)) == 20


def test_a_lie_in_an_index_is_not_believed(catalog: Catalog) -> None:
    """Neither a record that is not there, nor other bytes than were listed."""
    honest = load_index(catalog.store, PREFIX)
    first = next(iter(honest))
    one = honest[first]
    invented = first.replace("b00", "b99")
    lie = {
        **honest,
        invented: Copy(one.size, one.modified_at, one.etag, one.body.replace(b"b00", b"b99")),
        first: Copy(one.size, one.modified_at, one.etag, one.body[:-1]),
    }
    catalog.store.put(f"{PREFIX}{_sha256(encode(lie))}.zst", encode(lie))
    assert ids(catalog) == [f"b{number:02}" for number in range(20)]


def test_two_writers_leave_an_index_that_is_right(catalog: Catalog) -> None:
    """The slower one knows less; nothing is missing for a reader, and later one is left."""
    slow = catalog.copies(SYSTEM, "backups")
    store_backup(catalog, backup("new", stop=30, at=30))
    refresh_indexes(catalog, SYSTEM)
    indexes._write(catalog.store, PREFIX, {key: slow[key] for key in list(slow)[:-1]})
    assert len(ids(catalog)) == 21
    refresh_indexes(catalog, SYSTEM)
    refresh_indexes(catalog, SYSTEM)
    assert len(index_keys(catalog)) <= 2
    assert len(ids(catalog)) == 21


def test_outdated_indexes_are_removed_but_the_one_before(catalog: Catalog) -> None:
    """Somebody may be about to read that one."""
    kept = index_keys(catalog)
    refresh_indexes(catalog, SYSTEM)
    assert index_keys(catalog) == kept
    for number in range(3):
        store_backup(catalog, backup(f"new{number}", stop=30, at=30 + number))
        earlier = set(index_keys(catalog))
        refresh_indexes(catalog, SYSTEM)
        assert len(index_keys(catalog)) == 2
        assert len(earlier & set(index_keys(catalog))) == 1


def test_a_few_records_have_no_index(catalog: Catalog) -> None:
    for number in range(18):
        catalog.store.delete_prefix(keys.backup("production", SYSTEM, f"b{number:02}"))
    refresh_indexes(catalog, SYSTEM)
    assert index_keys(catalog) == []
    assert ids(catalog) == ["b18", "b19"]


def test_a_record_of_somebody_elses_hand_is_not_copied(catalog: Catalog) -> None:
    """One with line breaks is read where it lies."""
    body = backup("pretty", stop=1, at=1).model_dump_json(indent=2).encode()
    key = keys.backup("production", SYSTEM, "pretty") + keys.RECOVERY_POINT
    catalog.store.put(key, body)
    refresh_indexes(catalog, SYSTEM)
    assert key not in load_index(catalog.store, PREFIX)
    assert "pretty" in ids(catalog)


def test_the_same_records_make_the_same_index() -> None:
    one, two = Copy(1, "t", "e", b"1"), Copy(2, "t", "e", b"22")
    assert encode({"a": one, "b": two}) == encode({"b": two, "a": one})
    assert decode(encode({"a": one, "b": two}), "it") == {"a": one, "b": two}
    assert decode(encode({}), "it") == {}


@pytest.mark.parametrize("lines", [b"other", b"\nx", b"\n[\n"])
def test_bytes_that_are_no_index_are_refused(lines: bytes) -> None:
    with pytest.raises(ObjectCorrupt):
        decode(compress_bytes(b"ledgerkeep catalog index 1" + lines, level=1), "it")


def test_every_store_confirms_what_was_copied(store: ObjectStore) -> None:  # noqa: F811
    """Also one that encrypts: what it lists does not change between two listings."""
    made = catalog_on(store)
    store_all(made, *(backup(f"b{number}", stop=number, at=number) for number in range(5)))
    refresh_indexes(made, SYSTEM)
    index = load_index(store, PREFIX)
    listed = {one.key: one for one in store.list(keys.backups("production", SYSTEM))}
    assert len(index) == 5
    assert all(copy.is_of(listed[key]) for key, copy in index.items())
    assert len(ids(made)) == 5
    assert any("index/" in key for key in keys_of(made))


def _sha256(body: bytes) -> str:
    import hashlib

    return hashlib.sha256(body).hexdigest()
