"""Reading history files."""

import pytest

from ledgerkeep.database.postgres.timeline_history import TimelineHistory, parse_history
from ledgerkeep.errors import DatabaseError

BODY = b"# comment\n1\t0/5000060\tno recovery target specified\n\n2\t0/7100000\tbefore x\n"


def test_switches_are_read_in_order() -> None:
    """Comments and empty lines are skipped; the reason does not matter."""
    history = parse_history(3, BODY)
    assert history.switches == ((1, 0x5000060), (2, 0x7100000))
    assert history.begin == 0x7100000
    assert history.end_of(1) == 0x5000060
    assert history.end_of(3) is None
    assert [history.begin_of(timeline) for timeline in (1, 2, 3)] == [0, 0x5000060, 0x7100000]


def test_a_position_belongs_to_the_timeline_it_was_written_on() -> None:
    """A timeline's first byte is its own."""
    history = parse_history(3, BODY)
    assert history.at(0x500005F) == 1
    assert history.at(0x5000060) == 2
    assert history.at(0x7100000) == 3


def test_the_lineage_runs_from_an_ancestor_to_the_timeline_itself() -> None:
    """Both included."""
    assert parse_history(3, BODY).lineage(2) == [2, 3]
    assert TimelineHistory(1).lineage(1) == [1]


def test_the_segment_of_a_switch_may_name_the_ancestors() -> None:
    """Its beginning was copied from them; later segments were not."""
    history = parse_history(3, BODY)
    assert history.ancestors_in(2, 0x5000000) == {1}
    assert history.ancestors_in(2, 0x6000000) == frozenset()
    assert history.ancestors_in(3, 0x7000000) == {1, 2}


def test_a_line_that_cannot_be_read_is_refused() -> None:
    """With the line."""
    with pytest.raises(DatabaseError) as refused:
        parse_history(2, b"1 somewhere\n")
    assert refused.value.message == (
        "the history of timeline 2 has a line that cannot be read: '1 somewhere'"
    )
    assert refused.value.hint == "look at that .history file in the server's pg_wal directory"
