"""Airflow connections as addresses and stores."""

import json
import logging

import pytest

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from airflow.sdk.exceptions import AirflowNotFoundException

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import StoreAccessDenied
from ledgerkeep.hooks.connections import (
    open_policy_store,
    open_policy_vault,
    server_address,
    source_access,
)
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy, Vault
from tests.conftest import ROOT
from tests.support.vault_account import ROLE, Account, account  # noqa: F401


@pytest.fixture
def policy() -> Policy:
    return load_environment("production", ROOT / "include" / "policies")


def test_postgres_connection_becomes_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extras go to libpq, but for those that only Airflow's own hook understands."""
    connection = {
        "conn_type": "postgres",
        "host": "db.example.com",
        "port": 6432,
        "login": "backup",
        "password": "p@ss/word",
        "schema": "loan_management",
        "extra": {"sslmode": "verify-full", "keepalives_idle": 30, "cursor": "dictcursor"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", json.dumps(connection))
    address = server_address("source")
    assert (address.host, address.port, address.user) == ("db.example.com", 6432, "backup")
    assert (address.password, address.database) == ("p@ss/word", "loan_management")
    assert address.options == {"sslmode": "verify-full", "keepalives_idle": "30"}
    assert "p@ss/word" not in repr(address) + str(address)


def test_what_a_connection_leaves_open_is_postgresqls_own_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", "postgres://")
    address = server_address("source")
    assert str(address) == "postgres@localhost:5432/postgres"
    assert address.password is None


def test_connection_that_there_is_not_is_named() -> None:
    with pytest.raises(AirflowNotFoundException, match="`source`"):
        server_address("source")


def test_endpoint_of_the_store_comes_from_the_connection(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of S3, where the connection has one per service."""
    connection = {
        "conn_type": "aws",
        "login": "key",
        "password": "secret",
        "extra": {
            "endpoint_url": "http://127.0.0.1:1",
            "service_config": {"s3": {"endpoint_url": "http://127.0.0.1:2"}},
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE", json.dumps(connection))
    bucket = open_policy_store(policy)._bucket
    assert bucket.client.meta.endpoint_url == "http://127.0.0.1:2"
    assert bucket.client.meta.region_name == "eu-central-1"
    assert bucket.name == "loan-management-backups-production"


def test_connection_without_endpoint_is_aws(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "aws", "login": "key", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    bucket = open_policy_store(policy, "other")._bucket
    assert bucket.client.meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"


@pytest.mark.integration
def test_store_of_a_connection_answers(
    policy: Policy, s3: ObjectStoreServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clients get the connection's credentials."""
    connection = {
        "conn_type": "aws",
        "login": s3.user.access_key,
        "password": s3.user.secret_key,
        "extra": {"endpoint_url": s3.endpoint},
    }
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_STORAGE", json.dumps(connection))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    storage = policy.storage.model_copy(update={"bucket": bucket})
    store = open_policy_store(policy.model_copy(update={"storage": storage}))
    store.check()
    store.put("key", b"body")
    assert store.get("key") == b"body"


@pytest.mark.integration
def test_vault_is_opened_by_the_role_that_the_policy_names(
    policy: Policy,
    account: Account,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection's own key may only ask for the role."""
    connection = {
        "conn_type": "aws",
        "login": account.key["AccessKeyId"],
        "password": account.key["SecretAccessKey"],
        "extra": {"endpoint_url": account.url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_LEDGERKEEP_PRODUCTION_VAULT", json.dumps(connection))
    monkeypatch.setenv("LEDGERKEEP_STORE_PATIENCE", "0")
    account.allow_the_role()
    vault = policy.database.compliance_archive.vault.model_copy(update={"bucket": "vault"})
    with pytest.raises(StoreAccessDenied):
        open_policy_vault(with_vault(policy, vault)).records.check()
    assumed = vault.model_copy(update={"role_arn": ROLE})
    opened = open_policy_vault(with_vault(policy, assumed))
    opened.records.check()
    opened.cold.put("key", b"body")
    head = opened.records.head("key")
    assert (head.storage_class, head.encryption) == ("DEEP_ARCHIVE", "aws:kms")


def with_vault(policy: Policy, vault: Vault) -> Policy:
    archive = policy.database.compliance_archive.model_copy(update={"vault": vault})
    database = policy.database.model_copy(update={"compliance_archive": archive})
    return policy.model_copy(update={"database": database})


def test_requests_are_not_logged_on_a_worker_that_logs_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They hold the values of secrets."""
    for name in ("botocore", "boto3", "httpx", "httpcore"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.manager._clear_cache()  # type: ignore[attr-defined]
    source_access()
    assert not logging.getLogger("botocore.endpoint").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("httpx").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("botocore").isEnabledFor(logging.INFO)


def test_a_logger_that_says_less_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("botocore"), "level", logging.WARNING)
    source_access()
    assert logging.getLogger("botocore").level == logging.WARNING
