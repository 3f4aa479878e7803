"""WAL shipping as a task, and the one that ships only where a fingerprint needs it."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTerminated

from ledgerkeep.operators.fingerprint import FingerprintOperator, ProvableFingerprintOperator
from ledgerkeep.operators.wal import ShipWalOperator, ShipWalPastOperator, StreamWalOperator
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


@pytest.fixture
def streamed(protected: Protected) -> Protected:
    """The policy asks for WAL to be streamed, in runs of six seconds."""
    path = protected.policies / "production.yaml"
    text, count = re.subn(
        r"( *)schedule: [^\n]*\n( *slot: ledgerkeep_production)",
        r"\1schedule: null\n\1continuous: {interval: 6s, switch_after: 2s}\n\2",
        path.read_text(),
    )
    assert count == 1
    path.write_text(text)
    return protected


def stream(run: Run) -> list[str]:
    found: list[str] = run.do(StreamWalOperator(task_id="ship", environment="production"))
    return found


def test_streaming_contributes_what_is_durable_and_how_soon(streamed: Protected) -> None:
    run = Run("production_database_wal_shipping")
    streamed.cluster.execute(
        "SELECT pg_create_physical_replication_slot('ledgerkeep_production', true)"
    )
    streamed.cluster.execute("SELECT pg_logical_emit_message(true, 'test', 'more')")
    (stretch_id,) = stream(run)
    left = run.contribution("ship")
    assert left["recovery_point_ids"] == [stretch_id]
    assert left["measurements"].keys() >= {"segments", "raw_bytes", "stored_bytes"}


def test_nothing_written_contributes_that(streamed: Protected) -> None:
    ship(Run("first"))
    run = Run("production_database_wal_shipping")
    assert stream(run) == []
    assert run.contribution("ship") == {
        "recovery_point_ids": [],
        "measurements": {"segments": 0, "raw_bytes": 0, "stored_bytes": 0},
        "findings": [],
    }


def test_a_fingerprint_is_covered_by_the_run_that_streams(streamed: Protected) -> None:
    """The lock is taken, so it is waited for; an idle server is made to complete its segment."""
    ship(Run("first"))
    fingerprint_id = Run("r").do(
        ProvableFingerprintOperator(task_id="fingerprint", environment="production")
    )
    run = Run("production_test_point_in_time_recovery")
    with ThreadPoolExecutor(1) as beside:
        streaming = beside.submit(stream, Run("production_database_wal_shipping"))
        while not streamed.cluster.execute("SELECT 1 FROM pg_stat_replication"):
            assert not streaming.done()
            time.sleep(0.05)
        assert ship_past(run, fingerprint_id) == []
        assert ship_past(run, fingerprint_id) == []
        assert len(streaming.result()) == 1


def test_a_killed_task_ends_at_once(protected: Protected) -> None:
    """Airflow calls this in its signal handler, and would let the task go on."""
    with pytest.raises(AirflowTaskTerminated):
        StreamWalOperator(task_id="ship", environment="production").on_kill()
