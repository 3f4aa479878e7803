"""The vault as a store: its storage class, its encryption, its lock; and who may not use it."""

from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest

from include.sandbox.objectstore import REGION, ObjectStoreServer, make_bucket
from ledgerkeep.errors import StorageError, StoreAccessDenied
from ledgerkeep.model import utc_now
from ledgerkeep.policy.model import Storage, Vault
from ledgerkeep.storage.open import StoreAccess
from ledgerkeep.storage.port import ObjectStore, Retention
from ledgerkeep.storage.vault import OpenVault, open_vault
from ledgerkeep.worker import WorkerSettings
from tests.support.aws_server import empty_aws

pytestmark = pytest.mark.integration

LARGE = bytes(6_000_000)
KMS = {"mode": "aws:kms", "key_id": "alias/vault"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """moto, with a vault: it keeps storage classes, and refuses to read what lies in the cold."""
    with empty_aws() as url:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="AKIA",
            aws_secret_access_key="secret",
        )
        place = {"LocationConstraint": REGION}
        client.create_bucket(
            Bucket="vault", ObjectLockEnabledForBucket=True, CreateBucketConfiguration=place
        )
        client.create_bucket(Bucket="plain", CreateBucketConfiguration=place)
        yield url


def opened(
    access: StoreAccess, bucket: str = "vault", *, encryption: str = "none", patience: float = 5
) -> OpenVault:
    about = {"connection_id": "store", "bucket": "ours", "region": REGION, "part_size_mib": 5}
    vault = Vault(
        connection_id="vault",
        bucket=bucket,
        region=REGION,
        storage_class="DEEP_ARCHIVE",
        encryption=KMS,
        locked=timedelta(days=2555),
    )
    settings = WorkerSettings(store_encryption=encryption, store_patience=patience)
    return open_vault(vault, Storage.model_validate(about), settings, access)


def write(store: ObjectStore, key: str, body: bytes) -> None:
    with store.writer(key) as writer:
        writer.write(body)
        writer.commit()


def test_bulk_goes_into_the_cold_and_records_do_not(aws: str) -> None:
    vault = opened(StoreAccess(aws, access_key="AKIA", secret_key="secret"), encryption="policy")
    assert (vault.location, vault.encryption) == ("s3://vault", "aws:kms")
    for name, body in (("small", b"x"), ("large", LARGE)):
        write(vault.cold, f"cold/{name}", body)
        write(vault.records, f"record/{name}", body)
        heads = [vault.records.head(f"{kind}/{name}") for kind in ("cold", "record")]
        assert [head.storage_class for head in heads] == ["DEEP_ARCHIVE", "STANDARD"]
        assert [head.encryption for head in heads] == ["aws:kms", "aws:kms"]


def test_what_lies_in_the_cold_is_not_read_and_the_error_says_what_to_do(aws: str) -> None:
    vault = opened(StoreAccess(aws, access_key="AKIA", secret_key="secret"))
    vault.cold.put("frozen", b"body")
    with pytest.raises(StorageError) as frozen:
        vault.records.get("frozen")
    assert frozen.value.message == ("s3://vault/frozen lies in cold storage and cannot be read yet")
    assert frozen.value.hint == (
        "ask the store for a readable copy (aws s3api restore-object) and wait until it is "
        "there, up to 48 hours; then run again"
    )


def test_bucket_without_object_lock_is_known_as_such(
    aws: str, s3: ObjectStoreServer, bucket: str
) -> None:
    """By moto, and by SeaweedFS."""
    access = StoreAccess(aws, access_key="AKIA", secret_key="secret")
    assert opened(access).records.keeps_locks()
    assert not opened(access, "plain").records.keeps_locks()
    make_bucket(s3, f"{bucket}-plain", object_lock=False)
    access = StoreAccess(s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key)
    assert opened(access, bucket).records.keeps_locks()
    assert not opened(access, f"{bucket}-plain").records.keeps_locks()


def test_seaweedfs_keeps_class_and_lock_of_an_object(s3: ObjectStoreServer, bucket: str) -> None:
    """It holds to the lock; the class it only remembers, so reading goes on."""
    access = StoreAccess(s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key)
    vault = opened(access, bucket, encryption="AES256")
    write(vault.cold, "large", LARGE)
    until = (utc_now() + timedelta(days=2)).replace(microsecond=0)
    vault.records.retain("large", Retention(mode="COMPLIANCE", until=until))
    head = vault.records.head("large")
    assert (head.storage_class, head.encryption) == ("DEEP_ARCHIVE", "AES256")
    assert head.retention == Retention(mode="COMPLIANCE", until=until)
    earlier = Retention(mode="COMPLIANCE", until=until - timedelta(days=1))
    with pytest.raises(StoreAccessDenied):
        vault.records.retain("large", earlier)
    assert vault.records.delete_prefix("") == 0
    assert len(vault.records.get("large")) == len(LARGE)


def test_small_object_may_bring_its_lock_along(
    aws: str, s3: ObjectStoreServer, bucket: str
) -> None:
    """S3 takes a locked object only with the name of its checksum's algorithm, or an MD5."""
    until = (utc_now() + timedelta(days=1)).replace(microsecond=0)
    lock = Retention(mode="COMPLIANCE", until=until)
    aws_access = StoreAccess(aws, access_key="AKIA", secret_key="secret")
    ours = StoreAccess(s3.endpoint, access_key=s3.user.access_key, secret_key=s3.user.secret_key)
    for vault in (opened(aws_access), opened(ours, bucket)):
        vault.records.put("locked", b"body", retention=lock)
        assert vault.records.head("locked").retention == lock
