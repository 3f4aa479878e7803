"""When a streaming run marks, switches and ends; the times are the test's own."""

from ledgerkeep.database.postgres.wal_pace import Pace, Step


def pace() -> Pace:
    return Pace(switch_after=15, began_at=100, ends_at=700)


def test_nothing_written_is_nothing_to_do() -> None:
    """Not even at the end: a server that nobody uses is left alone."""
    made = pace()
    assert {made.step(now, filled=False) for now in range(100, 1000)} == {Step.WAIT}
    assert not made.is_last(699)
    assert not made.is_last(700)
    assert made.is_over(700)


def test_what_was_written_waits_no_longer_than_the_policy_says() -> None:
    made = pace()
    made.wrote(200, before_the_run=False)
    assert made.step(214, filled=False) is not Step.SWITCH
    assert made.step(215, filled=False) is Step.SWITCH


def test_what_was_written_before_the_run_waits_no_longer_at_all() -> None:
    made = pace()
    made.wrote(101, before_the_run=True)
    assert made.step(101, filled=False) is Step.SWITCH


def test_a_segment_that_fills_in_time_is_not_switched() -> None:
    """A mark is made all the same, once per time, as long as anything is written."""
    made = pace()
    steps = []
    for now in range(100, 160):
        made.opened()
        if now < 140:
            made.wrote(now, before_the_run=False)
        step = made.step(now, filled=False)
        steps.append(step)
        if step is not Step.WAIT:
            made.marked(now)
    assert [100 + at for at, step in enumerate(steps) if step is Step.MARK] == [115, 130, 145]
    assert Step.SWITCH not in steps


def test_a_segment_that_is_complete_on_the_server_is_not_switched_again() -> None:
    """The stream is behind; a mark is still due."""
    made = pace()
    made.wrote(200, before_the_run=False)
    assert made.step(230, filled=True) is Step.MARK
    made.marked(230)
    assert made.step(231, filled=True) is Step.WAIT


def test_a_run_ends_with_what_was_written() -> None:
    made = pace()
    made.wrote(699, before_the_run=False)
    assert made.step(700, filled=False) is Step.SWITCH
    assert made.is_last(700)
    made.opened()
    assert not made.is_last(701)
