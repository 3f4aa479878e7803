"""An AWS account in this process (moto), a policy for it, and versions in memory.

For tests of sources: `aws` is an account that is empty. What moto only records is named where it
is used.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.kms.utils import generate_private_key

from ledgerkeep.configuration.access import Access, Login
from ledgerkeep.configuration.back_up import Asked, BackedUp, back_up
from ledgerkeep.configuration.hash_key import hash_key
from ledgerkeep.configuration.items import Marker
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.source import Source
from ledgerkeep.configuration.versions import Versions
from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.configuration_sources import Sources
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.session import open_session
from tests.conftest import ROOT
from tests.support.memory_store import MemoryStore

REGION = "eu-central-1"
SEALING_KEY = "alias/ledgerkeep-sealing"


@dataclass(frozen=True)
class Account:
    """An account, and what stores its configuration."""

    policy: Policy
    access: Access
    store: MemoryStore
    versions: Versions
    marker: Marker

    def client(self, service: str) -> Any:
        """A client of the account."""
        return self.access.client(service, "aws", REGION)

    def back_up(self, source: Source, **asked: Any) -> BackedUp:
        """Export a source as a run does."""
        return back_up(source, self.versions, self.marker, Asked(run="test", **asked))


def policy_with(**sources: Any) -> Policy:
    """Production's policy, with these sources and no others."""
    configuration = Configuration(
        connection_id="aws",
        region=REGION,
        sealing_key=SEALING_KEY,
        schedule=None,
        sources=Sources.model_validate(sources),
    )
    return unlocked(load_environment("production")).model_copy(
        update={"configuration": configuration}
    )


def unlocked(policy: Policy) -> Policy:
    """The policy with no lock on configuration: what is locked has tests of its own."""
    lock = policy.storage.object_lock
    if lock is None:
        return policy
    open_lock = lock.model_copy(update={"configuration": None})
    storage = policy.storage.model_copy(update={"object_lock": open_lock})
    return policy.model_copy(update={"storage": storage})


def write_policy(directory: Path, **configuration: Any) -> Path:
    """Production's policy file, with such a section and nothing that needs other sources."""
    policy = yaml.safe_load((ROOT / "include" / "policies" / "production.yaml").read_text())
    policy["configuration"] = {
        name: policy["configuration"][name]
        for name in ("connection_id", "region", "sealing_key", "schedule", "events")
    } | configuration
    for name in list(policy["restore_tests"]):
        if name.endswith(("infrastructure_recovery", "configuration_recovery")):
            del policy["restore_tests"][name]
    policy["storage"]["object_lock"].pop("configuration")
    file = directory / "production.yaml"
    file.write_text(yaml.safe_dump(policy))
    return file


def open_account(policy: Policy, logins: dict[str, Login] | None = None) -> Account:
    """The account of an active `mock_aws`."""
    kms = _client("kms", REGION)
    key = kms.create_key(Description="sealing")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=SEALING_KEY, TargetKeyId=key)
    access = Access(
        client=cache(lambda service, _connection, region: _client(service, region)),
        login=lambda connection: (logins or {})[connection],
    )
    store = MemoryStore()
    sealer = Sealer(SEALING_KEY, kms)
    marker = Marker(hash_key(store, policy, sealer))
    return Account(policy, access, store, Versions(store, policy, sealer), marker)


def _client(service: str, region: str) -> Any:
    """A client with the environment's credentials."""
    session = _session(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    return session.client(service, region)  # type: ignore[call-overload]


@cache
def _session(key: str, secret: str) -> boto3.Session:
    """One for all tests."""
    return open_session(key, secret, region=REGION)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty AWS account in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr("moto.kms.models.generate_private_key", _private_key)
    with mock_aws():
        yield


@cache
def _private_key(key_spec: str) -> Any:
    """One for all keys of a kind: moto makes a pair for each, which nothing of ours uses."""
    return generate_private_key(key_spec)
