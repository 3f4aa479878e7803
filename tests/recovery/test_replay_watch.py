"""When a replay is given up: it may take any time, but not stand still."""

from pathlib import Path

import pytest

from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.errors import RecoveryStopped
from ledgerkeep.recovery.restore import restore_cluster
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.worker import WorkerSettings
from tests.recovery.conftest import History

pytestmark = pytest.mark.integration


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
