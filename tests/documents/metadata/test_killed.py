"""A check that is killed in its middle leaves nothing that counts; the next one is whole."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from tests.conftest import ROOT
from tests.documents.metadata import killed
from tests.documents.metadata.support import Archive

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("row", [1, 30])
def test_check_that_is_killed_is_made_again(
    archive: Archive, s3: ObjectStoreServer, row: int
) -> None:
    for number in range(40):
        archive.upload(f"{number:02d}", b"x")
    first = archive.check().check
    archive.delete("07")
    child = subprocess.Popen(
        [sys.executable, killed.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin"},
    )
    json.dump(
        {
            "endpoint": s3.endpoint,
            "access_key": s3.user.access_key,
            "secret_key": s3.user.secret_key,
            "policy": archive.catalog.policy.model_dump_json(),
            "address": asdict(archive.address),
        },
        child.stdin,
    )
    child.stdin.close()
    for line in child.stdout:
        if int(line) >= row:
            break
    child.kill()
    assert child.wait() == -9
    second = archive.check().check
    assert second.since == first.at
    assert second.found == {"missing": 1}
    records = [one.key for one in archive.catalog.store.list("development/documents/metadata/")]
    assert len([key for key in records if key.endswith("check.json")]) == 2
