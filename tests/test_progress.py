"""Progress lines: what a person who watches a recovery reads."""

from ledgerkeep.progress import EstimatedProgress, LoggedCount


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_the_plans_until_a_phase_is_measured() -> None:
    """300 MB planned at 10 MB/s; the restore turns out to run at 20 MB/s, the replay does not."""
    lines: list[str] = []
    clock = Clock()
    progress = EstimatedProgress(
        lines.append, total=300_000_000, seconds=30, interval=5, clock=clock
    )
    progress(0, 200_000_000, "restore of the base backup")
    clock.now += 2
    progress(40_000_000, 200_000_000, "restore of the base backup")
    clock.now += 3
    progress(100_000_000, 200_000_000, "restore of the base backup")
    clock.now += 5
    progress(0, 100_000_000, "replay at 0/5000000")
    assert lines == [
        "restore of the base backup: 0 B of 200.0 MB (0 %), 0 s so far, about 30 s left",
        "restore of the base backup: 100.0 MB of 200.0 MB (50 %), 5 s so far, 20.0 MB/s, "
        "about 15 s left",
        "replay at 0/5000000: 0 B of 100.0 MB (0 %), 10 s so far, about 10 s left",
    ]


def test_phase_without_a_total_is_told_without_a_share() -> None:
    lines: list[str] = []
    progress = EstimatedProgress(lines.append, total=0, seconds=0)
    progress(0, None, "replay at 0/5000000")
    assert lines == ["replay at 0/5000000: 0 B, 0 s so far"]


def test_counts_are_told_with_their_rate() -> None:
    lines: list[str] = []
    count = LoggedCount(lines.append, what="versions of shard 3 of 16", interval=0)
    count(120_000)
    assert lines[0].startswith("120,000 versions of shard 3 of 16, 0 s, ")
    quiet = LoggedCount(lines.append, what="versions", interval=60)
    quiet(1)
    assert len(lines) == 1
