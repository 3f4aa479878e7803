"""From written to durable: which samples count, and what they add up to."""

from ledgerkeep.catalog.models import DurableAfter
from ledgerkeep.database.postgres.wal_lag import DurableLag


def test_each_sample_counts_when_all_before_it_is_durable() -> None:
    lag = DurableLag()
    for second in range(10):
        lag.written(1000 + second, at=second)
    lag.durable(1004, at=10)
    lag.durable(1009, at=20)
    assert lag.of_run() == DurableAfter(samples=10, p50_seconds=10, p95_seconds=15, max_seconds=15)


def test_an_idle_server_is_not_sampled() -> None:
    """The position did not move, or only by housekeeping."""
    lag = DurableLag()
    lag.written(1000, at=0)
    lag.written(1000, at=1)
    lag.written(1040, at=2)
    lag.durable(1000, at=3)
    lag.disregard(1000, 1040)
    lag.durable(2000, at=4000)
    assert lag.of_run() == DurableAfter(samples=1, p50_seconds=3, p95_seconds=3, max_seconds=3)


def test_what_is_on_its_way_is_not_disregarded_with_what_follows() -> None:
    lag = DurableLag()
    lag.written(900, at=0)
    lag.disregard(1000, 1040)
    lag.durable(1000, at=2)
    assert lag.of_run() == DurableAfter(samples=1, p50_seconds=2, p95_seconds=2, max_seconds=2)


def test_each_stretch_has_its_own_and_the_run_has_all() -> None:
    lag = DurableLag()
    assert lag.of_stretch() is None
    lag.written(1, at=0)
    lag.durable(1, at=1)
    assert lag.of_stretch() == DurableAfter(samples=1, p50_seconds=1, p95_seconds=1, max_seconds=1)
    assert lag.of_stretch() is None
    lag.written(2, at=10)
    lag.durable(2, at=13)
    assert lag.of_stretch() == DurableAfter(samples=1, p50_seconds=3, p95_seconds=3, max_seconds=3)
    assert lag.of_run() == DurableAfter(samples=2, p50_seconds=1, p95_seconds=3, max_seconds=3)


def test_what_was_committed_before_the_run_counts_from_its_commit() -> None:
    """At most once a second, as everything else; it may be told after later positions."""
    lag = DurableLag()
    lag.written(5000, at=10)
    for position, at in ((1000, 1), (1100, 1.5), (1200, 2.5), (3000, 4)):
        lag.committed(position, at)
    lag.durable(2000, at=11)
    assert lag.of_stretch() == DurableAfter(
        samples=2, p50_seconds=8.5, p95_seconds=10, max_seconds=10
    )
    lag.durable(6000, at=12)
    assert lag.of_run() == DurableAfter(samples=4, p50_seconds=8, p95_seconds=10, max_seconds=10)
