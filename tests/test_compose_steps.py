"""The composed sandbox's one-shot steps, against real servers, and its health check."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from include.sandbox import environment
from include.sandbox.container import health, prepare
from include.sandbox.objectstore import (
    Credentials,
    ObjectStoreServer,
    admin_client,
    identities,
)
from ledgerkeep.policy.load import load_policies
from tests.conftest import Cluster
from tests.support import lender

VAULT = Credentials("vault", "secret-of-the-vault")


@pytest.fixture
def store_secrets(s3: ObjectStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of the running store, as the compose file hands them over."""
    monkeypatch.setenv("SANDBOX_STORE_KEY", s3.user.access_key)
    monkeypatch.setenv("SANDBOX_STORE_SECRET", s3.user.secret_key)
    monkeypatch.setenv("SANDBOX_VAULT_KEY", VAULT.access_key)
    monkeypatch.setenv("SANDBOX_VAULT_SECRET", VAULT.secret_key)
    monkeypatch.setenv("SANDBOX_STORE_ADMIN_SECRET", s3.admin.secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    # One store is both regions here.
    monkeypatch.setenv("SANDBOX_REPLICA_URL", s3.endpoint)


@pytest.mark.integration
@pytest.mark.usefixtures("store_secrets")
def test_identities_are_those_of_the_native_store(
    s3: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readable for their owner only; a second run changes nothing."""
    here, there = tmp_path / "s3.json", tmp_path / "replica.json"
    monkeypatch.setenv("SANDBOX_STORE_CONFIG", str(here))
    monkeypatch.setenv("SANDBOX_REPLICA_CONFIG", str(there))
    prepare.identities()
    prepare.identities()
    policies = load_policies(environment.POLICIES)
    user = replace(s3.user, buckets=environment.buckets_here(policies))
    vault = replace(VAULT, buckets=environment.vault_buckets(policies))
    assert here.read_text() == identities(user, s3.admin, vault)
    user = replace(s3.user, buckets=environment.replica_buckets(policies))
    assert there.read_text() == identities(user, s3.admin)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (here, there)} == {0o600}


@pytest.mark.integration
def test_application_is_made_once_with_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lender.serving(tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv(environment.ACCOUNT_SEED, lender.SEED)
        prepare.application()
        prepare.application()
        assert lender.account(url).client("iam").list_roles()["Roles"]


@pytest.mark.integration
@pytest.mark.usefixtures("store_secrets")
def test_every_policy_gets_its_bucket_with_object_lock(s3: ObjectStoreServer) -> None:
    prepare.buckets()
    prepare.buckets()
    client = admin_client(s3)
    policies = load_policies(environment.POLICIES)
    buckets = (
        *environment.buckets_here(policies),
        *environment.vault_buckets(policies),
        *environment.replica_buckets(policies),
    )
    assert len(buckets) == 9
    for bucket in buckets:
        found = client.get_object_lock_configuration(Bucket=bucket)
        assert found["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"


@pytest.mark.integration
@pytest.mark.usefixtures("store_secrets")
def test_loan_data_are_made_once(
    s3: ObjectStoreServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to the loan database since is not replaced by a second run."""
    prepare.buckets()
    where = cluster.address
    monkeypatch.setenv(
        "SANDBOX_DATABASE_URL",
        f"postgresql://postgres:{where.password}@{where.host}:{where.port}/postgres",
    )
    monkeypatch.setenv("SANDBOX_SIZE_MB", "1")
    try:
        prepare.loan_data()
        for bucket in environment.documents_buckets(load_policies(environment.POLICIES)):
            uploaded = admin_client(s3).list_objects_v2(Bucket=bucket)["KeyCount"]
            assert [(uploaded,)] == cluster.execute(
                "SELECT count(*) FROM documents_document", environment.DATABASE
            )
        cluster.execute("DELETE FROM documents_document", environment.DATABASE)
        prepare.loan_data()
        assert cluster.execute("SELECT count(*) FROM loans", environment.DATABASE) != [(0,)]
        assert cluster.execute("SELECT count(*) FROM documents_document", environment.DATABASE) == [
            (0,)
        ]
    finally:
        cluster.execute(f"DROP DATABASE IF EXISTS {environment.DATABASE} WITH (FORCE)")


@pytest.mark.integration
def test_airflow_step_writes_the_passwords_and_migrates(cluster: Cluster, tmp_path: Path) -> None:
    """A database for Airflow's metadata is made where there is none, and nothing secret is said."""
    passwords = tmp_path / "passwords.json"
    where = cluster.address
    # Airflow's own program would take the time of a whole migration; its arguments are enough.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "airflow").write_text('#!/bin/sh\necho "airflow $*"\n')
    (programs / "airflow").chmod(0o755)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "include.sandbox.container.prepare", "airflow"],
            cwd=environment.ROOT,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "SANDBOX_METADATA_URL": f"postgresql://postgres:{where.password}"
                f"@{where.host}:{where.port}/postgres",
                "SANDBOX_AIRFLOW_ADMIN": "one-secret",
                "SANDBOX_AIRFLOW_APPROVER": "third-secret",
                "SANDBOX_AIRFLOW_VIEWER": "other-secret",
                "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "airflow db migrate\n"
        assert json.loads(passwords.read_text()) == {
            "admin": "one-secret",
            "approver": "third-secret",
            "viewer": "other-secret",
        }
        assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
        assert cluster.execute("SELECT 1", environment.METADATA) == [(1,)]
    finally:
        cluster.execute(f"DROP DATABASE IF EXISTS {environment.METADATA} WITH (FORCE)")


@contextlib.contextmanager
def serving(status: int, body: str) -> Iterator[str]:
    """An API server that answers every question about its health alike; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v2/monitor/health"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


_REPORT = json.dumps({"scheduler": {"status": "healthy"}, "triggerer": {"status": None}})


@pytest.mark.parametrize(
    ("status", "component", "healthy"),
    [(200, "scheduler", True), (200, "triggerer", False), (503, "scheduler", False)],
)
def test_component_is_healthy_when_airflow_says_so(
    status: int, component: str, healthy: bool
) -> None:
    """And an API server that cannot answer speaks for nobody."""
    with serving(status, _REPORT) as api:
        assert health.is_healthy(api, component) is healthy


def test_component_is_not_healthy_without_an_api_server() -> None:
    with serving(200, _REPORT) as api:
        pass
    assert not health.is_healthy(api, "scheduler")


def test_health_check_ends_with_what_the_container_engine_reads() -> None:
    """Run as the compose file runs it: by path, by any Python, without the project."""
    command = [sys.executable, "-I", health.__file__]
    with serving(200, _REPORT) as api:
        assert subprocess.run([*command, api, "scheduler"], check=False).returncode == 0
        assert subprocess.run([*command, api, "triggerer"], check=False).returncode == 1
