"""A bucket worked with as the application does."""

import hashlib

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.failover.access import TEST_PREFIX, try_access
from ledgerkeep.errors import BucketMissing, ObjectCorrupt, StorageError, StoreAccessDenied
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions
from tests.support.buckets import documents_bucket
from tests.support.faulty_proxy import FaultyProxy, refused_with

pytestmark = pytest.mark.integration


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Bucket:
    return documents_bucket(s3, bucket)


def put(there: Bucket, key: str, body: bytes, sha256: str | None = None) -> None:
    metadata = {"sha256": sha256} if sha256 else {}
    there.client.put_object(Bucket=there.name, Key=key, Body=body, Metadata=metadata)


def test_documents_are_read_and_one_is_written_and_deleted(there: Bucket) -> None:
    for name in range(30):
        body = b"%d" % name
        put(there, f"d/{name:02}", body, hashlib.sha256(body).hexdigest() if name % 2 else None)
    there.client.delete_object(Bucket=there.name, Key="d/00")
    found = try_access(there, prefix="", sample=10, run="dag/run")
    assert (found.bucket, found.read, found.checked) == (there.name, 10, 6)
    left = list(list_versions(there, TEST_PREFIX))
    assert [one.is_delete_marker for one in left] == [True, False]
    assert try_access(there, prefix="", sample=100, run="dag/other").read == 29


def test_document_that_is_not_what_was_written_fails_it(there: Bucket) -> None:
    put(there, "d/1", b"changed", hashlib.sha256(b"written").hexdigest())
    with pytest.raises(ObjectCorrupt) as caught:
        try_access(there, prefix="", sample=5, run="dag/run")
    assert caught.value.message.startswith(
        f"{there.location}/d/1 is not what was written: 7 bytes with sha256 "
    )


def test_empty_bucket_fails_it(there: Bucket) -> None:
    with pytest.raises(StorageError) as caught:
        try_access(there, prefix="d/", sample=5, run="dag/run")
    assert caught.value.message == f"{there.location} holds no document below 'd/'"


def test_missing_bucket_fails_it(s3: ObjectStoreServer) -> None:
    with pytest.raises(BucketMissing):
        try_access(documents_bucket(s3, "gone"), prefix="", sample=5, run="dag/run")


def test_bucket_that_can_be_read_but_not_written_fails_it(
    s3: ObjectStoreServer, there: Bucket
) -> None:
    put(there, "d/1", b"x")
    with FaultyProxy(s3.endpoint) as proxy:
        proxy.fail(refused_with(403, "AccessDenied"), method="PUT")
        behind = documents_bucket(s3, there.name, endpoint=proxy.endpoint)
        with pytest.raises(StoreAccessDenied):
            try_access(behind, prefix="", sample=5, run="dag/run")
