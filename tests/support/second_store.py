"""A second object store with credentials of its own: the vault's account in the tests.

Import the fixture where it is needed; it is one server for all tests of a module.
"""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import REGION, ObjectStoreServer
from ledgerkeep.policy.model import Storage, Vault
from ledgerkeep.storage.open import StoreAccess
from ledgerkeep.storage.vault import OpenVault, open_vault
from ledgerkeep.worker import WorkerSettings

BUCKET = "loan-management-compliance-vault"


@pytest.fixture(scope="module")
def vault_server(run_directory: Path) -> Iterator[ObjectStoreServer]:
    """SeaweedFS, with the bucket of the production policy's vault."""
    server = objectstore.start(
        run_directory / f"vault-{secrets.token_hex(4)}",
        user=objectstore.Credentials("vault", secrets.token_hex(16)),
        admin=objectstore.Credentials("admin", secrets.token_hex(16)),
    )
    objectstore.make_bucket(server, BUCKET)
    yield server
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


def open_there(server: ObjectStoreServer, *, bucket: str = BUCKET) -> OpenVault:
    """The vault, opened with its own credentials; objects are locked for a day."""
    vault = Vault(connection_id="vault", bucket=bucket, region=REGION, locked=timedelta(days=1))
    storage = Storage(connection_id="store", bucket="ours", region=REGION, part_size_mib=5)
    access = StoreAccess(
        server.endpoint, access_key=server.user.access_key, secret_key=server.user.secret_key
    )
    settings = WorkerSettings(store_encryption="AES256", store_patience=5)
    return open_vault(vault, storage, settings, access)
