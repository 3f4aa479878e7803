"""Which backup a test of a whole chain begins with."""

from ledgerkeep.recovery.newest_chain import chains_first
from tests.recovery.samples import backup

BACKUPS = [
    backup("sunday", stop=3, at=0),
    backup("morning", stop=5, at=15, parent="sunday"),
    backup("noon", stop=8, at=25, parent="morning"),
    backup("monday", stop=15, at=55),
]


def names(*lost: str) -> list[str]:
    return [one.id for one in chains_first(one for one in BACKUPS if one.id not in lost)]


def test_newest_incremental_comes_before_a_newer_full_backup():
    assert names() == ["noon", "morning", "monday", "sunday"]


def test_broken_chain_is_none():
    assert names("sunday") == ["monday"]
    assert names("morning") == ["monday", "sunday"]
