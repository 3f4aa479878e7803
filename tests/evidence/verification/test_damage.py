"""What a damaged object takes with it is said where somebody has to act."""

from ledgerkeep.evidence.verification.damage import lost_backup, lost_record, lost_segments
from ledgerkeep.evidence.verification.inventory import Unreadable
from tests.recovery.samples import backup, listed, name, snapshot, stretch

A = backup("a", stop=3, at=0)
B = backup("b", stop=4, at=5).model_copy(update={"method": "incremental", "parent_id": "a"})
C = backup("c", stop=7, at=15).model_copy(update={"method": "incremental", "parent_id": "b"})
D = backup("d", stop=8, at=18)
KEPT = snapshot(A, B, C, D, stretch(3, 5, until=10), stretch(6, 9, until=20))
LAST = KEPT.stretches[1]


def test_incrementals_on_a_lost_backup_are_named() -> None:
    assert lost_backup(A, "s3://b/x is not what was written", KEPT) == (
        "backup a of 2026-03-01 12:00 UTC cannot be restored: s3://b/x is not what was written; "
        "b, c cannot be restored either, since they build on it"
    )
    assert lost_backup(B, "gone", KEPT).endswith(
        "; c cannot be restored either, since it builds on it"
    )
    assert lost_backup(D, "gone", KEPT).endswith("gone; no other backup builds on it")


def test_damaged_segment_says_from_which_backups_recovery_ends_where() -> None:
    """Backup c brings segment 7 with it but needs 8; only d is past both."""
    assert lost_segments(LAST, {name(7), name(8)}, "broken", KEPT, listed(KEPT)) == (
        f"WAL stretch s1-6 has lost 2 segments, first {name(7)}: broken; from a, b, c nothing "
        "after 0/8000000 (2026-03-01 12:15 UTC) can be reached; from d on recovery goes past it"
    )


def test_segment_that_is_listed_no_longer_cuts_recovery_as_well() -> None:
    gone = lost_segments(LAST, {name(9)}, "gone", KEPT, listed(KEPT, without=[name(9)]))
    assert gone == (
        f"WAL stretch s1-6 has lost a segment, first {name(9)}: gone; from a, b, c, d nothing "
        "after 0/9000000 (2026-03-01 12:18 UTC) can be reached"
    )


def test_segment_that_only_a_lost_past_needs_matters_to_no_backup() -> None:
    lost = lost_segments(KEPT.stretches[0], {name(3)}, "gone", KEPT, listed(KEPT))
    assert lost.endswith("gone; no backup that is kept needs it")


def test_record_that_cannot_be_read_takes_what_builds_on_it_along() -> None:
    without = snapshot(B, C, D)
    assert lost_record(Unreadable("a", "a is damaged"), without) == (
        "the record of a cannot be read: a is damaged; b, c cannot be restored either, since they "
        "build on it"
    )
    assert lost_record(Unreadable("f", "f is damaged"), KEPT) == (
        "the record of f cannot be read: f is damaged"
    )
