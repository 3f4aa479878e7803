"""The comparison itself, on streams that are made up, of any length."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerkeep.documents.metadata.merge import (
    Known,
    judge,
    needs_content,
    newest_of_each_key,
    pair,
    with_known,
)
from ledgerkeep.documents.metadata.rows import DocumentRow, key_bytes
from ledgerkeep.errors import DatabaseError, StorageError
from ledgerkeep.storage.versions import ObjectVersion

AT = datetime(2026, 3, 1, tzinfo=UTC)
HASH = "0123456789abcdef" * 4
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)


def row(key: str | None, number: int | str = 1, **more: object) -> DocumentRow:
    return replace(DocumentRow(key, str(number), HASH, 10, "2026-03-01 00:00:00+00"), **more)


def version(key: str, **more: object) -> ObjectVersion:
    return replace(ObjectVersion(key, "v1", AT, 10, "e1"), **more)


@given(st.lists(KEYS), st.sets(KEYS))
@settings(max_examples=200, deadline=None)
def test_every_row_and_every_object_comes_exactly_once(
    of_rows: list[str], of_objects: set[str]
) -> None:
    rows = sorted((row(key, n) for n, key in enumerate(of_rows)), key=lambda one: one.sort)
    objects = [version(key) for key in sorted(of_objects, key=key_bytes)]
    found = list(pair(((one, None) for one in rows), objects))
    assert [one.row for one in found if one.row] == rows
    alone = [one.newest.key for one in found if one.row is None]
    assert alone == [one.key for one in objects if one.key not in of_rows]
    for one in found:
        if one.row is not None:
            assert (one.newest is not None) == (one.row.key in of_objects)
    repeated = [one.row.key for one in found if one.again]
    assert len(repeated) == len(of_rows) - len(set(of_rows))


@given(st.sets(st.tuples(KEYS, st.integers(0, 3))), st.sets(st.tuples(KEYS, st.integers(0, 3))))
@settings(max_examples=200, deadline=None)
def test_rows_of_two_runs_meet(now: set[tuple[str, int]], before: set[tuple[str, int]]) -> None:
    def made(those: set[tuple[str, int]]) -> list[DocumentRow]:
        return sorted((row(key, n) for key, n in those), key=lambda one: one.sort)

    found = list(with_known(made(now), map(Known, made(before))))
    names = [(one.row if one else None) for one in (known for _, known in found)]
    both = {(one.key, int(one.id)) for one, known in found if one and known}
    added = {(one.key, int(one.id)) for one, known in found if one and not known}
    removed = {(k.row.key, int(k.row.id)) for one, k in found if k and not one}
    assert (both, added, removed) == (now & before, now - before, before - now)
    assert len(names) == len(now | before)


@pytest.mark.parametrize(
    ("pair_of", "kind"),
    [
        ((row("k"), version("k")), None),
        ((row("k"), None), "missing"),
        ((row("k"), version("k", is_delete_marker=True, size=0)), "missing"),
        ((row("k", size=11), version("k")), "size"),
        ((row("k", sha256=HASH[:-1]), version("k")), "no checksum"),
        ((row("k", sha256=HASH.upper()), version("k")), "no checksum"),
        ((row("k", size=-1), version("k")), "no size"),
        ((row(""), None), "no key"),
        ((row(None), None), "no key"),
        ((row("other/k"), version("other/k")), "outside"),
        ((None, version("k")), "orphan"),
        ((None, version("k", is_delete_marker=True)), None),
    ],
)
def test_what_is_wrong_with_a_pair(pair_of: tuple, kind: str | None) -> None:
    one, newest = pair_of
    rows = [(one, None)] if one else []
    (found,) = pair(rows, [newest] if newest else [])
    assert judge(found, "" if one is None or one.key != "other/k" else "k") == kind


def test_content_is_compared_when_either_side_is_new() -> None:
    compared = "2026-03-01T00:00:00+00:00"
    known = Known(row("k"), "e1", compared)

    def needed(one: Known | None, before: str = "2026-02-01", **newest: object) -> bool:
        (found,) = pair([(row("k"), one)], [version("k", **newest)])
        return needs_content(found, compared_before=before)

    assert not needed(known)
    assert needed(None)
    assert needed(replace(known, etag=""))
    assert needed(known, etag="e2")
    assert needed(replace(known, row=row("k", sha256="f" * 64)))
    assert needed(known, before="2026-03-02")


def test_first_of_a_keys_versions_is_the_newest() -> None:
    versions = [version("a", version_id="2"), version("a", version_id="1"), version("b")]
    assert [one.version_id for one in newest_of_each_key(versions)] == ["2", "v1"]


def test_streams_out_of_order_are_refused() -> None:
    with pytest.raises(DatabaseError) as rows:
        list(pair(((a, b) for a, b in with_known([row("b"), row("a")], []) if a), []))
    assert rows.value.message.startswith(
        "the document rows do not come in the order of their keys' bytes (at DocumentRow(key='a'"
    )
    with pytest.raises(StorageError) as objects:
        list(pair([], [version("b"), version("a")]))
    assert objects.value.message == (
        "the store does not list its keys in the order of their bytes (at 'a')"
    )


def test_a_million_rows_take_the_memory_of_a_thousand() -> None:
    def rows(count: int) -> Iterator[DocumentRow]:
        return (row(f"documents/{n:09d}.pdf", n) for n in range(count))

    def versions(count: int) -> Iterator[ObjectVersion]:
        for n in range(count):
            if n % 1000:
                yield version(f"documents/{n:09d}.pdf", version_id="2")
                yield version(f"documents/{n:09d}.pdf", version_id="1")

    def findings(count: int) -> tuple[int, int]:
        tracemalloc.start()
        known = map(Known, rows(count))
        pairs = ((one, was) for one, was in with_known(rows(count), known) if one is not None)
        kinds = (judge(one, "") for one in pair(pairs, newest_of_each_key(versions(count))))
        number = sum(kind == "missing" for kind in kinds)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return number, peak

    small, large = findings(1_000), findings(100_000)
    assert (small[0], large[0]) == (1, 100)
    assert large[1] < small[1] + 100_000
