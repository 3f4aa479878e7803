"""The parts from the store to their result: the window they look at, and damage that hides none."""

from copy import deepcopy
from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import Proof
from ledgerkeep.database.postgres.base_backup import BEGUN, BackupBegun
from ledgerkeep.errors import PolicyError
from ledgerkeep.evidence.verification.verify import (
    verify_completeness,
    verify_continuity,
    verify_readability,
    verify_sizes,
)
from tests.evidence.month import SINCE, SYSTEM, Month
from tests.evidence.support import replace

NOW = SINCE + timedelta(days=4, hours=7)


@pytest.fixture(scope="module")
def usual_days() -> Month:
    """Four days and a morning without a gap, under a policy without incrementals."""
    made = Month()
    for day in range(5):
        at = SINCE + timedelta(days=day)
        made.backup(at + timedelta(hours=1), 210_000_000_000 + day * 420_000_000)
        made.fingerprint(at + timedelta(hours=4))
    for quarter in range(4 * 96 + 28):
        made.wal(SINCE + timedelta(minutes=15 * quarter, seconds=5))
    without_incrementals = made.policy.database.model_copy(update={"incremental_backup": None})
    made.policy = made.policy.model_copy(update={"database": without_incrementals})
    made.catalog.policy = made.policy
    return made


@pytest.fixture
def month(usual_days: Month) -> Month:
    """Those days, for a test to spoil."""
    return deepcopy(usual_days)


def completeness(month: Month, run: str = "this/run") -> list[tuple[str, str]]:
    part = verify_completeness(month.catalog, run=run, now=NOW)
    return [(one.severity, one.what) for one in part.findings]


def lose_backup(month: Month, day: int) -> str:
    backup = month.catalog.backups(SYSTEM)[day]
    prefix = keys.backup("production", SYSTEM, backup.id)
    month.store.objects.pop(prefix + keys.RECOVERY_POINT)
    return prefix


def test_day_without_a_gap_is_complete(month: Month) -> None:
    assert completeness(month) == []


def test_missing_backup_is_found_also_by_the_first_verification(month: Month) -> None:
    lose_backup(month, 4)
    ((severity, what),) = completeness(month)
    assert severity == "critical"
    assert what.startswith("the full backup due 2026-03-05 01:00 UTC was not made; there is none")


def test_days_without_a_verification_are_made_up_for(month: Month) -> None:
    """The one before ran two days ago; what was due before it is not told again."""
    lose_backup(month, 3)
    assert completeness(month) == []  # nobody ever verified: the last 26 hours
    month.verification(SINCE + timedelta(days=2, hours=7))
    ((_, what),) = completeness(month)
    assert what.startswith("1 of 2 full backups due since 2026-03-04 01:00 UTC were not made")


def test_a_run_is_no_verification_before_itself(month: Month) -> None:
    lose_backup(month, 3)
    month.verification(SINCE + timedelta(days=2, hours=7))
    itself = month.verification(NOW)
    assert len(completeness(month, itself.run)) == 1


def test_backup_that_is_still_being_taken_is_told_as_such(month: Month) -> None:
    prefix = lose_backup(month, 4)
    at = SINCE + timedelta(days=4, hours=1)
    month.store.put(prefix + BEGUN, BackupBegun(id="b", run="r", at=at).to_json())
    ((_, what),) = completeness(month)
    assert what.endswith("; one began at 2026-03-05 01:00 UTC and has not been recorded")


def test_damaged_record_does_not_end_the_other_parts(month: Month) -> None:
    stretch = month.catalog.stretches(SYSTEM)[5]
    key = keys.stretch("production", SYSTEM, 1, stretch.id)
    month.store.objects.pop(key)
    replace(month.store, key, b"{}")
    assert completeness(month) == []
    assert verify_sizes(month.catalog, run="r", now=NOW).grave == []
    # All WAL of the made-up month has one segment's name, so the holes are what is expected here.
    assert verify_continuity(month.catalog, now=NOW).measurements["wal_stretches"] == 411


def test_full_backups_are_held_against_their_trend(month: Month) -> None:
    assert verify_sizes(month.catalog, run="r", now=NOW).findings == []
    month.backup(SINCE + timedelta(days=4, hours=5), 100_000_000_000)
    found = verify_sizes(month.catalog, run="r", now=NOW).findings
    assert [one.severity for one in found] == ["warning", "warning"]
    assert "holds 100.0 GB, -53 % against the 211." in found[0].what


def test_environment_without_wal_has_no_continuity_to_judge(month: Month) -> None:
    database = month.policy.database.model_copy(update={"wal_shipping": None})
    month.catalog.policy = month.policy.model_copy(update={"database": database})
    (found,) = verify_continuity(month.catalog, now=NOW).findings
    assert (found.severity, found.what) == (
        "info",
        "the policy ships no WAL: recovery leads to the backups themselves",
    )


def test_reading_back_needs_a_section_of_the_policy(month: Month) -> None:
    database = month.policy.database.model_copy(update={"verification": None})
    month.catalog.policy = month.policy.model_copy(update={"database": database})
    with pytest.raises(PolicyError) as caught:
        verify_readability(month.catalog, run="r")
    assert caught.value.message == "the policy of production asks for no verification"
    assert caught.value.hint == "give it a section database.verification"


def test_backup_whose_record_was_removed_by_hand_is_critical(month: Month) -> None:
    """Its bytes are all there, and nothing but the record says that it exists."""
    backup = month.catalog.backups(SYSTEM)[2]
    proof = Proof(recovery_point_id=backup.id, level="intact", shown_at=NOW, run="full/1")
    month.catalog.commit_proof(SYSTEM, proof)
    lose_backup(month, 2)
    prefix = keys.backup("production", SYSTEM, backup.id)
    month.store.put(f"{prefix}begun.json", b"{}")
    part = verify_readability(month.catalog, run="this/run", clock=lambda: NOW)
    assert [one for one in part.grave if one.startswith(f"backup {backup.id}")] == [
        f"backup {backup.id} cannot be restored: its record is gone, but it was shown to be "
        f"intact on {NOW:%Y-%m-%d} by full/1; put the record back (an earlier version of the "
        "object may be there); no other backup builds on it"
    ]
