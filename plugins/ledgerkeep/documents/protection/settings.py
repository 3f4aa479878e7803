"""What a bucket is set to, read sub-resource by sub-resource.

"Not set", "the store has no such thing" and "it is not told to us" are three different answers, and
none of them is fulfilment; each property is therefore either what the store said or one of these.
(AWS: S3 API reference, GetBucketVersioning and its like.)
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ledgerkeep.documents.protection.store import ALL, Property, Store
from ledgerkeep.errors import StoreAccessDenied
from ledgerkeep.storage.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_NOT_SET = {
    "ServerSideEncryptionConfigurationNotFoundError",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "NoSuchLifecycleConfiguration",
    "ReplicationConfigurationNotFoundError",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchBucketPolicy",
    "OwnershipControlsNotFoundError",
}
_NOT_THERE = {"NotImplemented", "MethodNotAllowed", "501", "405"}
_PERMISSIONS: dict[Property, str] = {
    "versioning": "s3:GetBucketVersioning",
    "encryption": "s3:GetEncryptionConfiguration",
    "object lock": "s3:GetBucketObjectLockConfiguration",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "replication": "s3:GetReplicationConfiguration",
    "public access block": "s3:GetBucketPublicAccessBlock",
    "bucket policy": "s3:GetBucketPolicy",
    "access logging": "s3:GetBucketLogging",
    "ownership": "s3:GetBucketOwnershipControls",
}


@dataclass(frozen=True)
class Absent:
    """The store has no such property."""

    store: str


@dataclass(frozen=True)
class Untold:
    """The store does not tell us."""

    permission: str
    """The one that would make it."""


Value = Mapping[str, Any] | Absent | Untold
"""What the store said of one property; empty: it is not set."""


@dataclass(frozen=True)
class Settings:
    """One bucket as it is set."""

    bucket: str
    store: Store
    values: Mapping[Property, Value] = field(default_factory=dict)
    over_tls: bool = True
    """See `is_over_tls`."""

    def of(self, name: Property) -> Value:
        """The property; empty where it is not set."""
        return self.values.get(name, {})


def read_settings(bucket: Bucket, store: Store) -> Settings:
    """Every property of the bucket that the store has.

    :raises StorageError: the store does not answer, or has no such bucket.
    """
    return Settings(
        bucket.name,
        store,
        {name: read_property(bucket, store, name) for name in ALL},
        over_tls=is_over_tls(bucket),
    )


def is_over_tls(bucket: Bucket) -> bool:
    """Whether we reach the bucket over TLS ourselves."""
    return bucket.client.meta.endpoint_url.startswith("https:")


def read_property(bucket: Bucket, store: Store, name: Property) -> Value:
    """One property of the bucket.

    :raises StorageError:
    """
    if name not in store.readable:
        return Absent(store.name)

    def ask() -> Value:
        try:
            return _READERS[name](bucket.client, bucket.name)
        except ClientError as problem:
            code = problem.response["Error"].get("Code", "")
            if code in _NOT_SET:
                return {}
            if code in _NOT_THERE:
                return Absent(store.name)
            raise

    try:
        return bucket.ask(f"get {name}", ask)
    except StoreAccessDenied:
        return Untold(_PERMISSIONS[name])


def _versioning(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_bucket_versioning(Bucket=bucket)
    return {key: answer[key] for key in ("Status", "MFADelete") if key in answer}


def _encryption(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    found = client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    return dict(found["Rules"][0]) if found["Rules"] else {}


def _object_lock(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_object_lock_configuration(Bucket=bucket)
    return dict(answer.get("ObjectLockConfiguration", {}))


def _lifecycle(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_bucket_lifecycle_configuration(Bucket=bucket)
    return {"Rules": answer.get("Rules", [])}


def _replication(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_bucket_replication(Bucket=bucket)
    return dict(answer["ReplicationConfiguration"])


def _public_access(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_public_access_block(Bucket=bucket)
    return dict(answer["PublicAccessBlockConfiguration"])


def _policy(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"])
    return found


def _logging(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    answer = client.get_bucket_logging(Bucket=bucket)
    return dict(answer.get("LoggingEnabled", {}))


def _ownership(client: "S3Client", bucket: str) -> Mapping[str, Any]:
    rules = client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    return dict(rules[0]) if rules else {}


_READERS: dict[Property, Callable[["S3Client", str], Mapping[str, Any]]] = {
    "versioning": _versioning,
    "encryption": _encryption,
    "object lock": _object_lock,
    "lifecycle": _lifecycle,
    "replication": _replication,
    "public access block": _public_access,
    "bucket policy": _policy,
    "access logging": _logging,
    "ownership": _ownership,
}
