"""What S3Store makes of a store that is busy, absent, damaged or closed to it."""

import random
import time

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import (
    BucketMissing,
    ObjectConflict,
    ObjectCorrupt,
    StorageError,
    StoreAccessDenied,
    StoreUnavailable,
)
from tests.storage.conftest import PART
from tests.support import faulty_proxy
from tests.support.faulty_proxy import FaultyProxy

pytestmark = pytest.mark.integration

LARGE = random.Random(11).randbytes(3 * PART + 99)


@pytest.fixture
def proxy(s3: ObjectStoreServer):
    with FaultyProxy(s3.endpoint) as running:
        yield running


def upload(store, key="volume", body=LARGE):
    with store.writer(key) as writer:
        writer.write(body)
        return writer.commit()


def unfinished(store) -> list:
    client = store._bucket.client
    return client.list_multipart_uploads(Bucket=store._bucket.name).get("Uploads", [])


@pytest.mark.parametrize("fault", [faulty_proxy.slow_down, faulty_proxy.cut])
def test_a_store_that_fails_for_a_while_is_waited_for(open_bucket, proxy, fault):
    store = open_bucket(endpoint=proxy.endpoint)
    rule = proxy.fail(fault, times=float("inf"), seconds=3)
    began = time.monotonic()
    stored = upload(store)
    assert time.monotonic() - began >= 3
    assert rule.hits > 1
    proxy.fail(fault, times=4, method="GET")
    assert b"".join(store.read(stored)) == LARGE
    proxy.fail(fault, times=2, method="GET")
    assert [listed.key for listed in store.list("")] == ["volume"]


def test_patience_ends_and_says_so(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint, patience=0.5)
    proxy.fail(faulty_proxy.slow_down, times=float("inf"))
    with pytest.raises(StoreUnavailable) as busy:
        store.put("k", b"body")
    bucket = store.location
    assert busy.value.message == (
        f"{bucket} is too busy for put of {bucket}/k (SlowDown); given up after 0.5 s"
    )
    assert busy.value.hint == (
        "the store throttles: lower storage.concurrency, or run again when it has less to do"
    )
    assert busy.value.retryable


def test_a_failed_part_fails_the_writer_and_leaves_no_upload(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint, patience=0.5)
    proxy.fail(faulty_proxy.slow_down, times=float("inf"), containing="partNumber=2")
    with pytest.raises(StoreUnavailable):
        upload(store)
    assert store.head("volume") is None
    assert unfinished(store) == []


def test_a_part_that_arrives_damaged_is_sent_again(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    part = proxy.fail(faulty_proxy.flipped_request, containing="partNumber=2")
    stored = upload(store)
    small = proxy.fail(faulty_proxy.flipped_request, method="PUT")
    store.put("small", b"body")
    assert (part.hits, small.hits) == (1, 1)
    assert b"".join(store.read(stored)) == LARGE
    assert store.get("small") == b"body"


@pytest.mark.parametrize(
    ("method", "containing", "body"),
    [("PUT", "", b"small"), ("POST", "uploadId", LARGE), ("PUT", "partNumber=3", LARGE)],
)
def test_a_lost_answer_is_no_failure(open_bucket, proxy, method, containing, body):
    """The request is sent again and finds what the first one made: the same content."""
    store = open_bucket(endpoint=proxy.endpoint)
    rule = proxy.fail(faulty_proxy.answer_lost, method=method, containing=containing)
    stored = upload(store, body=body)
    assert rule.hits == 1
    assert b"".join(store.read(stored)) == body
    assert unfinished(store) == []


def test_a_refused_commit_leaves_no_upload(open_bucket):
    store = open_bucket()
    store.put("volume", b"other")
    with pytest.raises(ObjectConflict):
        upload(store)
    assert unfinished(store) == []
    assert store.get("volume") == b"other"


def test_a_truncated_answer_is_fetched_again(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    stored = upload(store)
    store.put("small", b"small body")
    proxy.fail(faulty_proxy.truncated, times=2, method="GET")
    assert b"".join(store.read(stored)) == LARGE
    proxy.fail(faulty_proxy.truncated, times=1, method="GET")
    assert store.get("small") == b"small body"


def test_a_flipped_bit_is_found(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    stored = upload(store)
    store.put("small", b"small body")
    proxy.fail(faulty_proxy.flipped, method="GET", containing="volume")
    with pytest.raises(ObjectCorrupt):
        list(store.read(stored))
    proxy.fail(faulty_proxy.flipped, method="GET", containing="small")
    with pytest.raises(ObjectCorrupt):
        store.get("small")


def test_a_missing_bucket_is_named(open_bucket, s3):
    store = open_bucket(bucket="not-there")
    for ask in (store.check, lambda: store.put("k", b""), lambda: list(store.list(""))):
        with pytest.raises(BucketMissing) as missing:
            ask()
        assert missing.value.message == f"bucket not-there does not exist at {s3.endpoint}"
        assert missing.value.hint == (
            "create it with versioning and Object Lock, or correct storage.bucket in the policy"
        )


def test_rejected_credentials_are_told(open_bucket, s3):
    store = open_bucket(secret="wrong")
    with pytest.raises(StoreAccessDenied) as denied:
        store.check()
    assert denied.value.message == (
        f"{s3.endpoint} does not accept the credentials (SignatureDoesNotMatch)"
    )
    assert denied.value.hint == (
        "correct the access key and secret in the Airflow connection that "
        "storage.connection_id names"
    )


def test_a_denied_request_names_the_permission(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    proxy.fail(faulty_proxy.refused_with(403, "AccessDenied"))
    with pytest.raises(StoreAccessDenied) as denied:
        store.put("k", b"body")
    assert denied.value.message == f"put of {store.location}/k was denied"
    assert denied.value.hint == (
        "grant s3:PutObject (and s3:PutObjectRetention with storage.object_lock) on "
        f"{store.location} to the identity of the worker, and with SSE-KMS the use of the key"
    )


def test_a_store_that_is_not_there_is_told(open_bucket):
    store = open_bucket(endpoint="http://127.0.0.1:9", patience=0.2)
    with pytest.raises(StoreUnavailable) as absent:
        store.check()
    assert absent.value.message == (
        f"http://127.0.0.1:9 did not answer list of {store.location}: no connection; "
        "given up after 0.2 s"
    )
    assert absent.value.hint == (
        "check that the store runs, and the endpoint and network between worker and store"
    )


def test_an_unforeseen_refusal_keeps_the_stores_words(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    proxy.fail(faulty_proxy.refused_with(400, "EntityTooLarge"))
    with pytest.raises(StorageError) as refused:
        store.put("k", b"body")
    assert refused.value.message == (
        f"put of {store.location}/k was refused: EntityTooLarge: by the test"
    )


def test_a_sweep_aborts_unfinished_uploads_and_deletes_nothing_of_the_bucket(open_bucket, proxy):
    store = open_bucket(endpoint=proxy.endpoint)
    client, bucket = store._bucket.client, store._bucket.name
    for key in ("p/killed", "q/running"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    store.put("p/1", b"")
    proxy.requests.clear()
    assert store.delete_prefix("p/") == 1
    assert [upload["Key"] for upload in unfinished(store)] == ["q/running"]
    deletes = [line for line in proxy.requests if line.startswith("DELETE")]
    assert deletes
    assert all("/p/killed?uploadId=" in line for line in deletes)


def test_a_sweep_removes_every_version(open_bucket):
    store = open_bucket()
    client, bucket = store._bucket.client, store._bucket.name
    for body in (b"1", b"2"):
        client.put_object(Bucket=bucket, Key="p/k", Body=body)
    client.delete_object(Bucket=bucket, Key="p/k")
    assert store.delete_prefix("p/") == 2
    left = client.list_object_versions(Bucket=bucket, Prefix="p/")
    assert "Versions" not in left
    assert "DeleteMarkers" not in left


def test_secrets_are_in_no_representation(open_bucket, s3):
    store = open_bucket()
    assert s3.user.secret_key not in repr(store) + repr(store._bucket)
