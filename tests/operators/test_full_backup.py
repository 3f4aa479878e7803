"""The tasks of a full backup: what they leave, and which failures Airflow may retry."""

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.database.postgres.lock import operation_lock
from ledgerkeep.errors import DatabaseUnavailable, OperationRunning
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from tests.conftest import Cluster
from tests.database.postgres.backup_support import damage_a_page
from tests.operators.conftest import Protected, connection, database_connection

pytestmark = pytest.mark.integration

DATABASE = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_DATABASE"
STORAGE = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE"
POINTS = Asset(name="points", uri="x-ledgerkeep://points")


def stream() -> BaseBackupOperator:
    return BaseBackupOperator(task_id="stream", environment="production")


def record(backup_id: str) -> RecordBackupOperator:
    return RecordBackupOperator(
        task_id="record", environment="production", backup_id=backup_id, outlets=[POINTS]
    )


def test_backup_counts_once_it_has_been_read_back(protected: Protected) -> None:
    run = Run("production_database_full_backup")
    backup_id = run.do(stream())
    (system_identifier,) = protected.catalog.system_identifiers()
    assert protected.catalog.backups(system_identifier) == []

    assert run.do(record(backup_id)) == backup_id

    (backup,) = protected.catalog.backups(system_identifier)
    assert (backup.id, backup.run) == (backup_id, run.name)
    assert run.contribution("record")["recovery_point_ids"] == [backup_id]
    assert run.contribution("record")["facts"] == {"method": "full"}
    assert run.contribution("record")["findings"] == []
    assert run.contribution("record")["measurements"]["stored_bytes"] == backup.stored_bytes
    assert run.events[POINTS].extra == {
        "recovery_point": backup_id,
        "method": "full",
        "stored_bytes": backup.stored_bytes,
    }


def test_backup_with_damaged_pages_is_recorded_and_the_task_fails(
    fresh_cluster: Cluster, protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the best there is; but nobody must overlook it."""
    monkeypatch.setenv(DATABASE, database_connection(fresh_cluster, schema="postgres"))
    damage_a_page(fresh_cluster)
    run = Run("production_database_full_backup")
    backup_id = run.do(stream())

    with pytest.raises(AirflowFailException, match=r"wrong page checksums in it: .*\nHint: "):
        run.do(record(backup_id))

    (system_identifier,) = protected.catalog.system_identifiers()
    assert [one.id for one in protected.catalog.backups(system_identifier)] == [backup_id]
    left = run.contribution("record")
    assert left["recovery_point_ids"] == [backup_id]
    assert [finding["severity"] for finding in left["findings"]] == ["critical"]


def test_backup_that_was_never_streamed_is_final(protected: Protected) -> None:
    bucket = protected.catalog.policy.storage.bucket
    with pytest.raises(AirflowFailException) as caught:
        Run("r").do(record("20260101T000000Z-full"))
    assert str(caught.value) == (
        "no backup 20260101T000000Z-full was streamed to "
        f"s3://{bucket}/production\n"
        "Hint: was it interrupted, and swept by a later run? take a new full backup"
    )


def test_wrong_password_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, password="wrong"))
    with pytest.raises(AirflowFailException) as caught:
        Run("r").do(stream())
    assert "password authentication failed" in str(caught.value)
    assert str(caught.value).endswith(
        "Hint: check the connection's role and password, that the role has REPLICATION, "
        "and that pg_hba.conf admits it for replication from this worker"
    )


def test_missing_bucket_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = protected.catalog.policy.storage.bucket
    policy = protected.policies / "production.yaml"
    policy.write_text(policy.read_text().replace(bucket, "there-is-no-such-bucket"))
    with pytest.raises(AirflowFailException, match="there-is-no-such-bucket"):
        Run("r").do(stream())


def test_wrong_key_is_final(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {"service_config": {"s3": {"endpoint_url": protected.s3.endpoint}}}
    monkeypatch.setenv(STORAGE, connection("aws", login="no", password="no-no", extra=endpoint))
    with pytest.raises(AirflowFailException, match=r"\nHint: "):
        Run("r").do(stream())


def test_server_that_is_down_is_left_to_the_retries(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATABASE, database_connection(protected.cluster, port=1))
    with pytest.raises(DatabaseUnavailable):
        Run("r").do(stream())


@pytest.mark.parametrize("database", ["loan_management", "postgres"])
def test_backup_under_way_is_left_to_the_retries(protected: Protected, database: str) -> None:
    """Whichever database of the cluster the other run is connected to."""
    address = protected.cluster.address.to(database)
    with operation_lock(address, "production/base backup"), pytest.raises(OperationRunning):
        Run("r").do(stream())


def test_environment_without_a_policy_is_named(protected: Protected) -> None:
    task = BaseBackupOperator(task_id="stream", environment="nowhere")
    with pytest.raises(AirflowFailException) as caught:
        Run("r").do(task)
    assert str(caught.value) == (
        f"there is no policy for 'nowhere' in {protected.policies}\n"
        "Hint: the environments are production"
    )
