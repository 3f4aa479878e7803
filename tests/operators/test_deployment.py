"""The tasks around a deployment: the backup before it, and the word that it works."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.catalog.deployments import verified_deployments
from ledgerkeep.catalog.models import BaseBackup, Deployment
from ledgerkeep.operators.deployment import PreDeploymentBackupOperator, VerifyDeploymentOperator
from ledgerkeep.operators.full_backup import RecordBackupOperator
from tests.operators.conftest import Protected, database_connection

pytestmark = pytest.mark.integration

BACKUP = "production_database_pre_deployment_backup"
VERIFIED = "production_database_deployment_verified"


def stream(deployment_id: str, description: str = "") -> PreDeploymentBackupOperator:
    return PreDeploymentBackupOperator(
        task_id="stream",
        environment="production",
        deployment_id=deployment_id,
        description=description,
    )


def mark(deployment_id: str) -> VerifyDeploymentOperator:
    return VerifyDeploymentOperator(
        task_id="mark", environment="production", deployment_id=deployment_id
    )


def back_up(deployment_id: str) -> str:
    """The whole run before a deployment."""
    run = Run(BACKUP)
    backup_id = run.do(stream(deployment_id, "new ledger"))
    record = RecordBackupOperator(task_id="record", environment="production", backup_id=backup_id)
    return run.do(record)


def backups(protected: Protected) -> list[BaseBackup]:
    (cluster,) = protected.catalog.system_identifiers()
    return protected.catalog.backups(cluster)


def test_backup_carries_its_deployment_and_is_free_to_go_when_that_is_verified(
    protected: Protected,
) -> None:
    """Twice for the same deployment: both are kept, and one word is about both."""
    run = Run(BACKUP)
    run.do(stream("2026.11.3", "new ledger"))
    told = run.contribution("stream")
    assert told["facts"] == {"deployment": "2026.11.3", "description": "new ledger"}

    ids = [back_up("2026.11.3"), back_up("2026.11.3")]
    assert [one.id for one in backups(protected)] == ids
    deployment = Deployment(id="2026.11.3", description="new ledger")
    assert {one.deployment.model_dump_json() for one in backups(protected)} == {
        deployment.model_dump_json()
    }

    run = Run(VERIFIED)
    assert run.do(mark("2026.11.3")) == ids
    (cluster,) = protected.catalog.system_identifiers()
    record = verified_deployments(protected.catalog, cluster)["2026.11.3"]
    assert record.verified_by == f"dana ({run.name})"
    told = run.contribution("mark")
    assert told["recovery_point_ids"] == ids
    assert told["facts"]["deployment"] == "2026.11.3"
    assert told["facts"]["verified"].endswith(f"Z by dana ({run.name})")
    assert told["findings"] == []

    again = Run(VERIFIED, run_id="manual__2")
    assert again.do(mark("2026.11.3")) == ids
    assert verified_deployments(protected.catalog, cluster)["2026.11.3"] == record
    (finding,) = again.contribution("mark")["findings"]
    assert finding["severity"] == "info"
    assert finding["what"].startswith("deployment 2026.11.3 was verified already, ")

    # What was said about the deployment would let a new backup go at once.
    with pytest.raises(AirflowFailException) as refused:
        Run(BACKUP).do(stream("2026.11.3"))
    assert "a backup before it would not be kept" in str(refused.value)
    assert [one.id for one in backups(protected)] == ids


@pytest.mark.parametrize("bad", ["", "../../other", "a/b", "x" * 300])
def test_bad_deployment_id_is_refused_before_anything_is_touched(
    protected: Protected, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    """Neither server nor store is asked: both addresses lead nowhere here."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE",
        database_connection(protected.cluster, port=1),
    )
    monkeypatch.delenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE")
    for task in (stream(bad), mark(bad)):
        run = Run("r")
        with pytest.raises(AirflowFailException) as refused:
            run.do(task)
        assert " is not a deployment id\nHint: 1 to 100 letters, " in str(refused.value)
        (finding,) = run.contribution(task.task_id)["findings"]
        assert finding["severity"] == "critical"


def test_deployment_without_a_backup_is_final(protected: Protected) -> None:
    with pytest.raises(AirflowFailException) as refused:
        Run(VERIFIED).do(mark("v9"))
    assert str(refused.value) == (
        "no backup was taken before a deployment v9\n"
        "Hint: check the id (there is none so far); backups before deployments are taken by the "
        "DAG production_database_pre_deployment_backup"
    )
