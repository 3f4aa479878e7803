"""The restore test of a whole chain, task by task."""

from tests.operators.runs import Run  # isort: skip - before Airflow
import pytest

from ledgerkeep.operators.restore import PlanChainOperator
from tests.database.postgres.backup_support import full_backup, incremental_backup
from tests.operators.conftest import Protected
from tests.operators.test_restore import ENVIRONMENT, proof_of, restore_test

pytestmark = pytest.mark.integration

DAG = "production_test_full_database_restore"


@pytest.fixture(autouse=True)
def summarized(protected: Protected) -> None:
    """Incrementals need the server's summaries of its WAL."""
    protected.cluster.execute("ALTER SYSTEM SET summarize_wal = on")
    protected.cluster.execute("SELECT pg_reload_conf()")


def pay(protected: Protected) -> None:
    protected.cluster.execute("UPDATE customers SET notes = clock_timestamp()", "loan_management")


def test_newest_chain_is_restored_and_proven_although_a_full_backup_is_nearer(
    protected: Protected,
) -> None:
    first = full_backup(protected.cluster, protected.catalog)
    pay(protected)
    second = incremental_backup(protected.cluster, protected.catalog)
    pay(protected)
    last = incremental_backup(protected.cluster, protected.catalog)
    full_backup(protected.cluster, protected.catalog)
    run = Run(DAG)

    assert restore_test(run, planner=PlanChainOperator) == "proven"

    assert run.returned["restore"]["chain"] == [first.id, second.id, last.id]
    assert run.contribution("plan")["measurements"]["planned_backups"] == 3
    assert run.contribution("plan")["findings"] == []
    assert run.contribution("restore")["measurements"]["combine_seconds"] > 0
    assert proof_of(protected, last.id).level == "proven"
    assert [proof_of(protected, one.id).level for one in (first, second)] == ["intact", "intact"]


def test_chain_is_planned_to_its_own_end_where_there_is_no_fingerprint(
    protected: Protected,
) -> None:
    full_backup(protected.cluster, protected.catalog)
    last = incremental_backup(protected.cluster, protected.catalog)
    plan = Run(DAG).do(PlanChainOperator(task_id="plan", **ENVIRONMENT))
    assert plan["backup_id"] == last.id
    assert plan["recovery_settings"] == {"recovery_target": "immediate"}
    assert plan["segment_count"] == 0


def test_full_backup_alone_is_taken_where_there_is_no_incremental_and_that_is_told(
    protected: Protected,
) -> None:
    backup = full_backup(protected.cluster, protected.catalog)
    run = Run(DAG)
    plan = run.do(PlanChainOperator(task_id="plan", **ENVIRONMENT))
    assert plan["backup_id"] == backup.id
    assert run.contribution("plan")["findings"] == [
        {
            "what": "no incremental backup leads to the target: a full backup alone is restored",
            "severity": "warning",
        }
    ]
