"""A recovery whose process is killed, on a real store: what it tells, and how it is finished."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from include.sandbox import objectstore
from ledgerkeep.catalog import keys
from ledgerkeep.configuration.back_up import Asked, back_up
from ledgerkeep.configuration.recovery.carry_out import carry_out
from ledgerkeep.configuration.recovery.journal import entries
from ledgerkeep.configuration.recovery.plan import make_plan
from ledgerkeep.configuration.recovery.request import ConfigurationRequest
from ledgerkeep.configuration.recovery.verify import refuse_unverified, verify
from ledgerkeep.configuration.versions import Versions
from tests.configuration.recovery.killed import MARKER, Drawer, open_versions
from tests.conftest import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture
def versions(
    s3: objectstore.ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Versions:
    bucket = f"backups-{secrets.token_hex(4)}"
    objectstore.make_bucket(s3, bucket)
    text = (ROOT / "include" / "policies" / "production.yaml").read_text()
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "production.yaml").write_text(
        text.replace("loan-management-backups-production", bucket)
    )
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_ACCESS_KEY_ID": s3.user.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.user.secret_key,
        "AWS_DEFAULT_REGION": objectstore.REGION,
        "LEDGERKEEP_POLICIES": str(policies),
        "LEDGERKEEP_STORE_ENCRYPTION": "none",
    }.items():
        monkeypatch.setenv(name, value)
    return open_versions()


def test_killed_process_leaves_a_journal_and_the_next_one_finishes(
    versions: Versions, tmp_path: Path
) -> None:
    directory = tmp_path / "drawer"
    directory.mkdir()
    for name in "abcde":
        (directory / name).write_text('{"size": 1}')
    drawer = Drawer(directory)
    back_up(drawer, versions, MARKER, Asked(run="test"))
    for name in "abcde":
        (directory / name).write_text('{"size": 2}')
    made = make_plan(drawer, versions, MARKER, ConfigurationRequest(source="drawer"))
    plan = tmp_path / "plan.json"
    plan.write_bytes(made.short.to_json())

    child = subprocess.run(
        [sys.executable, "-m", "tests.configuration.recovery.killed", directory, plan, "c"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert child.returncode == -signal.SIGKILL, child.stderr
    recovery = keys.configuration_recovery("production", made.plan.id)
    told = list(entries(versions.store, recovery))
    assert [one.ended.key for one in told if one.ended] == ["a", "b"]
    assert told[-1].begins == "c"
    assert not (directory / "c").exists()

    done = carry_out(drawer, versions, MARKER, made.plan, run="dag/run")
    assert (done.applied, done.already) == (["c", "d", "e"], ["a", "b"])
    refuse_unverified(verify(drawer, versions, MARKER, made.plan))
    assert {path.read_text() for path in directory.iterdir()} == {'{"size": 1}'}
