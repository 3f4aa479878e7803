"""A backup that was complete is told from an interrupted one, whatever of its traces is left."""

import json
from datetime import UTC, datetime

import pytest

from ledgerkeep.catalog import index, keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.index import refresh_indexes
from ledgerkeep.catalog.models import Proof
from ledgerkeep.catalog.removal import RemovalRecord, RemovedPoint
from ledgerkeep.catalog.traces import lost_records, trace_of
from tests.catalog.stored import catalog_on, store_all
from tests.recovery.samples import SYSTEM, backup
from tests.support.memory_store import MemoryStore

ID = "20261101T010000Z-F-1a2b3c4d"
SHOWN = datetime(2026, 11, 1, 2, tzinfo=UTC)
DIRECTORY = keys.backup("production", SYSTEM, ID)


@pytest.fixture
def catalog() -> Catalog:
    made = catalog_on(MemoryStore())
    store_all(made, backup(ID, stop=1, at=1))
    return made


def lose_record(catalog: Catalog) -> None:
    catalog.store.delete_prefix(DIRECTORY + keys.RECOVERY_POINT)


def prove(catalog: Catalog) -> None:
    catalog.commit_proof(
        SYSTEM, Proof(recovery_point_id=ID, level="intact", shown_at=SHOWN, run="full/1")
    )


def leave_evidence(catalog: Catalog, outcome: str, day: str = "2026/11/02") -> str:
    """As the verdict of a run leaves it, with much else in it."""
    key = f"{keys.evidence('production')}{day}/010000Z-full-0.json"
    record = {"dag_id": "full", "outcome": outcome, "recovery_point_ids": [ID], "kind": "backup"}
    catalog.store.put(key, json.dumps(record).encode())
    return key


def test_an_interrupted_backup_left_no_trace(catalog: Catalog) -> None:
    lose_record(catalog)
    assert trace_of(catalog, SYSTEM, ID) == ""
    assert lost_records(catalog, SYSTEM) == {}


def test_a_backup_that_has_its_record_has_lost_nothing(catalog: Catalog) -> None:
    prove(catalog)
    assert lost_records(catalog, SYSTEM) == {}


def test_a_proof_is_a_trace(catalog: Catalog) -> None:
    prove(catalog)
    lose_record(catalog)
    words = "it was shown to be intact on 2026-11-01 by full/1"
    assert lost_records(catalog, SYSTEM) == {ID: words}


def test_the_index_is_a_trace(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTH_IT", 1)
    refresh_indexes(catalog, SYSTEM)
    lose_record(catalog)
    assert lost_records(catalog, SYSTEM) == {
        ID: "the index of the catalog has a copy of its record"
    }


def test_the_evidence_of_a_run_that_passed_is_a_trace(catalog: Catalog) -> None:
    """A run that failed names what it could not finish."""
    lose_record(catalog)
    catalog.store.put(f"{keys.evidence('production')}2026/11/01/damaged.json", b"{")
    leave_evidence(catalog, "failed", "2026/11/01")
    assert lost_records(catalog, SYSTEM) == {}
    key = leave_evidence(catalog, "success")
    assert lost_records(catalog, SYSTEM) == {ID: f"the evidence {key} names it"}


def test_what_retention_set_out_to_remove_is_not_lost(catalog: Catalog) -> None:
    """It was killed after the record, which goes first."""
    prove(catalog)
    lose_record(catalog)
    point = RemovedPoint(kind="full backup", id=ID, stored_bytes=1, because="expired")
    removal = RemovalRecord(
        run="r/1", system_identifier=SYSTEM, planned_at=SHOWN, at=SHOWN, points=[point]
    )
    catalog.write(keys.removal("production", SYSTEM, SHOWN), removal, None)
    assert lost_records(catalog, SYSTEM) == {}
