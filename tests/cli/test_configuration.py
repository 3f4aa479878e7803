"""Versions of the configuration as people and programs see them: listed, shown, compared."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.sandbox import objectstore
from ledgerkeep.cli.main import main
from ledgerkeep.configuration.back_up import Asked, back_up
from ledgerkeep.configuration.hash_key import hash_key
from ledgerkeep.configuration.items import Marker, Secret
from ledgerkeep.configuration.proof import ConfigurationProof
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.configuration.versions import ConfigurationVersion, Versions
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.cli.conftest import POLICIES
from tests.configuration.recovery.shelf import Shelf

pytestmark = pytest.mark.integration

ENVIRONMENT = ("--environment", "production")
Said = Callable[..., Any]


class Parameters(Shelf):
    """A shelf that is called like a source of the policy."""

    name = "parameters"


@pytest.fixture
def stored(
    s3: objectstore.ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ConfigurationVersion, ConfigurationVersion]:
    """Two versions, of which the second is proven; the shell can read the bucket, not the key."""
    bucket = f"backups-{secrets.token_hex(4)}"
    objectstore.make_bucket(s3, bucket)
    text = (POLICIES / "production.yaml").read_text()
    path = tmp_path / "production.yaml"
    path.write_text(text.replace("loan-management-backups-production", bucket))
    policy = load_policy(path)
    access = StoreAccess(
        endpoint_url=s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key
    )
    store = open_store(policy.storage, WorkerSettings(store_encryption="none"), access)
    account = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with mock_aws():
        kms = boto3.client("kms", "eu-central-1", **account)
        sealer = Sealer(kms.create_key()["KeyMetadata"]["KeyId"], kms)
        versions = Versions(store, policy, sealer)
        marker = Marker(hash_key(store, policy, sealer))
        shelf = Parameters(
            things={
                "/loan/url": {"value": "https://loans"},
                "/loan/password": {"value": Secret("correct horse")},
            }
        )
        first = back_up(shelf, versions, marker, Asked(run="dag/1", major="release 7")).version
        shelf.things["/loan/password"] = {"value": Secret("wrong pony")}
        shelf.things["/loan/new"] = {"value": "1"}
        del shelf.things["/loan/url"]
        second = back_up(shelf, versions, marker, Asked(run="dag/2")).version
    versions.prove(
        ConfigurationProof(
            source="parameters",
            version_id=second.id,
            level="proven",
            run="test/1",
            shown_at=utc_now(),
            items=2,
        )
    )
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.user.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.user.secret_key,
        "AWS_DEFAULT_REGION": objectstore.REGION,
        "LEDGERKEEP_POLICIES": str(tmp_path),
        "LEDGERKEEP_STORE_ENCRYPTION": "none",
    }.items():
        monkeypatch.setenv(name, value)
    return first, second


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command prints: text, or with --json a document; never a secret."""

    def say(*words: str, code: int = 0) -> Any:
        assert main(["configuration", *words, *ENVIRONMENT]) == code
        told = capsys.readouterr()
        for secret in ("correct horse", "wrong pony", "hmac-sha256"):
            assert secret not in told.out + told.err
        text = told.out if code == 0 else told.err
        return json.loads(text) if "--json" in words else text

    return say


def test_versions_are_listed_with_what_is_known_of_them(stored: Any, said: Said) -> None:
    first, second = stored
    lines = [" ".join(line.split()) for line in said("list").splitlines()]
    when = [f"{one.created_at:%Y-%m-%d %H:%M:%S}" for one in stored]
    assert f"{first.id} parameters {when[0]} 2 2 new release 7 recorded" in lines
    assert f"{second.id} parameters {when[1]} 2 1 new, 1 changed, 1 gone proven" in lines
    found = said("list", "--json", "--source", "parameters")
    assert [(one["id"], one["level"], one["major"]) for one in found["versions"]] == [
        (first.id, "recorded", "release 7"),
        (second.id, "proven", ""),
    ]


def test_source_without_versions_says_so(stored: Any, said: Said) -> None:
    assert said("list", "--source", "iam").startswith("no version of iam in s3://backups-")
    assert said("list", "--source", "iam", "--json")["versions"] == []
    told = said("list", "--source", "shelf", "--json", code=1)["error"]
    assert told["message"] == "the policy of production has no source shelf"


def test_version_is_shown_with_its_values_and_no_secret(stored: Any, said: Said) -> None:
    first, second = stored
    text = said("show", "parameters", first.id)
    assert '/loan/url\n  + /value: "https://loans"' in text
    assert "/loan/password\n  + /value: *** (secret)" in text
    assert "release 7" in text
    newest = said("show", "parameters", "--json")
    assert newest["version"]["id"] == second.id
    assert (newest["level"], newest["proofs"][0]["run"]) == ("proven", "test/1")
    assert list(said("show", "parameters", "--only", "*/new", "--json")["items"]) == ["/loan/new"]
    assert "test/1" in said("show", "parameters")
    at = said("show", "parameters", first.created_at.isoformat(), "--json")
    assert at["version"]["id"] == first.id


def test_two_versions_are_compared_value_by_value(stored: Any, said: Said) -> None:
    first, second = stored
    lines = said("compare", "parameters", first.id).splitlines()
    assert lines[0].startswith(f"parameters: from {first.id} (")
    assert lines[0].endswith(", 3 changes")
    assert lines[1:] == [
        "/loan/new is new",
        '  + /value: "1"',
        "/loan/password has changed",
        "  - /value: *** (secret)",
        "  + /value: *** (secret)",
        "/loan/url is gone",
    ]
    back = said("compare", "parameters", second.id, first.id, "--json")
    assert [(one["action"], one["key"]) for one in back["changes"]] == [
        ("delete", "/loan/new"),
        ("update", "/loan/password"),
        ("create", "/loan/url"),
    ]
    some = said("compare", "parameters", first.id, "--only", "/loan/n*", "--json")
    assert [one["key"] for one in some["changes"]] == ["/loan/new"]
    assert said("compare", "parameters", "newest", "--json")["changes"] == []


def test_version_that_does_not_exist_is_refused_with_the_nearest(stored: Any, said: Said) -> None:
    first, _ = stored
    told = said("show", "parameters", "20200101T000000000000Z-abcdef", "--json", code=1)["error"]
    assert told["message"] == "parameters has no version 20200101T000000000000Z-abcdef"
    assert told["hint"] == f"the nearest of 2 stored: {first.id}"
    told = said("compare", "parameters", "yesterday", "--json", code=1)["error"]
    assert told["message"] == "'yesterday' is neither a version's id nor a time"
