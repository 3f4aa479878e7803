"""What the tests of slots and WAL share: a cluster with small segments, and a slot on it."""

import secrets
from collections.abc import Iterator

import pytest

from include.sandbox.place import Place
from tests.conftest import Cluster
from tests.database.postgres.wal_support import small_cluster


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
    source.execute(
        f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
        f"WHERE slot_name = '{name}'"
    )
