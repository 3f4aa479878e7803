"""Stores for the storage tests: the real one in a bucket of its own, and one in memory."""

from collections.abc import Callable

import pytest

from include.sandbox.objectstore import REGION, ObjectStoreServer
from ledgerkeep.policy.model import Storage
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import ObjectStore
from ledgerkeep.storage.s3 import S3Store
from ledgerkeep.worker import WorkerSettings
from tests.support.memory_store import MemoryStore

PART = 5 * 1024 * 1024

OpenStore = Callable[..., S3Store]


@pytest.fixture
def open_bucket(s3: ObjectStoreServer, bucket: str) -> OpenStore:
    """Opens the test's bucket, with small parts, little patience, and what a test changes."""

    def open_it(
        *,
        endpoint: str = "",
        secret: str = "",
        patience: float = 20,
        encryption: str = "none",
        **changes: object,
    ) -> S3Store:
        storage = Storage.model_validate(
            {
                "connection_id": "ledgerkeep_store",
                "bucket": bucket,
                "region": REGION,
                "part_size_mib": 5,
                "concurrency": 3,
                **changes,
            }
        )
        settings = WorkerSettings(store_encryption=encryption, store_patience=patience)
        access = StoreAccess(
            endpoint_url=endpoint or s3.endpoint,
            access_key=s3.user.access_key,
            secret_key=secret or s3.user.secret_key,
        )
        return open_store(storage, settings, access)

    return open_it


@pytest.fixture(
    params=[
        pytest.param("memory"),
        pytest.param("s3", marks=pytest.mark.integration),
        pytest.param("s3-encrypted", marks=pytest.mark.integration),
    ]
)
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Every store there is, in turn."""
    if request.param == "memory":
        return MemoryStore()
    encryption = "AES256" if request.param == "s3-encrypted" else "none"
    return request.getfixturevalue("open_bucket")(encryption=encryption)
