"""How long each kind of record is locked: as the policy says for it, and not longer."""

from datetime import timedelta

import pytest

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.models import BackupMethod, Proof
from ledgerkeep.model import utc_now
from tests.catalog.simulated import Simulation, retention
from tests.catalog.stored import catalog_on
from tests.recovery.samples import SYSTEM, backup, stretch
from tests.support.memory_store import MemoryStore

INCREMENTAL = backup("increment", stop=2, at=2).model_copy(
    update={"method": "incremental", "parent_id": "full"}
)
HOUR = timedelta(hours=1)


def locked_for(store: MemoryStore, prefix: str) -> timedelta:
    """Of the one object below a prefix, from now on."""
    (listed,) = store.list(prefix)
    head = store.head(listed.key)
    assert head is not None
    assert head.retention is not None
    return head.retention.until - utc_now()


def test_backups_are_locked_by_their_method() -> None:
    store = MemoryStore()
    catalog = catalog_on(store, locked=True)
    for point in (backup("full", stop=1, at=1), INCREMENTAL):
        catalog.commit_backup(point)
    for name, days in (("full", 30), ("increment", 7)):
        locked = locked_for(store, keys.backup("production", SYSTEM, name))
        assert abs(locked - timedelta(days=days)) < HOUR


@pytest.mark.parametrize(("method", "days"), [("full", 30), ("incremental", 7)])
def test_a_proof_is_locked_as_long_as_what_it_proves(method: BackupMethod, days: int) -> None:
    store = MemoryStore()
    proof = Proof(recovery_point_id="one", level="intact", shown_at=utc_now(), run="r/1")
    catalog_on(store, locked=True).commit_proof(SYSTEM, proof, method)
    locked = locked_for(store, keys.proofs("production", SYSTEM, "one"))
    assert abs(locked - timedelta(days=days)) < HOUR


def test_a_fingerprint_is_locked_as_long_as_the_wal_that_leads_to_it() -> None:
    store = MemoryStore()
    catalog = catalog_on(store, locked=True)
    catalog.commit_fingerprint(Simulation(retention(daily="1d")).fingerprint())
    catalog.commit_stretch(stretch(2, 3, until=4))
    for prefix in (keys.fingerprints("production", SYSTEM), keys.stretches("production", SYSTEM)):
        assert abs(locked_for(store, prefix) - timedelta(days=7)) < HOUR
