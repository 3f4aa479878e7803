"""Chains as people see them: which backup builds on which, and why one is full."""

import json
from pathlib import Path

import pytest

from include.sandbox import objectstore
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import Deployment
from ledgerkeep.cli.main import main
from ledgerkeep.policy.load import load_policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.worker import WorkerSettings
from tests.cli.conftest import POLICIES
from tests.recovery.samples import backup

pytestmark = pytest.mark.integration

ENVIRONMENT = ("--environment", "production")


@pytest.fixture
def chain(
    s3: objectstore.ObjectStoreServer,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full backup, an incremental on it, and a full one that was to be incremental."""
    text = (POLICIES / "production.yaml").read_text()
    path = tmp_path / "production.yaml"
    path.write_text(text.replace("loan-management-backups-production", bucket))
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.user.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.user.secret_key,
        "AWS_DEFAULT_REGION": objectstore.REGION,
        "LEDGERKEEP_POLICIES": str(tmp_path),
        "LEDGERKEEP_STORE_ENCRYPTION": "none",
    }.items():
        monkeypatch.setenv(name, value)
    policy = load_policy(path)
    access = StoreAccess(
        endpoint_url=s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key
    )
    store = open_store(policy.storage, WorkerSettings(store_encryption="none"), access)
    catalog = Catalog(store, policy)
    catalog.commit_backup(backup("first", stop=1, at=1))
    on_it = {"method": "incremental", "parent_id": "first"}
    catalog.commit_backup(backup("second", stop=2, at=2).model_copy(update=on_it))
    doubt = {"full_because": "the timeline changed", "deployment": Deployment(id="v2")}
    catalog.commit_backup(backup("third", stop=3, at=3).model_copy(update=doubt))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, *ENVIRONMENT]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_list_names_method_and_parent(chain: None, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "list")
    assert "first full backup" in told
    assert "second incremental backup" in told
    assert told.count("first") == 2
    rows = json.loads(said(capsys, "list", "--json"))["recovery_points"]
    assert [(row["id"], row["method"], row["parent_id"]) for row in rows] == [
        ("first", "full", None),
        ("second", "incremental", "first"),
        ("third", "full", None),
    ]


def test_show_says_what_a_backup_builds_on_or_why_it_is_full(
    chain: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "method full server" in said(capsys, "show", "first")
    assert "method incremental, on first server" in said(capsys, "show", "second")
    third = said(capsys, "show", "third")
    assert "method full, because the timeline changed before deployment v2 server" in third
