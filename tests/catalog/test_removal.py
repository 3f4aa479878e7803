"""Removal leaves nothing that looks whole and is not, fights no lock, and is always finished."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import BaseBackup, Proof
from ledgerkeep.catalog.removal import (
    Removal,
    RemovalRecord,
    apply_plan,
    find_locked,
    remove_leftovers,
)
from ledgerkeep.catalog.retention import RetentionPlan, Stored, plan_retention
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.storage.port import ObjectStore, Retention
from tests.catalog.simulated import retention
from tests.catalog.stored import catalog_on, in_an_hour, keys_of, store_all, store_backup
from tests.recovery.samples import NOON, SYSTEM, backup, minute, name, stretch
from tests.storage.conftest import open_bucket, store  # noqa: F401 - fixtures
from tests.support.memory_store import MemoryStore

POLICY = retention(daily="1d", wal="1d", minimum_recovery_points=1)
NOW = NOON + timedelta(days=30)
DAY = 24 * 60


def on(parent: str, made: BaseBackup) -> BaseBackup:
    return made.model_copy(update={"method": "incremental", "parent_id": parent})


OLD = [
    backup("old-full", stop=1, at=1),
    on("old-full", backup("old-a", stop=2, at=2)),
    on("old-a", backup("old-b", stop=3, at=3)),
]
NEW = backup("new-full", stop=50, at=29 * DAY - 60)
PROOF = Proof(recovery_point_id="old-full", level="intact", shown_at=minute(1), run="r")


@pytest.fixture
def catalog(store: ObjectStore) -> Catalog:  # noqa: F811
    """An old chain and its WAL, and a new backup that makes all of it superfluous."""
    made = catalog_on(store)
    wal = [stretch(2, 3, until=4), stretch(4, 4, until=5), stretch(50, 51, until=30 * DAY)]
    store_all(made, *OLD, NEW, *wal, PROOF)
    return made


def plan(catalog: Catalog) -> RetentionPlan:
    return plan_retention(Stored(catalog.snapshot(SYSTEM)), POLICY, None, now=NOW)


def apply(catalog: Catalog, **more: object) -> Removal:
    snapshot = catalog.snapshot(SYSTEM)
    return apply_plan(catalog, snapshot, plan(catalog), run="r/1", **more)  # type: ignore[arg-type]


def ids(catalog: Catalog) -> set[str]:
    snapshot = catalog.snapshot(SYSTEM)
    return {one.id for one in (*snapshot.backups, *snapshot.stretches)}


NEW_OBJECTS = {
    *(f"backups/new-full/{part}" for part in ("begun.json", "base.tar.zst.000")),
    *(f"backups/new-full/{part}" for part in ("backup_manifest", "stream.json")),
    "backups/new-full/recovery-point.json",
    f"wal/00000001/{name(50)}.zst",
    f"wal/00000001/{name(51)}.zst",
    "stretches/00000001/s1-50.json",
}


def test_what_the_plan_removes_is_gone_with_all_that_belonged_to_it(catalog: Catalog) -> None:
    removal = apply(catalog)
    assert [one.id for one in removal.removed[:3]] == ["old-b", "old-a", "old-full"]
    assert {one.id for one in removal.removed[3:]} == {"s1-2", "s1-4"}
    assert removal.objects == 3 * 5 + 1 + 5  # the proof; two records and three segments
    assert removal.locked == []
    left = {key for key in keys_of(catalog) if not key.startswith("removals/")}
    assert left == NEW_OBJECTS
    assert catalog.unfinished_backups(SYSTEM) == []


def test_what_went_and_why_is_written_down_first(catalog: Catalog) -> None:
    removal = apply(catalog)
    assert removal.record_key is not None
    record = catalog.read(removal.record_key, RemovalRecord)
    assert (record.run, record.planned_at) == ("r/1", NOW)
    assert {point.id: point.because for point in record.points} == {
        **dict.fromkeys(
            ("old-full", "old-a", "old-b"), "older than 1d; stands for no day that is kept"
        ),
        **dict.fromkeys(
            ("s1-2", "s1-4"), "nothing that stays needs it to recover what is promised"
        ),
    }
    assert apply(catalog).record_key is None


@pytest.mark.parametrize("locked", ["base.tar.zst.000", "recovery-point.json"])
def test_a_recovery_point_under_lock_stays_whole_with_what_it_builds_on(
    catalog: Catalog, locked: str
) -> None:
    until = in_an_hour()
    key = f"{keys.backup('production', SYSTEM, 'old-a')}{locked}"
    catalog.store.retain(key, Retention(mode="COMPLIANCE", until=until))
    removal = apply(catalog)
    assert {one.decision.id: (one.until, one.what) for one in removal.locked} == {
        "old-a": (until, key),
        "old-full": (until, "old-a, which builds on it"),
    }
    assert ids(catalog) == {"old-full", "old-a", "new-full", "s1-50"}
    there = {item for item in keys_of(catalog) if item.startswith("backups/old")}
    assert len(there) == 10


def test_a_segment_under_lock_keeps_its_stretch(catalog: Catalog) -> None:
    until = in_an_hour()
    key = keys.wal_segment("production", SYSTEM, name(3))
    catalog.store.retain(key, Retention(mode="GOVERNANCE", until=until))
    removal = apply(catalog)
    assert [(one.decision.id, one.until) for one in removal.locked] == [("s1-2", until)]
    assert ids(catalog) == {"new-full", "s1-2", "s1-50"}
    assert f"wal/00000001/{name(2)}.zst" in keys_of(catalog)


class FailingStore(MemoryStore):
    """Removes so many prefixes, and then answers no more."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def delete_prefix(self, prefix: str, **more: object) -> int:
        if self.left is not None:
            if self.left == 0:
                raise StoreUnavailable("the store does not answer")
            self.left -= 1
        return super().delete_prefix(prefix, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", range(16))
def test_a_killed_removal_leaves_nothing_half_and_is_finished_by_the_next(steps: int) -> None:
    """At whichever step it dies."""
    failing = FailingStore()
    made = catalog_on(failing)
    wal = [stretch(2, 3, until=4), stretch(4, 4, until=5), stretch(50, 51, until=30 * DAY)]
    store_all(made, *OLD, NEW, *wal, PROOF)
    failing.left = steps
    with pytest.raises(StoreUnavailable):
        apply(made)
    failing.left = None
    for one in made.backups(SYSTEM):
        assert len([key for key in keys_of(made) if f"/{one.id}/" in f"/{key}"]) >= 5
    for one in made.stretches(SYSTEM):
        first = int(one.id.removeprefix("s1-"))
        names = {name(first + number) for number in range(one.segment_count)}
        assert {f"wal/00000001/{each}.zst" for each in names} <= keys_of(made)

    for unfinished in made.unfinished_backups(SYSTEM):
        failing.delete_prefix(keys.backup("production", SYSTEM, unfinished))
    remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour())
    apply(made)
    remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour())
    assert {key for key in keys_of(made) if not key.startswith("removals/")} == NEW_OBJECTS


def test_segments_of_a_shipping_run_under_way_are_no_leftovers() -> None:
    """They lie beyond the last stretch; so do those of a timeline that has none yet."""
    made = catalog_on(MemoryStore())
    store_all(made, NEW, stretch(48, 48, until=1), stretch(50, 51, until=2))
    for segment in (name(49), name(52), name(52, timeline=2), f"{name(53)}.partial"):
        made.store.put(keys.wal_segment("production", SYSTEM, segment), b"")
    assert remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour()) == 1
    assert f"wal/00000001/{name(49)}.zst" not in keys_of(made)
    assert f"wal/00000001/{name(52)}.zst" in keys_of(made)
    assert f"wal/00000002/{name(52, timeline=2)}.zst" in keys_of(made)


def test_segments_within_the_window_stay_though_their_record_is_gone() -> None:
    """Somebody may have removed the record by mistake, and can bring it back."""
    made = catalog_on(MemoryStore())
    store_all(made, NEW, stretch(48, 49, until=1), stretch(50, 51, until=2))
    made.store.delete_prefix(keys.stretch("production", SYSTEM, 1, "s1-48"))
    before = in_an_hour() - timedelta(hours=2)
    assert remove_leftovers(made, made.snapshot(SYSTEM), older_than=before) == 0
    assert f"wal/00000001/{name(48)}.zst" in keys_of(made)


def test_what_a_killed_removal_left_of_a_timeline_is_found_without_any_stretch_of_it() -> None:
    made = catalog_on(MemoryStore())
    store_all(made, NEW, stretch(50, 51, until=2, timeline=2))
    for segment in (name(3), f"{name(4)}.partial"):
        made.store.put(keys.wal_segment("production", SYSTEM, segment), b"")
    made.store.put(keys.wal_history("production", SYSTEM, 2), b"")
    assert remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour()) == 2
    assert {key for key in keys_of(made) if key.startswith("wal/")} == {
        "wal/00000002/00000002.history",
        f"wal/00000002/{name(50, timeline=2)}.zst",
        f"wal/00000002/{name(51, timeline=2)}.zst",
    }


def test_the_proof_of_a_backup_that_was_recorded_meanwhile_is_no_leftover() -> None:
    made = catalog_on(MemoryStore())
    store_all(made, NEW)
    before = made.snapshot(SYSTEM)
    store_all(made, OLD[0], PROOF)
    before.proofs.update(made.proofs(SYSTEM))
    assert remove_leftovers(made, before, older_than=in_an_hour()) == 0
    assert list(made.proofs(SYSTEM)) == ["old-full"]


def test_the_proof_of_a_backup_that_has_lost_its_record_is_no_leftover() -> None:
    """It is what keeps the rest of the backup from being swept."""
    made = catalog_on(MemoryStore())
    proof = Proof(recovery_point_id=NEW.id, level="intact", shown_at=NOON, run="r/0")
    store_all(made, NEW, proof)
    directory = keys.backup("production", SYSTEM, NEW.id)
    made.store.delete_prefix(directory + keys.RECOVERY_POINT)
    assert remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour()) == 0
    made.store.delete_prefix(directory)
    assert remove_leftovers(made, made.snapshot(SYSTEM), older_than=in_an_hour()) == 1


def test_a_segment_that_two_stretches_have_stays_with_the_one_that_stays() -> None:
    made = catalog_on(MemoryStore())
    old, new = stretch(2, 5, until=5), stretch(5, 51, until=30 * DAY)
    store_all(made, NEW, old, new)
    assert [one.id for one in apply(made).removed] == ["s1-2"]
    left = keys_of(made)
    assert f"wal/00000001/{name(4)}.zst" not in left
    assert {f"wal/00000001/{name(number)}.zst" for number in range(5, 52)} <= left


def test_the_partial_segment_goes_with_the_wal_before_it() -> None:
    """It begins where the timeline was left, and only the end of that WAL leads to it."""
    made = catalog_on(MemoryStore())
    store_all(made, NEW, stretch(2, 3, until=4), stretch(7, 51, until=30 * DAY))
    made.store.put(keys.wal_segment("production", SYSTEM, f"{name(4)}.partial"), b"")
    apply(made)
    assert not any("partial" in key for key in keys_of(made))


def test_nothing_more_goes_when_a_hold_is_placed_meanwhile(catalog: Catalog) -> None:
    answers = iter([True, False])
    removal = apply(catalog, still_holds=lambda: next(answers))
    assert removal.stopped
    assert [one.id for one in removal.removed] == ["old-b"]
    assert ids(catalog) == {"old-full", "old-a", "new-full", "s1-2", "s1-4", "s1-50"}


def test_a_lock_that_has_ended_is_none() -> None:
    made = catalog_on(MemoryStore())
    for one in (*OLD, NEW):
        store_backup(made, one, lock=Retention(mode="COMPLIANCE", until=NOON))
    assert find_locked(made, made.snapshot(SYSTEM), plan(made).removed) == []
