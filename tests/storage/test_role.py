"""A role of the vault's account: assumed, renewed, and refused in words that help."""

import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest

from ledgerkeep.errors import StoreAccessDenied, StoreUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.storage.role import assume_role
from tests.support.vault_account import REGION, ROLE, Account, account  # noqa: F401

pytestmark = pytest.mark.integration


def test_role_writes_where_the_worker_itself_may_not(account: Account) -> None:  # noqa: F811
    account.allow_the_role()
    with pytest.raises(StoreAccessDenied):
        account.open(role_arn=None).records.check()
    vault = account.open()
    vault.records.check()
    assert vault.records.keeps_locks()
    vault.records.put("k", b"body")
    with vault.cold.writer("large") as writer:
        writer.write(bytes(6_000_000))
        writer.commit()
    assert vault.records.get("k") == b"body"


def test_role_that_is_refused_is_named_and_not_the_bucket(account: Account) -> None:  # noqa: F811
    with pytest.raises(StoreAccessDenied) as refused:
        account.open().records.check()
    assert refused.value.message == f"the role {ROLE} may not be assumed (AccessDenied)"
    assert refused.value.hint == (
        "allow sts:AssumeRole on it to the identity of the worker, "
        "and let the role's trust policy name that identity"
    )


def test_sts_that_does_not_answer_is_left_to_the_retries() -> None:
    session = boto3.Session("AKIA", "secret", region_name=REGION)
    role = assume_role(session, ROLE, sts_endpoint="http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable) as silent:
        role.get_credentials().get_frozen_credentials()
    assert silent.value.message == (
        f"STS did not answer when the role {ROLE} was to be assumed: "
        'Could not connect to the endpoint URL: "http://127.0.0.1:1/"'
    )
    assert silent.value.retryable


def test_worker_without_credentials_assumes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StoreAccessDenied) as refused:
        assume_role(boto3.Session(region_name=REGION), ROLE)
    assert refused.value.message == (
        f"no credentials were found with which to assume the role {ROLE}"
    )


class Sts(HTTPServer):
    """An STS whose credentials end when the test says; each call gives new ones."""

    def __init__(self, lives: timedelta) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.lives = lives
        self.calls: list[str] = []


class _Answer(BaseHTTPRequestHandler):
    server: Sts

    def do_POST(self) -> None:
        self.server.calls.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        body = (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleResult><Credentials>"
            f"<AccessKeyId>ASIA{len(self.server.calls)}</AccessKeyId>"
            "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
            f"<Expiration>{utc_now() + self.server.lives:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
            f"</Credentials><AssumedRoleUser><Arn>{ROLE}</Arn></AssumedRoleUser>"
            "</AssumeRoleResult></AssumeRoleResponse>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.parametrize(("lives", "calls"), [(timedelta(hours=1), 1), (timedelta(minutes=5), 3)])
def test_credentials_are_renewed_before_they_end_and_not_earlier(
    lives: timedelta, calls: int
) -> None:
    sts = Sts(lives)
    threading.Thread(target=sts.serve_forever, daemon=True).start()
    try:
        session = boto3.Session("AKIA", "secret", region_name=REGION)
        role = assume_role(session, ROLE, sts_endpoint=f"http://127.0.0.1:{sts.server_port}")
        used = [role.get_credentials().get_frozen_credentials().access_key for _ in range(3)]
    finally:
        sts.shutdown()
        sts.server_close()
    assert len(sts.calls) == calls
    assert used[-1] == f"ASIA{calls}"
    assert all("RoleSessionName=ledgerkeep" in call for call in sts.calls)
