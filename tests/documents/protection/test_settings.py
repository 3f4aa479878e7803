"""Reading a bucket's settings: from SeaweedFS without harm, from AWS whole."""

import secrets
from typing import Any

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.protection.check import Side, check_settings
from ledgerkeep.documents.protection.kms import key_arn
from ledgerkeep.documents.protection.metrics import (
    read_daily_figures,
    read_replication_figures,
)
from ledgerkeep.documents.protection.repair import apply_changes
from ledgerkeep.documents.protection.settings import Absent, Untold, read_settings
from ledgerkeep.documents.protection.store import AWS, SEAWEEDFS, UNKNOWN, kind_of, store_of
from ledgerkeep.errors import BucketMissing, StorageError
from ledgerkeep.model import utc_now
from ledgerkeep.policy.values import Encryption
from ledgerkeep.storage.bucket import Bucket
from tests.documents.protection.samples import replica, wanted
from tests.documents.protection.stand_in import HOME, aws, bucket_on, make_bucket, side
from tests.support.buckets import documents_bucket

__all__ = ["aws"]

pytestmark = pytest.mark.integration


# -- which store


@pytest.mark.parametrize(
    ("server", "endpoint", "store"),
    [
        ("AmazonS3", "https://s3.proxy.example", AWS),
        ("", "https://s3.eu-central-1.amazonaws.com", AWS),
        ("", "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com", AWS),
        ("", "https://s3.cn-north-1.amazonaws.com.cn", AWS),
        ("SeaweedFS 8000GB 4.48", "http://127.0.0.1:8333", SEAWEEDFS),
        ("nginx", "https://s3.example", UNKNOWN),
        ("", "https://s3.eu-central-1.amazonaws.com.example", UNKNOWN),
    ],
)
def test_store_is_known_by_its_name_or_its_place(server: str, endpoint: str, store: Any) -> None:
    assert kind_of(server, endpoint) is store


def test_store_that_nobody_knows_is_set_nothing() -> None:
    """Behind a proxy that hides it, SeaweedFS would take a PUT for the creation of a bucket."""
    assert UNKNOWN.settable == frozenset()
    assert "replication" not in SEAWEEDFS.settable


# -- SeaweedFS


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Bucket:
    return documents_bucket(s3, bucket)


def names(s3: ObjectStoreServer) -> set[str]:
    return {one["Name"] for one in objectstore.admin_client(s3).list_buckets()["Buckets"]}


def as_admin(s3: ObjectStoreServer, name: str) -> Bucket:
    return bucket_on(objectstore.admin_client(s3), name)


def test_seaweedfs_is_recognised_and_its_gaps_are_absent(there: Bucket) -> None:
    assert store_of(there) is SEAWEEDFS
    found = read_settings(there, SEAWEEDFS)
    assert found.of("versioning") == {"Status": "Enabled"}
    assert found.of("object lock") == {"ObjectLockEnabled": "Enabled"}
    assert found.of("lifecycle") == {}
    for name in ("replication", "public access block", "access logging"):
        assert found.of(name) == Absent("SeaweedFS")
    assert found.of("encryption") == Untold("s3:GetEncryptionConfiguration")
    assert found.over_tls is False


def test_reading_everything_as_administrator_harms_no_bucket(
    s3: ObjectStoreServer, bucket: str
) -> None:
    """Also what SeaweedFS does not have, as when nobody knows which store it is."""
    there = as_admin(s3, bucket)
    version = there.client.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    before = names(s3)
    found = read_settings(there, UNKNOWN)
    assert isinstance(found.of("public access block"), Absent)
    assert names(s3) == before
    head = there.client.head_object(Bucket=bucket, Key="k")
    assert head["VersionId"] == version
    assert found.of("versioning") == {"Status": "Enabled"}


def test_missing_bucket_is_said(s3: ObjectStoreServer) -> None:
    with pytest.raises(BucketMissing):
        store_of(documents_bucket(s3, "no-such-bucket"))


def test_repair_of_seaweedfs_sets_what_it_takes_and_keeps_the_bucket(
    s3: ObjectStoreServer,
) -> None:
    name = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, name, object_lock=False)
    there = as_admin(s3, name)
    there.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    version = there.client.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    there.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    asked = wanted(
        encryption=Encryption(mode="AES256"),
        replica=replica(),
        replication={"role_arn": "arn:role"},
        object_lock={"retention": "1d"},
        lifecycle={
            "transitions": [{"after": "30d", "storage_class": "STANDARD_IA"}],
            "expire_after": "7y",
            "abort_uploads_after": "7d",
        },
    )
    one = Side(there, store_of(there), asked)
    before = check_settings([one])
    changes = before.proposal.changes
    assert [change.setting for change in changes] == [
        "versioning",
        "encryption",
        "lifecycle",
        "object lock",
    ]
    apply_changes(changes, {name: one})
    after = check_settings([one])
    assert after.grave == []
    assert after.counts["not applicable"] == 4
    assert there.client.head_object(Bucket=name, Key="k", VersionId=version)["ContentLength"] == 1


def test_ordinary_identity_may_not_set_everything_and_is_told(there: Bucket) -> None:
    asked = wanted(object_lock={"retention": "1d"})
    one = Side(there, SEAWEEDFS, asked)
    changes = check_settings([one]).proposal.changes
    with pytest.raises(StorageError) as caught:
        apply_changes(changes, {there.name: one})
    assert caught.value.message == (
        f"object lock of s3://{there.name} was not put right: set object lock of "
        f"s3://{there.name} was denied; of 1 changes 0 were made"
    )
    assert caught.value.hint == (
        f"grant s3:PutBucketObjectLockConfiguration on s3://{there.name} to the identity of the "
        "worker, and with SSE-KMS the use of the key"
    )


# -- AWS, as moto plays it


def test_new_bucket_on_aws_has_nothing_set(aws: None) -> None:
    there = side(wanted())
    assert there.store is AWS
    found = read_settings(there.bucket, there.store)
    assert {name: found.of(name) for name in found.values} == {name: {} for name in found.values}
    assert found.over_tls


def test_alias_is_known_by_its_key(aws: None) -> None:
    import boto3

    kms = boto3.client("kms", region_name=HOME)
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/documents", TargetKeyId=key["KeyId"])
    assert key_arn(kms, "alias/documents") == key["Arn"]
    assert key_arn(kms, "alias/none") is None


def test_newest_figures_of_cloudwatch_are_read(aws: None) -> None:
    import boto3

    cloudwatch = boto3.client("cloudwatch", region_name=HOME)
    now = utc_now()

    def tell(name: str, value: float, minutes: int, **dimensions: str) -> None:
        cloudwatch.put_metric_data(
            Namespace="AWS/S3",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in dimensions.items()],
                    "Timestamp": now.timestamp() - 60 * minutes,
                    "Value": value,
                }
            ],
        )

    where = {"SourceBucket": "documents", "DestinationBucket": "replica", "RuleId": "r"}
    tell("ReplicationLatency", 900, 40, **where)
    tell("ReplicationLatency", 30, 10, **where)
    tell("OperationsPendingReplication", 7, 10, **where)
    found = read_replication_figures(cloudwatch, "documents", "replica", "r", now)
    assert found is not None
    assert (found.latency_seconds, found.pending_operations, found.pending_bytes) == (30, 7, None)
    assert read_replication_figures(cloudwatch, "documents", "replica", "other", now) is None

    day = 60 * 24
    for storage_type, size in (("StandardStorage", 1000), ("GlacierS3ObjectOverhead", 24)):
        tell("BucketSizeBytes", size, day, BucketName="documents", StorageType=storage_type)
    figures = read_daily_figures(cloudwatch, "documents", now)
    assert figures is not None
    assert figures.sizes == {"STANDARD": 1024}
    make_bucket("empty", HOME)
    assert read_daily_figures(cloudwatch, "nothing-there", now) is None
