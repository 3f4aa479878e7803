"""One archive per test."""

import secrets

import pytest

from include.sandbox import objectstore
from tests.conftest import Cluster
from tests.documents.metadata.support import Archive, make_archive


@pytest.fixture
def archive(
    cluster: Cluster, database: str, s3: objectstore.ObjectStoreServer, bucket: str
) -> Archive:
    """No documents yet, and a second bucket for what is recorded."""
    backups = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, backups)
    return make_archive(cluster, database, s3, bucket, backups)
