"""From a policy to an open store: endpoint, addressing, credentials, encryption."""

from datetime import timedelta

import boto3
import obstore
import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import StorageError
from ledgerkeep.policy.model import Storage
from ledgerkeep.storage.open import StoreAccess, encryption_parameters, open_store
from ledgerkeep.worker import WorkerSettings
from tests.support.aws_server import empty_aws

AWS = StoreAccess(access_key="AKIA", secret_key="wJalrXUtnFEMI")


def storage(**changes: object) -> Storage:
    about = {"connection_id": "ledgerkeep_store", "bucket": "loans", "region": "eu-central-1"}
    return Storage.model_validate({**about, **changes})


def addresses(store) -> tuple[str, str]:
    """The URLs that boto3 and obstore make for the same object."""
    bucket = store._bucket
    place = {"Bucket": bucket.name, "Key": "a/b"}
    control = bucket.client.generate_presigned_url("get_object", Params=place)
    ranges = obstore.sign(bucket.ranges.client, "GET", "a/b", expires_in=timedelta(minutes=1))
    return control.split("?")[0], ranges.split("?")[0]


@pytest.mark.parametrize(
    ("changes", "endpoint", "url"),
    [
        ({}, None, "https://loans.s3.eu-central-1.amazonaws.com/a/b"),
        ({"path_style": True}, None, "https://s3.eu-central-1.amazonaws.com/loans/a/b"),
        ({}, "https://store.example.org:9000", "https://store.example.org:9000/loans/a/b"),
    ],
)
def test_both_clients_speak_to_the_same_address(changes, endpoint, url):
    access = StoreAccess(endpoint, access_key=AWS.access_key, secret_key=AWS.secret_key)
    assert addresses(open_store(storage(**changes), WorkerSettings(), access)) == (url, url)


@pytest.mark.integration
def test_the_environment_gives_endpoint_and_credentials(
    s3: ObjectStoreServer, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.user.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.user.secret_key)
    settings = WorkerSettings(store_encryption="none", store_patience=5)
    store = open_store(storage(bucket=bucket, part_size_mib=5), settings)
    store.check()
    with store.writer("k") as writer:
        writer.write(bytes(6_000_000))
        stored = writer.commit()
    assert b"".join(store.read(stored)) == bytes(6_000_000)


def test_an_unusable_endpoint_is_refused():
    with pytest.raises(StorageError) as refused:
        open_store(storage(), WorkerSettings(), StoreAccess("nonsense"))
    assert refused.value.message == "s3://loans cannot be opened: Invalid endpoint: nonsense"
    assert refused.value.hint == (
        "correct the endpoint and region of the Airflow connection ledgerkeep_store, "
        "or AWS_ENDPOINT_URL_S3"
    )


def test_the_secrets_of_an_access_are_not_shown():
    access = StoreAccess(access_key="AKIA", secret_key="wJalr", session_token="FwoG")
    assert "wJalr" not in repr(access)
    assert "FwoG" not in repr(access)


def test_the_policy_chooses_the_encryption_and_the_worker_may_override_it():
    kms = storage(encryption={"mode": "aws:kms", "key_id": "alias/loans"})
    assert encryption_parameters(kms, WorkerSettings()) == {
        "ServerSideEncryption": "aws:kms",
        "BucketKeyEnabled": True,
        "SSEKMSKeyId": "alias/loans",
    }
    assert encryption_parameters(kms, WorkerSettings(store_encryption="AES256")) == {
        "ServerSideEncryption": "AES256"
    }
    assert encryption_parameters(kms, WorkerSettings(store_encryption="none")) == {}


@pytest.mark.integration
def test_kms_headers_reach_the_store_on_small_and_large_objects():
    """moto records the headers; it encrypts nothing."""
    with empty_aws() as url:
        access = StoreAccess(url, access_key="AKIA", secret_key="secret")
        policy = storage(encryption={"key_id": "alias/loans"}, part_size_mib=5)
        store = open_store(policy, WorkerSettings(), access)
        store._bucket.client.create_bucket(
            Bucket="loans", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        for key, size in (("small", 10), ("large", 6_000_000)):
            with store.writer(key) as writer:
                writer.write(bytes(size))
                stored = writer.commit()
            assert b"".join(store.read(stored)) == bytes(size)
            head = store._bucket.client.head_object(Bucket="loans", Key=key)
            assert head["ServerSideEncryption"] == "aws:kms"
            assert head["SSEKMSKeyId"] == "alias/loans"
            assert store.head(key).encryption == "aws:kms"


@pytest.mark.integration
def test_what_is_stored_encrypted_says_so(open_bucket):
    store = open_bucket(encryption="AES256")
    for key, size in (("small", 10), ("large", 6_000_000)):
        with store.writer(key) as writer:
            writer.write(bytes(size))
            writer.commit()
        assert store.head(key).encryption == "AES256"


@pytest.mark.integration
def test_a_store_that_takes_the_newer_checksums_takes_ours_too(open_bucket):
    store = open_bucket(request_checksums="when_supported")
    store.put("small", b"body")
    with store.writer("large") as writer:
        writer.write(bytes(6_000_000))
        stored = writer.commit()
    assert b"".join(store.read(stored)) == bytes(6_000_000)
    assert store.delete_prefix("") == 2


def test_a_session_brings_its_own_credentials():
    session = boto3.Session(aws_access_key_id="ASIA", aws_secret_access_key="of-the-role")
    store = open_store(storage(), WorkerSettings(), StoreAccess(session=session))
    assert addresses(store)[0] == "https://loans.s3.eu-central-1.amazonaws.com/a/b"
    credentials = store._bucket.ranges.client.credential_provider()
    assert credentials["access_key_id"] == "ASIA"
    assert "of-the-role" not in repr(StoreAccess(session=session))
