"""Production's bucket, real, and its account, in this process (moto), with one source to export."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.support import airflow_home  # noqa: F401  # isort: skip - before Airflow
from moto import mock_aws

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.configuration.back_up import Asked, back_up
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.operators.configuration_backup import ConfigurationOperator
from tests.conftest import ROOT
from tests.operators.conftest import connection

ENVIRONMENT = {"environment": "production"}
_KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
_TESTS = ("infrastructure", "application_configuration", "integration_configuration")
_KEPT = ("connection_id", "region", "sealing_key", "schedule", "recovery", "rollback")


class Account:
    """The account of an active `mock_aws`."""

    def __init__(self, region: str) -> None:
        self.region = region

    def client(self, service: Any) -> Any:
        return boto3.client(service, self.region, **_KEYS)


@contextmanager
def configured(
    source: str, s3: ObjectStoreServer, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """A policy with that source alone, its connections, its bucket, its sealing key."""
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    del policy["storage"]["object_lock"]["configuration"]  # versions come and go here
    policy["storage"]["bucket"] = f"backups-{secrets.token_hex(4)}"
    known = policy["configuration"]
    section = {name: known[name] for name in _KEPT if name != "rollback" or source == "services"}
    policy["configuration"] = {**section, "sources": {source: known["sources"][source]}}
    for test in _TESTS:
        policy["restore_tests"].pop(f"{test}_recovery", None)
    objectstore.make_bucket(s3, policy["storage"]["bucket"])
    store = {"service_config": {"s3": {"endpoint_url": s3.endpoint}}}
    for name, login, password, extra in (
        (policy["storage"]["connection_id"], s3.user.access_key, s3.user.secret_key, store),
        (known["connection_id"], "testing", "testing", {}),
    ):
        told = connection("aws", login=login, password=password, extra=extra)
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", told)
    shutil.copy(ROOT / "include" / "policies" / "development.yaml", policies)
    (policies / "production.yaml").write_text(yaml.safe_dump(policy))
    monkeypatch.setenv("LEDGERKEEP_STORE_ENCRYPTION", "none")
    monkeypatch.setenv("LEDGERKEEP_POLICIES", str(policies))
    with mock_aws():
        account = Account(known["region"])
        key = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
        account.client("kms").create_alias(AliasName=known["sealing_key"], TargetKeyId=key)
        yield account


def export(source: str) -> str:
    """Store what is live as a version."""
    by = ConfigurationOperator(task_id="export", **ENVIRONMENT)
    opened = open_source(source, by.access, by.policy)
    return back_up(opened, by.versions, by.marker, Asked(run="test")).version.id
