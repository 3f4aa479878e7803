"""What retention is decided on, as it lies in a store, and what one run of it does as a whole."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledgerkeep.catalog import index, keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.holds import end_recovery_holds, hold_for_recovery, place_hold
from ledgerkeep.catalog.models import BaseBackup, Hold, Proof, StreamedBackup
from ledgerkeep.database.postgres.retention import apply_retention, load_stored, plan_clusters
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.storage.port import StoredObject
from tests.catalog.stored import catalog_on, store_all
from tests.recovery.samples import NOON, SYSTEM, backup, stretch
from tests.support.memory_store import MemoryStore

_THEN = (utc_now() - timedelta(days=20)).replace(hour=12, minute=0, second=0, microsecond=0)
AGO = (_THEN - NOON) / timedelta(minutes=1)
OTHER = "7300000000000000002"


def incremental(name: str, parent: str, *, stop: int) -> BaseBackup:
    made = backup(name, stop=stop, at=AGO + stop)
    return made.model_copy(update={"method": "incremental", "parent_id": parent})


@pytest.fixture
def catalog() -> Catalog:
    made = catalog_on(MemoryStore())
    store_all(made, backup("full", stop=1, at=AGO), incremental("first", "full", stop=2))
    store_all(made, backup("new", stop=9, at=AGO + 10 * 24 * 60))
    store_all(made, stretch(2, 3, until=AGO + 3), stretch(9, 9, until=AGO + 10 * 24 * 60))
    return made


def apply(catalog: Catalog, now: datetime | None = None) -> list[str]:
    """Ids of what one run removed, of all clusters."""
    done = apply_retention(None, catalog, run="r/1", now=now or utc_now())
    return [point.id for one in done for point in one.removal.removed]


def stream(catalog: Catalog, name: str, parent: str) -> StreamedBackup:
    """A backup that is being read back."""
    made = incremental(name, parent, stop=3)
    plain = {field: getattr(made, field) for field in StreamedBackup.model_fields}
    streamed = StreamedBackup.model_validate({**plain, "created_at": utc_now(), "run": "other/1"})
    prefix = keys.backup("production", SYSTEM, name)
    catalog.write(prefix + keys.STREAM, streamed, None)
    return streamed


def test_a_run_removes_what_the_plan_said(catalog: Catalog) -> None:
    (plan,) = plan_clusters(catalog, now=utc_now())
    assert {one.id for one in plan.removed} == {"first", "s1-2"}
    assert apply(catalog) == ["first", "s1-2"]
    assert apply(catalog) == []


def test_what_a_streamed_backup_builds_on_stays(catalog: Catalog) -> None:
    streamed = stream(catalog, "streamed", "first")
    assert load_stored(catalog, SYSTEM).unrecorded == [streamed]
    assert apply(catalog) == ["s1-2"]
    assert catalog.unfinished_backups(SYSTEM) == ["streamed"]


def test_what_interrupted_runs_have_left_is_swept(catalog: Catalog) -> None:
    """A removal that was killed after the record looks like a backup that never was one."""
    key = keys.backup("production", SYSTEM, "first") + keys.RECOVERY_POINT
    catalog.store.delete_prefix(key)
    catalog.store.delete_prefix(keys.backup("production", SYSTEM, "first") + keys.STREAM)
    apply(catalog)
    assert catalog.unfinished_backups(SYSTEM) == []


def test_a_backup_that_has_lost_its_record_is_left_with_what_builds_on_it(
    catalog: Catalog,
) -> None:
    """Retention would have swept the one, and removed the other as a broken chain."""
    proof = Proof(recovery_point_id="full", level="intact", shown_at=_THEN, run="full/1")
    catalog.commit_proof(SYSTEM, proof)
    directory = keys.backup("production", SYSTEM, "full")
    catalog.store.delete_prefix(directory + keys.RECOVERY_POINT)
    catalog.store.delete_prefix(directory + keys.STREAM)
    (plan,) = plan_clusters(catalog, now=utc_now())
    words = f"it was shown to be intact on {_THEN:%Y-%m-%d} by full/1"
    assert plan.notices == [
        f"backup full has lost its record, but {words}: put the record back, or remove what is "
        "left of the backup"
    ]
    for _ in range(2):
        assert "first" not in apply(catalog)
        assert catalog.unfinished_backups(SYSTEM) == ["full"]
        assert catalog.proofs(SYSTEM)["full"] == [proof]


def test_a_hold_that_was_placed_after_the_plan_was_shown_counts(catalog: Catalog) -> None:
    (plan,) = plan_clusters(catalog, now=utc_now())
    assert "first" in {one.id for one in plan.removed}
    place_hold(catalog, "first", reason="case 7", placed_by="dana")
    assert apply(catalog, plan.now) == ["s1-2"]


def recovery(catalog: Catalog, backup_id: str, run: str, *, hours: float = 1) -> Hold:
    until = utc_now() + timedelta(hours=hours)
    return hold_for_recovery(catalog, SYSTEM, ["full", backup_id], None, run=run, until=until)


def test_what_a_recovery_reads_stays_until_it_has_ended(catalog: Catalog) -> None:
    recovery(catalog, "first", "r/2")
    assert apply(catalog) == ["s1-2"]
    end_recovery_holds(catalog, "r/2")
    assert apply(catalog) == ["first"]


def test_what_a_killed_recovery_held_goes_in_the_end(catalog: Catalog) -> None:
    hold = recovery(catalog, "first", "r/2", hours=-1)
    assert apply(catalog) == ["first", "s1-2"]
    assert catalog.store.head(keys.hold("production", SYSTEM, hold.id)) is None


class Meanwhile(MemoryStore):
    """Something happens after the plan was made, right before the first removal."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self.happens = happens

    def put(self, key: str, *arguments: Any, **about: Any) -> StoredObject:
        stored = super().put(key, *arguments, **about)
        if "/removals/" in key:
            self.happens()
        return stored


def test_a_recovery_that_is_planned_while_retention_removes_loses_nothing(
    catalog: Catalog,
) -> None:
    """What was to go stays: retention looks at the holds once more before it removes."""
    store = Meanwhile(lambda: recovery(catalog, "first", "r/2"))
    store.objects = catalog.store.objects  # type: ignore[attr-defined]
    (done,) = apply_retention(None, catalog_on(store), run="r/1", now=utc_now())
    assert (done.removal.stopped, done.removal.removed) == (True, [])
    assert apply(catalog) == ["s1-2"]


def test_a_recovery_that_ends_meanwhile_stops_no_removal(catalog: Catalog) -> None:
    recovery(catalog, "new", "r/2")
    store = Meanwhile(lambda: end_recovery_holds(catalog, "r/2"))
    store.objects = catalog.store.objects  # type: ignore[attr-defined]
    (done,) = apply_retention(None, catalog_on(store), run="r/1", now=utc_now())
    assert (done.removal.stopped, len(done.removal.removed)) == (False, 2)


def test_histories_tell_which_timelines_belong_together(catalog: Catalog) -> None:
    catalog.store.put(keys.wal_history("production", SYSTEM, 2), b"1\t0/4000000\tno reason\n")
    assert load_stored(catalog, SYSTEM).switches == {2: ((1, 0x4000000),)}


def test_every_cluster_of_the_environment_is_looked_after(catalog: Catalog) -> None:
    """Also one that an upgrade has replaced: its system identifier is another."""
    last = backup("last", stop=9, at=AGO + 10 * 24 * 60)
    for point in (backup("old", stop=1, at=AGO), incremental("old-a", "old", stop=2), last):
        other = point.model_copy(update={"system_identifier": OTHER})
        catalog.commit_backup(other)
    assert sorted(apply(catalog)) == ["first", "old-a", "s1-2"]
    assert [one.id for one in catalog.backups(OTHER)] == ["old", "last"]


def test_a_run_renews_the_index_and_does_not_fail_with_it(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "WORTH_IT", 1)
    apply(catalog)
    kept = keys.indexes("production", SYSTEM, "backups")
    assert len(list(catalog.store.list(kept))) == 1

    class Full(MemoryStore):
        def writer(self, key: str, **about: object) -> object:  # type: ignore[override]
            raise StoreUnavailable("the store is full")

    full = Full()
    full.objects = catalog.store.objects  # type: ignore[attr-defined]
    store_all(catalog, backup("newer", stop=10, at=AGO + 11 * 24 * 60))
    assert apply(catalog_on(full)) == []
