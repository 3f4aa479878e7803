"""The listing of the stored WAL."""

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import DatabaseError
from ledgerkeep.recovery.wal_index import Branch, load_wal_index, segment_on
from tests.database.postgres.wal_support import catalog_for
from tests.recovery.samples import SEGMENT, SYSTEM, name


@pytest.fixture
def catalog() -> Catalog:
    """Segments 3 to 6 of timeline 1, which was left in 6, and 6 to 7 of timeline 2."""
    made = catalog_for("slot")
    stored = [name(number) for number in range(3, 7)] + [name(6, 2), name(7, 2)]
    for segment in [*stored, f"{name(6)}.partial"]:
        made.store.put(keys.wal_segment(made.environment, SYSTEM, segment), segment.encode())
    history = keys.wal_history(made.environment, SYSTEM, 2)
    made.store.put(history, b"1\t0/6000800\tno recovery target specified\n")
    return made


def test_every_timeline_is_listed_with_sizes_and_history(catalog):
    index = load_wal_index(catalog, SYSTEM)
    assert list(index.segments) == [
        *(name(number) for number in range(3, 7)),
        name(6, 2),
        name(7, 2),
    ]
    assert set(index.segments.values()) == {24}
    assert index.lineage(2) == [
        Branch(timeline=1, begin=0, end=6 * SEGMENT + 0x800),
        Branch(timeline=2, begin=6 * SEGMENT + 0x800, end=None),
    ]


def test_part_of_one_timeline(catalog):
    index = load_wal_index(catalog, SYSTEM, 1, name(4), name(5))
    assert list(index.segments) == [name(4), name(5)]


def test_segment_in_which_a_timeline_was_left_is_read_from_the_newer(catalog):
    lineage = load_wal_index(catalog, SYSTEM).lineage(2)
    assert [segment_on(lineage, number, SEGMENT) for number in (5, 6, 7)] == [
        name(5, 1),
        name(6, 2),
        name(7, 2),
    ]


def test_broken_history_is_refused(catalog):
    catalog.store.objects.pop(keys.wal_history(catalog.environment, SYSTEM, 2))
    catalog.store.put(keys.wal_history(catalog.environment, SYSTEM, 2), b"one two three\n")
    with pytest.raises(DatabaseError, match="the history of timeline 2 has a line"):
        load_wal_index(catalog, SYSTEM)
