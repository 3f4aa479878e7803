"""When a replay is given up: it may take any time, but not stand still."""

from pathlib import Path

import pytest

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.errors import RecoveryStopped
from ledgerkeep.recovery.replay_watch import advice
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
