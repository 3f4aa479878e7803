"""The compliance archive as a task, into a store of another account; and back from there alone."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.operators.runs import Run  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowFailException

from include.sandbox.objectstore import REGION, ObjectStoreServer
from ledgerkeep.catalog.archive.make import archives
from ledgerkeep.cli.main import main
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.programs import server_account
from ledgerkeep.operators.archive import ComplianceArchiveOperator
from ledgerkeep.operators.full_backup import BaseBackupOperator, RecordBackupOperator
from ledgerkeep.worker import worker_settings
from tests.operators.conftest import Protected, connection
from tests.support.second_store import BUCKET, vault_server  # noqa: F401

pytestmark = pytest.mark.integration

VAULT = "AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_VAULT"


@pytest.fixture
def vaulted(
    protected: Protected,
    vault_server: ObjectStoreServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Protected:
    """Production, with a vault that its own credentials do not open."""
    there = connection(
        "aws",
        login=vault_server.user.access_key,
        password=vault_server.user.secret_key,
        extra={"service_config": {"s3": {"endpoint_url": vault_server.endpoint}}},
    )
    monkeypatch.setenv(VAULT, there)
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "AES256")
    return protected


def back_up() -> str:
    run = Run("production_database_full_backup")
    backup_id = run.do(BaseBackupOperator(task_id="stream", environment="production"))
    record = RecordBackupOperator(task_id="record", environment="production", backup_id=backup_id)
    return run.do(record)


def copy(recovery_point: str = "") -> ComplianceArchiveOperator:
    return ComplianceArchiveOperator(
        task_id="copy", environment="production", recovery_point=recovery_point
    )


def test_archive_restores_from_the_vault_alone(
    vaulted: Protected,
    vault_server: ObjectStoreServer,  # noqa: F811
    room: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup_id = back_up()
    run = Run("production_database_compliance_archive")

    archive_id = run.do(copy())

    (cluster,) = vaulted.catalog.system_identifiers()
    (archive,) = archives(vaulted.catalog, cluster)
    assert (archive.id, archive.recovery_point_id) == (archive_id, backup_id)
    assert (archive.storage_class, archive.encryption) == ("DEEP_ARCHIVE", "AES256")
    assert archive.run == run.name
    told = run.contribution("copy")
    assert told["recovery_point_ids"] == [backup_id]
    assert told["measurements"]["objects"] == len(archive.objects)
    assert 0 < told["measurements"]["copied_bytes"] <= told["measurements"]["stored_bytes"]
    assert told["facts"]["vault"] == f"s3://{BUCKET}"
    assert told["findings"] == [
        {
            "what": f"archived recovery point {backup_id} is intact, not proven",
            "severity": "warning",
        }
    ]
    again = Run("production_database_compliance_archive", run_id="manual__2")
    assert again.do(copy()) == archive_id
    assert again.contribution("copy")["measurements"]["copied_bytes"] == 0
    weak, done = again.contribution("copy")["findings"]
    assert weak == told["findings"][0]
    assert done["what"] == f"the year was archived already: {archive_id}, by {run.name}"
    assert done["severity"] == "info"

    restore_from_the_vault(vaulted, vault_server, tmp_path, monkeypatch)
    capsys.readouterr()
    words = ["--backup", backup_id, "--latest", "--destination", str(room / "copy")]
    assert main(["restore", "--environment", "production", "--json", *words]) == 0
    restored = json.loads(capsys.readouterr().out)
    with started(restored["handover"], room / "copy") as address:
        here = address.to("loan_management")
        with connect(here) as back:
            assert back.execute("SELECT count(*) FROM loans").fetchone() == (2,)


def restore_from_the_vault(
    vaulted: Protected,
    server: ObjectStoreServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shell that knows the vault and nothing else, as the archive's instructions say."""
    text = (vaulted.policies / "production.yaml").read_text()
    ours = vaulted.catalog.policy.storage.bucket
    before, _, after = text.partition("  object_lock:")
    lock_ends = after.index("\n\n")
    text = f"{before}  object_lock: null{after[lock_ends:]}"
    vault_bucket, spare = f"bucket: {BUCKET}", "bucket: none"
    text = text.replace(vault_bucket, spare).replace(f"bucket: {ours}", vault_bucket)
    directory = tmp_path / "from-the-vault"
    directory.mkdir()
    (directory / "production.yaml").write_text(text)
    for name, value in {
        "LEDGERKEEP_POLICIES": str(directory),
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.user.access_key,
        "AWS_SECRET_ACCESS_KEY": server.user.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def started(handover: dict[str, Any], directory: Path) -> Iterator[ServerAddress]:
    """The copy's server, started with the very command that was told."""
    account = server_account(worker_settings())

    def run(command: list[str]) -> None:
        subprocess.run(account.command(command), check=True, capture_output=True, cwd=directory)

    run(handover["start"])
    try:
        yield ServerAddress(host=handover["socket_directory"])
    finally:
        run([handover["start"][0], "-D", str(directory / "data"), "-m", "fast", "stop"])


def test_vault_that_does_not_let_us_in_is_final_and_names_the_bucket(
    vaulted: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up()
    there = json.loads(os.environ[VAULT])
    there["password"] = "wrong"
    monkeypatch.setenv(VAULT, json.dumps(there))
    run = Run("production_database_compliance_archive")
    with pytest.raises(AirflowFailException) as refused:
        run.do(copy())
    assert "does not accept the credentials (SignatureDoesNotMatch)" in str(refused.value)
    (finding,) = run.contribution("copy")["findings"]
    assert finding["severity"] == "critical"


def test_unknown_recovery_point_is_final(vaulted: Protected) -> None:
    back_up()
    with pytest.raises(AirflowFailException, match="no base backup 20260101T000000Z-F-0 of the"):
        Run("r").do(copy("20260101T000000Z-F-0"))


def test_environment_without_a_vault_says_so(vaulted: Protected) -> None:
    policy = vaulted.policies / "production.yaml"
    before, _, after = policy.read_text().partition("  compliance_archive:")
    policy.write_text(f"{before}  validation:{after.partition('  validation:')[2]}")
    with pytest.raises(AirflowFailException) as refused:
        Run("r").do(copy())
    assert str(refused.value) == (
        "the policy of production has no vault\nHint: add database.compliance_archive to the policy"
    )
