"""Comparing fingerprints: what is a difference, and in which words."""

from typing import Any

import pytest

from ledgerkeep.catalog.models import DatabaseFingerprint, SequencePosition, TableFingerprint
from ledgerkeep.errors import RecoveryError
from ledgerkeep.recovery.compare import compare


def _table(name: str, rows: int = 3, content: str = "aa", **more: Any) -> TableFingerprint:
    return TableFingerprint(
        schema_name="public", name=name, rows=rows, content_hash=content, **more
    )


def _sequence(last_value: int | None, increment: int = 1, name: str = "ids") -> SequencePosition:
    return SequencePosition(
        schema_name="public", name=name, last_value=last_value, increment=increment
    )


def _of(*tables: TableFingerprint, **more: Any) -> DatabaseFingerprint:
    fields = {"structure_hash": "s", "method": "rows-1: words", **more}
    return DatabaseFingerprint(
        database="loans",
        lsn=100,
        taken_at="2026-01-01T00:00:00Z",
        tables=list(tables),
        **fields,
    )


def _words(expected: DatabaseFingerprint, found: DatabaseFingerprint) -> list[str]:
    return [difference.describe() for difference in compare(expected, found)]


def test_equal_fingerprints_have_no_difference() -> None:
    """Order, time and position do not matter."""
    one = _of(_table("a"), _table("b"), sequences=[_sequence(5)])
    other = one.model_copy(update={"tables": one.tables[::-1], "lsn": 90})

    assert compare(one, other) == []


def test_differences_of_tables_are_named_with_their_rows() -> None:
    """In the order of the names, extra ones last."""
    expected = _of(_table("gone", 7), _table("less", 5), _table("other"), _table("same"))
    found = _of(_table("less", 4), _table("more", 9), _table("other", content="ab"), _table("same"))

    assert _words(expected, found) == [
        "loans: table public.gone is missing (7 rows)",
        "loans: table public.less has 4 rows instead of 5",
        "loans: table public.other has other content in its 3 rows",
        "loans: table public.more is there and should not be (9 rows)",
    ]


def test_table_the_copy_could_not_read_is_missing_with_the_reason() -> None:
    """A table must not pass because it was not looked at."""
    found = _of(left_out={"public.a": "the role may not read it"})

    assert _words(_of(_table("a")), found) == [
        "loans: table public.a is missing (3 rows): the role may not read it"
    ]


def test_what_the_source_left_out_is_not_compared() -> None:
    """Nothing is known of it."""
    expected = _of(left_out={"public.view": "materialized view: it was refreshed"})

    assert compare(expected, _of(_table("view"))) == []


def test_other_structure_is_a_difference() -> None:
    """Equal rows in a table that lost its constraints are not an identical database."""
    assert _words(_of(), _of(structure_hash="t")) == [
        "loans: columns, constraints, indexes, functions or views differ"
    ]


@pytest.mark.parametrize(
    ("source", "copy", "words"),
    [
        (_sequence(10), _sequence(9), "9 instead of 10 or later"),
        (_sequence(-10, -1), _sequence(-9, -1), "-9 instead of -10 or later"),
        (_sequence(10), _sequence(None), "unused instead of 10 or later"),
        (_sequence(10), None, "missing instead of 10 or later"),
    ],
)
def test_sequence_must_not_be_behind(
    source: SequencePosition, copy: SequencePosition | None, words: str
) -> None:
    """It would give numbers out a second time."""
    found = _of(sequences=[copy] if copy else [])

    assert _words(_of(sequences=[source]), found) == [
        f"loans: sequence public.ids is behind: {words}"
    ]


@pytest.mark.parametrize(
    ("source", "copy"),
    [
        (_sequence(10), _sequence(10)),
        (_sequence(10), _sequence(42)),
        (_sequence(-10, -1), _sequence(-42, -1)),
        (_sequence(None), _sequence(1)),
        (_sequence(None), _sequence(None)),
    ],
)
def test_sequence_may_be_ahead(source: SequencePosition, copy: SequencePosition) -> None:
    """Values are logged in advance."""
    assert compare(_of(sequences=[source]), _of(sequences=[copy])) == []


def test_other_method_is_refused() -> None:
    """Its hashes mean something else, so a comparison would say nothing."""
    with pytest.raises(RecoveryError) as caught:
        compare(_of(method="rows-1: old"), _of(method="rows-2: new"))

    assert caught.value.message == (
        "the fingerprint of loans was made by the method rows-1, and this Ledgerkeep uses rows-2"
    )
    assert caught.value.hint == (
        "prove the copy with the version of Ledgerkeep that took the fingerprint, or take a new one"
    )


def test_other_sample_is_refused() -> None:
    """Two samples of one table differ without any fault."""
    with pytest.raises(RecoveryError) as caught:
        compare(_of(_table("a", sampled_percent=10)), _of(_table("a")))

    assert caught.value.message == (
        "table public.a of loans was sampled differently in the two fingerprints"
    )
