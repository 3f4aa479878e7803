"""What the tests share: catalogs, a cluster with small segments, a slot on it, a faulty store."""

import secrets
from collections.abc import Iterator

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from include.sandbox.place import Place
from ledgerkeep.catalog.catalog import Catalog
from tests.conftest import Cluster
from tests.database.postgres.backup_support import make_catalog, make_policy
from tests.database.postgres.wal_support import small_cluster
from tests.support.faulty_proxy import FaultyProxy
from tests.support.memory_store import MemoryStore


@pytest.fixture
def catalog(s3: ObjectStoreServer, bucket: str) -> Catalog:
    """A catalog in a bucket of the test's own."""
    return make_catalog(s3, make_policy(bucket))


@pytest.fixture
def shelf() -> Catalog:
    """A catalog in memory, for what does not depend on the store."""
    return Catalog(MemoryStore(), make_policy("memory"))


@pytest.fixture
def proxy(s3: ObjectStoreServer) -> Iterator[FaultyProxy]:
    """The store, failing on request."""
    with FaultyProxy(s3.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def source(place: Place) -> Iterator[Cluster]:
    """A cluster with 1 MB segments, shared by the tests that leave it on its timeline."""
    with small_cluster(place) as made:
        yield made


@pytest.fixture
def slot(source: Cluster) -> Iterator[str]:
    """The name of a slot of the test's own."""
    name = f"s_{secrets.token_hex(4)}"
    yield name
    source.drop_slots(f"slot_name = '{name}'")
