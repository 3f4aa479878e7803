"""When a replay is given up: it may take any time, but not stand still."""

from pathlib import Path

import pytest

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.errors import RecoveryStopped
from ledgerkeep.recovery.replay_watch import advice, last_complaint
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.recovery.conftest import History


def test_wal_of_an_extension_whose_library_is_not_loaded_is_explained() -> None:
    """In PostgreSQL's words (src/backend/access/transam/rmgr.c, RmgrNotFound)."""
    said = advice("resource manager with ID 130 not registered", Path("/room/server.log"))
    assert said == (
        "the WAL is an extension's own: name its library in the policy's "
        "database.preload_libraries; the whole log is /room/server.log"
    )


@pytest.mark.integration
def test_a_server_that_only_says_that_it_waits_stands_still(
    history: History, room: Path, settings: WorkerSettings
) -> None:
    """It waits for a segment that the plan takes for part of the backup."""
    plan = history.plan(RecoveryTarget(lsn=history.marks["c"].lsn))
    wrong = plan.model_copy(
        update={"backup_wal_until": plan.first_number * plan.segment_size + plan.segment_size}
    )
    with pytest.raises(RecoveryStopped) as stopped:
        restore_cluster(
            history.catalog, wrong, room, settings=settings, run="test", purpose="test", patience=2
        )
    stands_at = format_lsn(plan.first_number * plan.segment_size)
    assert stopped.value.message.startswith(
        f"replay has stood still at {stands_at} for 2 s before {plan.target}: "
    )


def test_reason_of_a_stop_is_not_what_a_late_visitor_was_told() -> None:
    """The server says so to whoever connects while it goes down, after it said why it does."""
    log = (
        "2026-03-01 UTC [7] LOG:  recovery stopping after WAL location\n"
        "2026-03-01 UTC [7] FATAL:  requested recovery stop point is before consistent recovery "
        "point\n"
        "2026-03-01 UTC [9] FATAL:  the database system is in recovery mode\n"
        "2026-03-01 UTC [9] FATAL:  the database system is shutting down\n"
    )
    assert (
        last_complaint(log) == "requested recovery stop point is before consistent recovery point"
    )
    assert last_complaint("2026-03-01 UTC [7] LOG:  all is well\n") == ""
