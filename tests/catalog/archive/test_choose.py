"""Which recovery point is archived, and what is said about it."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog.archive.choose import choose
from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import BaseBackup, Proof, ProofLevel
from ledgerkeep.errors import CatalogError, ChainBroken, RecoveryPointMissing
from tests.recovery.samples import NOON, SYSTEM, backup

NOW = NOON + timedelta(days=300)
DAY = 24 * 60


def shown(levels: dict[str, str], *backups: BaseBackup) -> CatalogSnapshot:
    proofs = {
        name: [Proof(recovery_point_id=name, level=level, shown_at=NOON, run="r")]
        for name, level in levels.items()
    }
    return CatalogSnapshot("production", SYSTEM, backups=list(backups), proofs=proofs)


def full(name: str, day: int, **changes: object) -> BaseBackup:
    return backup(name, stop=day + 1, at=day * DAY).model_copy(update=changes)


def test_newest_proven_backup_is_preferred_to_newer_ones_that_are_less() -> None:
    levels = {"a": "proven", "b": "proven", "c": "validated", "d": "intact"}
    backups = [full(name, day) for day, name in enumerate("abcd")]
    choice = choose(shown(levels, *backups), recovery_point_id=None, now=NOW)
    assert (choice.backup.id, choice.level, choice.findings) == ("b", ProofLevel.PROVEN, [])


@pytest.mark.parametrize("level", ["validated", "restored", "intact"])
def test_without_a_proven_one_the_best_is_taken_and_the_archive_says_so(level: str) -> None:
    backups = [full("a", 1), full("b", 2)]
    choice = choose(shown({"a": level}, *backups), recovery_point_id=None, now=NOW)
    assert choice.backup.id == "a"
    assert choice.findings == [f"archived recovery point a is {level}, not proven"]


@pytest.mark.parametrize(
    "candidate",
    [
        full("a", 1, parent_id="x"),
        full("a", 1, page_checksum_failures=["block 3"]),
        full("a", -67),
    ],
    ids=["incremental", "damaged", "of the year before"],
)
def test_nothing_fit_is_refused_with_what_to_do(candidate: BaseBackup) -> None:
    for levels in ({"a": "proven"}, {}):
        with pytest.raises(RecoveryPointMissing) as refused:
            choose(shown(levels, candidate), recovery_point_id=None, now=NOW)
        assert refused.value.message == (
            f"cluster {SYSTEM} has no full backup of the last year that is intact: "
            "there is nothing to archive"
        )
        assert refused.value.hint == (
            "run the DAG production_database_full_backup, prove its backup with "
            "production_test_point_in_time_recovery, then run this again"
        )


def test_incremental_that_is_asked_for_brings_its_chain() -> None:
    backups = [full("f", 1), full("i", 2, parent_id="f"), full("j", 3, parent_id="i")]
    choice = choose(shown({"j": "proven"}, *backups), recovery_point_id="j", now=NOW)
    assert [one.id for one in choice.chain] == ["f", "i", "j"]
    assert choice.findings == [
        "archived recovery point j is incremental; its chain of 3 backups is archived with it"
    ]
    with pytest.raises(ChainBroken):
        choose(shown({"j": "proven"}, *backups[1:]), recovery_point_id="j", now=NOW)


def test_damaged_one_that_is_asked_for_is_archived_with_a_finding() -> None:
    """It may be the only trace of what was."""
    damaged = full("a", 1, page_checksum_failures=["block 3"])
    choice = choose(shown({"a": "proven"}, damaged), recovery_point_id="a", now=NOW)
    assert choice.findings == ["archived with damaged pages, as the server found them: a"]


def test_unknown_and_unread_recovery_points_are_refused() -> None:
    snapshot = shown({}, full("a", 1))
    with pytest.raises(RecoveryPointMissing) as unknown:
        choose(snapshot, recovery_point_id="z", now=NOW)
    assert unknown.value.message == f"no base backup z of the cluster {SYSTEM}"
    with pytest.raises(CatalogError) as unread:
        choose(snapshot, recovery_point_id="a", now=NOW)
    assert unread.value.message == "recovery point a was never read back, so it is not archived"
    assert unread.value.hint == ("read it back first: ledgerkeep verify a --environment production")
