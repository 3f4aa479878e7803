"""WAL shipping as a task, and the one that ships only where a fingerprint needs it."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.fingerprint import FingerprintOperator, ProvableFingerprintOperator
from ledgerkeep.operators.wal import ShipWalOperator, ShipWalPastOperator
from tests.operators.conftest import Protected

pytestmark = pytest.mark.integration


def ship(run: Run) -> list[str]:
    found: list[str] = run.do(ShipWalOperator(task_id="ship", environment="production"))
    return found


def ship_past(run: Run, fingerprint_id: str | None) -> list[str]:
    found: list[str] = run.do(
        ShipWalPastOperator(task_id="ship", environment="production", fingerprint_id=fingerprint_id)
    )
    return found


def test_shipping_contributes_what_is_durable(protected: Protected) -> None:
    run = Run("production_database_wal_shipping")
    (stretch_id,) = ship(run)
    (system_identifier,) = protected.catalog.system_identifiers()
    (stretch,) = protected.catalog.stretches(system_identifier)
    assert stretch.id == stretch_id
    assert run.contribution("ship") == {
        "recovery_point_ids": [stretch_id],
        "measurements": {
            "segments": stretch.segment_count,
            "raw_bytes": stretch.raw_bytes,
            "stored_bytes": stretch.stored_bytes,
        },
        "findings": [],
    }
    assert protected.slots == ["ledgerkeep_production"]


def test_fingerprint_past_the_stored_wal_is_shipped_to_and_only_once(protected: Protected) -> None:
    ship(Run("first"))
    run = Run("production_test_point_in_time_recovery")
    fingerprint_id = run.do(
        ProvableFingerprintOperator(task_id="fingerprint", environment="production")
    )
    assert len(ship_past(run, fingerprint_id)) == 1
    # There is more to ship by now, which is none of this task's business.
    protected.cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'more')")
    assert ship_past(Run("again"), fingerprint_id) == []
    assert len(ship(Run("later"))) == 1


def test_without_a_fingerprint_wal_is_shipped_all_the_same(protected: Protected) -> None:
    assert len(ship_past(Run("r"), None)) == 1


def test_fingerprint_says_what_it_holds(protected: Protected) -> None:
    run = Run("production_database_fingerprint")
    fingerprint_id = run.do(FingerprintOperator(task_id="take", environment="production"))
    left = run.contribution("take")
    assert left["recovery_point_ids"] == [fingerprint_id]
    assert left["measurements"]["tables"] == 10
    assert protected.slots == []


def test_unknown_fingerprint_is_final(protected: Protected) -> None:
    task = ProvableFingerprintOperator(
        task_id="fingerprint", environment="production", stored="no-such"
    )
    run = Run("r")
    with pytest.raises(AirflowFailException, match=r"no-such.*\nHint: ") as caught:
        run.do(task)
    # The evidence of the failed run says why, not only which task.
    assert run.contribution("fingerprint") == {
        "recovery_point_ids": [],
        "findings": [{"what": str(caught.value).partition("\n")[0], "severity": "critical"}],
    }
