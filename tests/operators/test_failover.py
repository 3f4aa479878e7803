"""A failover as its runs tell it: what the tasks say, and what a person does next.

The new primary has no slot, since physical slots stay behind. Shipping says so and stops. A full
backup makes the slot anew, and the next incremental becomes one by itself; then shipping goes on,
across the switch where the new primary still has the WAL, and behind a hole that the evidence
names where it has not.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.operators.base import LedgerkeepOperator
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from ledgerkeep.operators.incremental_backup import IncrementalBackupOperator
from ledgerkeep.operators.restore import PlanRecoveryOperator
from ledgerkeep.operators.wal import ShipWalOperator
from tests.conftest import Cluster
from tests.database.postgres.wal_support import recycle, write_wal
from tests.operators.conftest import Protected, database_connection

pytestmark = pytest.mark.integration

_DATABASE = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE"


@pytest.fixture
def shipped(pair: tuple[Protected, Cluster]) -> tuple[Protected, Cluster]:
    """A protected primary with a standby, backed up and shipped from once."""
    back_up()
    ship()
    return pair


def back_up(kind: type[LedgerkeepOperator] = BaseBackupOperator) -> str:
    run = Run("production_database_backup")
    taken = run.do(kind(task_id="stream", environment="production"))
    record = RecordBackupOperator(task_id="record", environment="production", backup_id=taken)
    backup_id: str = run.do(record)
    return backup_id


def ship() -> Run:
    run = Run("production_database_wal_shipping")
    run.do(ShipWalOperator(task_id="ship", environment="production"))
    return run


def plan(lsn: int) -> dict:
    task = PlanRecoveryOperator(
        task_id="plan", environment="production", target_kind="lsn", target_value=format_lsn(lsn)
    )
    return Run("production_recovery").do(task)


def position(cluster: Cluster) -> int:
    ((bytes_of_wal,),) = cluster.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
    return int(bytes_of_wal)


def fail_over(primary: Cluster, standby: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The primary is lost, with nothing committed there alone; the connection follows."""
    primary.execute("CREATE TABLE IF NOT EXISTS last_words ()")
    ((written,),) = primary.execute("SELECT pg_current_wal_flush_lsn()::text")
    replayed = f"SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn"
    wait_until(lambda: standby.execute(replayed)[0][0])
    primary.stop(immediate=True)
    standby.execute("SELECT pg_promote(true, 60)")
    monkeypatch.setenv(_DATABASE, database_connection(standby))


def wait_until(happened) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def final(message: str, hint: str) -> Iterator[None]:
    """The task fails for good, with these words in its log."""
    with pytest.raises(AirflowFailException) as failed:
        yield
    said, _, advice = str(failed.value).partition("\nHint: ")
    assert said.startswith(message)
    assert advice.startswith(hint)


def test_shipping_stops_at_a_new_primary_until_a_full_backup_makes_its_slot(
    shipped: tuple[Protected, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost here: the new primary still has all WAL since the last shipping."""
    protected, standby = shipped
    standby.execute("ALTER SYSTEM SET wal_keep_size = '64MB'")
    standby.execute("SELECT pg_reload_conf()")
    write_wal(protected.cluster, 2)
    before = position(protected.cluster)
    fail_over(protected.cluster, standby, monkeypatch)
    write_wal(standby, 2)
    with final(
        "replication slot ledgerkeep_production is gone; its WAL had been shipped up to ",
        "was the slot dropped, is this a new primary after a failover, or a clone? "
        "if this is the server to protect, take a full backup: it makes the slot anew",
    ):
        ship()
    back_up(IncrementalBackupOperator)
    after = position(standby)
    run = ship()
    assert run.contribution("ship")["findings"] == []
    assert len(run.contribution("ship")["recovery_point_ids"]) == 2
    assert plan(before)["timeline"] == 2
    assert [branch["timeline"] for branch in plan(before)["lineage"]] == [1, 2]
    assert [branch["timeline"] for branch in plan(after)["lineage"]] == [2]
    newest = protected.catalog.find_backup(plan(after)["backup_id"])
    assert newest.method == "full"
    assert "timeline" in newest.full_because


def test_wal_that_no_server_has_any_more_is_a_hole_that_is_named(
    shipped: tuple[Protected, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery reaches what lies before it and behind it, and says why not into it."""
    protected, standby = shipped
    stored = protected.catalog.last_stretch(*protected.catalog.system_identifiers())
    for _ in range(2):
        write_wal(protected.cluster, 8)
        lost = position(protected.cluster)
        recycle(protected.cluster)
        wait_until(
            lambda lost=lost: standby.execute(
                f"SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn > {lost}"
            )[0][0]
        )
        standby.execute("CHECKPOINT")
    fail_over(protected.cluster, standby, monkeypatch)
    write_wal(standby, 12)
    recycle(standby)
    with final("replication slot ledgerkeep_production is gone", "was the slot dropped"):
        ship()
    anew = back_up()
    behind = position(standby)
    (finding,) = ship().contribution("ship")["findings"]
    assert finding["severity"] == "warning"
    assert finding["what"].startswith(f"WAL from {format_lsn(stored.end_lsn)} to ")
    assert finding["what"].endswith(" is lost: no recovery into it")
    assert plan(stored.end_lsn)["last_segment"] == stored.last_segment
    assert plan(behind)["backup_id"] == anew
    with final(
        f"WAL position {format_lsn(lost)} cannot be reached: WAL after "
        f"{format_lsn(stored.end_lsn)} is missing: ",
        f"nearest that can be reached: {format_lsn(stored.end_lsn)} before it, ",
    ):
        plan(lost)


def test_old_primary_that_comes_back_is_refused(
    shipped: tuple[Protected, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By shipping and by backups alike: what it writes is another history."""
    protected, standby = shipped
    fail_over(protected.cluster, standby, monkeypatch)
    back_up()
    ship()
    protected.cluster.start()
    monkeypatch.setenv(_DATABASE, database_connection(protected.cluster))
    for refused in (ship, back_up):
        with final(
            "the server (cluster ",
            "is this a former primary that came back after a failover, or a clone? "
            "point the connection at the present primary",
        ):
            refused()
