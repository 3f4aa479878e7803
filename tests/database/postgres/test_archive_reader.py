"""Reading ahead on another thread: the same items, bounded, and no thread left behind."""

import threading
from collections.abc import Generator

import pytest

from ledgerkeep.database.postgres.archive_reader import ahead
from ledgerkeep.errors import ObjectCorrupt


class Source:
    """Numbers, and what became of whoever makes them."""

    def __init__(self, count: int, problem: Exception | None = None) -> None:
        self.made = 0
        self.closed = threading.Event()
        self._count = count
        self._problem = problem

    def numbers(self) -> Generator[int, None, None]:
        try:
            for number in range(self._count):
                self.made = number + 1
                yield number
            if self._problem:
                raise self._problem
        finally:
            self.closed.set()


def readers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read ahead"]


def test_items_come_in_order_and_whole() -> None:
    assert list(ahead(Source(1000).numbers(), 3)) == list(range(1000))
    assert readers() == []


def test_problem_comes_after_the_items_before_it() -> None:
    taken: list[int] = []
    with pytest.raises(ObjectCorrupt):
        taken.extend(ahead(Source(5, ObjectCorrupt("broken")).numbers(), 3))
    assert taken == [0, 1, 2, 3, 4]
    assert readers() == []


def test_closing_early_closes_the_source() -> None:
    """It has made what was taken, three ahead, the one in its hand, and one as it was told."""
    source = Source(1_000_000)
    items = ahead(source.numbers(), 3)
    assert next(items) == 0
    items.close()
    assert source.closed.wait(10)
    assert readers() == []
    assert source.made <= 6
