"""Holds: placed with a reason, on something that is there, and ended by a second record.

Those of recoveries end with them, or by themselves.
"""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.holds import (
    active_hold_keys,
    active_holds,
    end_recovery_holds,
    hold_for_recovery,
    place_hold,
    release_hold,
    remove_expired_holds,
)
from ledgerkeep.catalog.models import HeldWal, Hold
from ledgerkeep.errors import CatalogError, RecoveryPointMissing
from ledgerkeep.model import utc_now
from tests.catalog.simulated import Simulation, retention
from tests.catalog.stored import catalog_on, store_all
from tests.recovery.samples import SYSTEM, backup, stretch
from tests.support.memory_store import MemoryStore

WAL = stretch(2, 3, until=4).model_copy(
    update={"id": "000000010000000000000002-000000010000000000000003"}
)


@pytest.fixture
def catalog() -> Catalog:
    made = catalog_on(MemoryStore(), locked=True)
    fingerprint = Simulation(retention(daily="1d")).fingerprint()
    store_all(made, backup("one", stop=1, at=1), WAL, fingerprint)
    return made


def place(catalog: Catalog, point: str = "one", reason: str = "case 7") -> Hold:
    return place_hold(catalog, point, reason=reason, placed_by="dana")


@pytest.mark.parametrize("point", ["one", WAL.id, "f0"])
def test_a_hold_is_active_until_it_is_released(catalog: Catalog, point: str) -> None:
    hold = place(catalog, point)
    assert (hold.recovery_point_id, hold.reason, hold.placed_by) == (point, "case 7", "dana")
    assert active_holds(catalog, SYSTEM) == [hold]
    release = release_hold(catalog, hold.id, reason="closed", released_by="kim")
    assert (release.hold_id, release.reason, release.released_by) == (hold.id, "closed", "kim")
    assert active_holds(catalog, SYSTEM) == []
    assert active_hold_keys(catalog, SYSTEM) == set()


def test_several_holds_on_one_point_end_one_by_one(catalog: Catalog) -> None:
    first, second = place(catalog), place(catalog, reason="case 8")
    release_hold(catalog, first.id, reason="closed", released_by="kim")
    assert active_holds(catalog, SYSTEM) == [second]


def test_a_hold_and_its_release_cannot_be_removed(catalog: Catalog) -> None:
    """They are locked as long as evidence is."""
    hold = place(catalog)
    release_hold(catalog, hold.id, reason="closed", released_by="kim")
    assert catalog.store.delete_prefix(keys.holds("production", SYSTEM)) == 0


@pytest.mark.parametrize("point", ["two", "000000010000000000000009-000000010000000000000009"])
def test_what_is_not_there_cannot_be_held(catalog: Catalog, point: str) -> None:
    with pytest.raises(RecoveryPointMissing) as refused:
        place(catalog, point)
    assert refused.value.message == f"no recovery point {point} in s3://memory/production"
    assert refused.value.hint == (
        "list what exists: ledgerkeep list --wal --environment production"
    )
    assert active_holds(catalog, SYSTEM) == []


@pytest.mark.parametrize("name", ["", "../one", "a/b", "-x", "x" * 121])
def test_what_cannot_be_an_id_is_refused(catalog: Catalog, name: str) -> None:
    """Before it becomes part of a key."""
    for refuse in (
        lambda: place(catalog, name),
        lambda: release_hold(catalog, name, reason="r", released_by="kim"),
    ):
        with pytest.raises(CatalogError) as refused:
            refuse()
        assert refused.value.message == f"{name!r} cannot be an id"
        assert refused.value.hint == (
            "ids have letters, digits, '-', '_' and '.'; copy one from ledgerkeep list --wal "
            "or ledgerkeep hold list"
        )


def test_a_reason_is_needed(catalog: Catalog) -> None:
    hold = place(catalog)
    hint = "say which case or request it is for: whoever reviews it later has only that"
    with pytest.raises(CatalogError) as refused:
        place(catalog, reason="  ")
    assert (refused.value.message, refused.value.hint) == ("a legal hold needs a reason", hint)
    with pytest.raises(CatalogError) as refused:
        release_hold(catalog, hold.id, reason="", released_by="kim")
    assert refused.value.message == "the release of a legal hold needs a reason"
    assert active_holds(catalog, SYSTEM) == [hold]


def test_a_hold_ends_once(catalog: Catalog) -> None:
    hold = place(catalog)
    first = release_hold(catalog, hold.id, reason="closed", released_by="kim")
    with pytest.raises(CatalogError) as refused:
        release_hold(catalog, hold.id, reason="again", released_by="dana")
    assert refused.value.message == (
        f"legal hold {hold.id} was released on {first.released_at:%Y-%m-%d %H:%M:%S}Z by kim"
    )
    assert refused.value.hint == (
        "nothing is left to do; to hold the recovery point again, place a new hold"
    )


def test_an_unknown_hold_cannot_be_released(catalog: Catalog) -> None:
    with pytest.raises(CatalogError) as refused:
        release_hold(catalog, "none", reason="closed", released_by="kim")
    assert refused.value.message == "no legal hold none in s3://memory/production"
    assert refused.value.hint == "list what exists: ledgerkeep hold list --environment production"


# -- of recoveries


RUN = "production_database_full_restore/manual__2026-11-22T03:00:00+00:00"


def read(catalog: Catalog, *chain: str, run: str = RUN, hours: float = 1) -> Hold:
    until = utc_now() + timedelta(hours=hours)
    wal = HeldWal(timeline=1, end_lsn=4 << 24)
    return hold_for_recovery(catalog, SYSTEM, chain or ("one",), wal, run=run, until=until)


def test_a_recovery_holds_what_it_reads_until_it_ends(catalog: Catalog) -> None:
    hold = read(catalog)
    assert (hold.recovery_point_id, hold.placed_by) == ("one", RUN)
    assert hold.reason == f"a recovery reads it: {RUN}"
    assert active_holds(catalog, SYSTEM) == [hold]
    assert end_recovery_holds(catalog, "another/run") == 0
    assert end_recovery_holds(catalog, RUN) == 1
    assert active_hold_keys(catalog, SYSTEM) == set()


def test_a_recovery_that_plans_anew_holds_its_last_plan_alone(catalog: Catalog) -> None:
    other = read(catalog, run="other/1")
    read(catalog, hours=1)
    again = read(catalog, hours=2)
    assert active_holds(catalog, SYSTEM) == [other, again]


def test_the_hold_of_a_killed_recovery_ends_by_itself(catalog: Catalog) -> None:
    """And retention takes its record away; no other."""
    legal, killed, alive = place(catalog), read(catalog, hours=-1), read(catalog, run="other/1")
    assert active_holds(catalog, SYSTEM) == [legal, alive]
    assert keys.hold("production", SYSTEM, killed.id) in active_hold_keys(catalog, SYSTEM)
    remove_expired_holds(catalog, SYSTEM)
    assert active_hold_keys(catalog, SYSTEM) == {
        keys.hold("production", SYSTEM, one.id) for one in (legal, alive)
    }


def test_a_person_may_end_the_hold_of_a_recovery(catalog: Catalog) -> None:
    hold = read(catalog)
    release_hold(catalog, hold.id, reason="the copy is not needed", released_by="kim")
    assert active_holds(catalog, SYSTEM) == []
    assert end_recovery_holds(catalog, RUN) == 1


def test_a_recovery_of_what_retention_has_just_removed_is_told_so(catalog: Catalog) -> None:
    with pytest.raises(RecoveryPointMissing, match="no recovery point full in"):
        read(catalog, "full", "one")
