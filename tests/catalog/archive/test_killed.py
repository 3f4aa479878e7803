"""An archive between two real stores that share no credentials, killed at any byte."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from include.sandbox.objectstore import ObjectStoreServer, admin_client
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.archive.make import archives
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.errors import StoreAccessDenied
from tests.catalog.archive.support import archive, real_catalog, stored_backup, volume
from tests.conftest import ROOT
from tests.recovery.samples import SYSTEM
from tests.support.second_store import BUCKET, open_there, vault_server  # noqa: F401

pytestmark = pytest.mark.integration

SIZE = 6_000_000


def created(server: ObjectStoreServer) -> dict[str, str]:
    """Key → its only version: nothing is ever written twice."""
    listed = admin_client(server).list_object_versions(Bucket=BUCKET, Prefix="production/")
    versions = listed.get("Versions", [])
    assert len({one["Key"] for one in versions}) == len(versions)
    assert listed.get("DeleteMarkers", []) == []
    return {one["Key"]: one["VersionId"] for one in versions}


def test_worker_that_is_killed_leaves_nothing_that_counts_and_the_next_one_goes_on(
    s3: ObjectStoreServer,
    bucket: str,
    vault_server: ObjectStoreServer,  # noqa: F811
) -> None:
    """Killed with SIGKILL after the first volume; what is in the vault is not sent again."""
    catalog = real_catalog(s3, bucket)
    backup = stored_backup(catalog, "b1", size=SIZE)
    there = vault_server.user
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.catalog.archive.killed", bucket),
            *(s3.endpoint, s3.user.access_key),
            *(vault_server.endpoint, there.access_key, str(SIZE)),
        ],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
            "SECRET": s3.user.secret_key,
            "VAULT_SECRET": there.secret_key,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = created(vault_server)
    assert volume("b1", 1) in left
    assert volume("b1", 2) not in left
    vault = open_there(vault_server)
    there_listed = Catalog(vault.records, catalog.policy)
    assert there_listed.backups(SYSTEM) == []
    assert archives(catalog, SYSTEM) == []

    result = archive(catalog, vault)

    assert result.made
    sent = backup.stored_bytes - SIZE
    assert sent <= result.copied_bytes < sent + 10_000
    after = created(vault_server)
    assert {key: after[key] for key in left} == left
    assert there_listed.backups(SYSTEM) == [backup]
    assert archives(catalog, SYSTEM) == [result.archive]
    # The store itself holds to the lock, and the copy is the bytes that it was made of.
    assert vault.records.delete_prefix(keys.database("production", SYSTEM)) == 0
    for archived in backup.archives:
        for stored in archived.volumes:
            assert sum(len(chunk) for chunk in vault.records.read(stored)) == SIZE


def test_credentials_of_one_account_open_nothing_in_the_other(
    s3: ObjectStoreServer,
    bucket: str,
    vault_server: ObjectStoreServer,  # noqa: F811
) -> None:
    catalog = real_catalog(s3, bucket)
    ours = replace(vault_server, user=s3.user)
    with pytest.raises(StoreAccessDenied):
        archive(catalog, open_there(ours))
