"""The full backup's task where the policy names a standby to read from."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from tests.conftest import Cluster
from tests.operators.conftest import Protected, database_connection

pytestmark = pytest.mark.integration

_STANDBY = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STANDBY"
_SECTION = "  full_backup:\n    standby: {connection_id: ledgerkeep_production_standby}\n"


def test_full_backup_is_read_from_the_standby_that_the_policy_names(
    pair: tuple[Protected, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evidence says so; the slot is the primary's. A primary in its place is refused."""
    protected, standby = pair
    file = protected.policies / "production.yaml"
    file.write_text(file.read_text().replace("  full_backup:\n", _SECTION))
    monkeypatch.setenv(_STANDBY, database_connection(standby))
    run = Run("production_database_full_backup")
    taken = run.do(BaseBackupOperator(task_id="stream", environment="production"))
    run.do(RecordBackupOperator(task_id="record", environment="production", backup_id=taken))
    where = f"127.0.0.1:{standby.port}"
    assert protected.catalog.find_backup(taken).standby == where
    assert run.contribution("record")["facts"]["read from standby"] == where
    assert protected.slots == ["ledgerkeep_production"]

    monkeypatch.setenv(_STANDBY, database_connection(protected.cluster))
    with pytest.raises(AirflowFailException, match="is no standby"):
        run.do(BaseBackupOperator(task_id="stream", environment="production"))
