"""Holes in the stored WAL, and from when until when it can be recovered."""

from datetime import timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.evidence.verification.continuity import check_continuity
from ledgerkeep.evidence.verification.part import Part
from ledgerkeep.recovery.wal_index import WalIndex
from tests.recovery.samples import NOW, backup, listed, name, snapshot, stretch

WEEK = timedelta(days=7)
WHOLE = (
    "the database can be recovered to any moment from 2026-03-01 12:00 UTC to 2026-03-01 12:40 UTC"
)


def check(
    kept: CatalogSnapshot, wal: WalIndex | None = None, window: timedelta | None = WEEK
) -> Part:
    return check_continuity(kept, wal or listed(kept), now=NOW, window=window)


def told(part: Part) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in part.findings]


def three() -> list:
    return [
        stretch(3, 5, until=10),
        stretch(6, 9, until=20),
        stretch(10, 12, until=40),
    ]


def test_whole_window_states_what_can_be_recovered() -> None:
    part = check(snapshot(backup("a", stop=3, at=0), *three()))
    assert told(part) == [("info", WHOLE)]
    assert part.measurements == {
        "wal_stretches": 3,
        "wal_segments": 10,
        "wal_holes": 0,
        "recoverable_seconds": 2400,
    }


def test_segment_that_is_gone_is_critical_and_named() -> None:
    kept = snapshot(backup("a", stop=3, at=0), *three())
    part = check(kept, listed(kept, without=[name(7), name(8)]))
    assert told(part) == [
        (
            "critical",
            f"WAL 2 segments from {name(7)} to {name(8)} are gone from the object store; it "
            "belongs to the stretch s1-6",
        ),
        ("info", WHOLE.replace("12:40", "12:10")),
    ]


def test_hole_that_no_record_knows_is_critical() -> None:
    first, _, third = three()
    part = check(snapshot(backup("a", stop=3, at=0), first, third))
    assert told(part)[0] == (
        "critical",
        f"WAL 4 segments from {name(6)} to {name(9)} are in no stretch, before s1-10",
    )


def test_hole_on_record_is_told_as_such_and_the_window_has_it() -> None:
    """Recovery goes on from the backup behind the hole."""
    kept = snapshot(
        backup("a", stop=3, at=0),
        stretch(3, 5, until=10),
        backup("b", stop=11, at=30),
        stretch(10, 12, until=40, hole=(6, 10)),
    )
    part = check(kept)
    assert part.grave == []
    assert told(part) == [
        (
            "warning",
            f"WAL 4 segments from {name(6)} to {name(9)} are lost since 2026-03-01 12:40 UTC, when "
            "shipping recorded the hole from 0/6000000 to 0/A000000",
        ),
        ("info", f"{WHOLE}, except from 2026-03-01 12:10 UTC to 2026-03-01 12:30 UTC"),
    ]
    assert part.measurements["recoverable_seconds"] == 20 * 60


def test_every_hole_is_found_also_where_no_backup_lies_between() -> None:
    kept = snapshot(backup("a", stop=3, at=0), *three())
    part = check(kept, listed(kept, without=[name(4), name(11)]))
    assert len(part.grave) == 2


def test_holes_before_the_window_are_none_of_it() -> None:
    """WAL that retention removes piece by piece has no hole where it is still promised."""
    kept = snapshot(backup("b", stop=7, at=15), *three())
    wal = listed(kept, without=[name(4)])
    assert len(check(kept, wal).grave) == 1
    window = NOW - kept.stretches[1].covered_until
    assert told(check(kept, wal, window)) == [("info", WHOLE.replace("12:00", "12:20"))]


def test_backup_before_the_window_counts_where_its_wal_leads_into_it() -> None:
    kept = snapshot(backup("old", stop=3, at=0), *three())
    window = NOW - kept.stretches[1].covered_until
    assert told(check(kept, window=window)) == [("info", WHOLE.replace("12:00", "12:20"))]


def test_window_that_no_old_backup_leads_into_is_a_warning() -> None:
    """The old one's WAL has gone, so recovery begins with the backup inside the window."""
    kept = snapshot(
        backup("old", stop=1, at=-60),
        *three(),
        backup("new", stop=11, at=30),
    )
    window = NOW - kept.stretches[0].covered_until
    assert told(check(kept, window=window)) == [
        ("info", WHOLE.replace("12:00", "12:30")),
        (
            "warning",
            "WAL is kept since 2026-03-01 12:10 UTC, but recovery begins only at 2026-03-01 12:30 "
            "UTC: no backup before leads into the window",
        ),
    ]


def test_wal_without_a_backup_is_critical() -> None:
    assert check(snapshot(*three())).grave == [
        "there is WAL, but no backup from which a recovery into it can start"
    ]


def test_incremental_without_its_parent_is_no_backup_to_start_from() -> None:
    orphan = backup("i", stop=3, at=0).model_copy(
        update={"method": "incremental", "parent_id": "gone"}
    )
    assert check(snapshot(orphan, *three())).grave != []


def test_timeline_switch_is_no_hole() -> None:
    """Segment 6 was left in its middle; timeline 2 begins with a copy of it."""
    kept = snapshot(
        backup("a", stop=3, at=0),
        stretch(3, 5, until=10),
        stretch(6, 9, until=40, timeline=2),
    )
    part = check(kept, listed(kept, switches={2: ((1, 6 * (16 << 20) + 800),)}))
    assert told(part) == [("info", WHOLE)]


def test_no_wal_in_the_window_is_said() -> None:
    assert told(check(snapshot(backup("a", stop=3, at=0)))) == [
        ("info", "there is no WAL of cluster 7300000000000000001 in the window")
    ]
