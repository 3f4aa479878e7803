"""What belongs to a document beside its bytes, and how a copy is given the same.

Content type and the like, metadata and tags are kept by the store itself when it copies in one
request. A lock is not, nor the key that the version was encrypted with: a copy gets the bucket's
defaults unless the request names them. So where a bucket has locks, or keys of KMS, the version's
head is asked for; where it has neither there is nothing to ask, and a request is spared per key.
(AWS: S3 API reference, CopyObject; "Copying objects", considerations.)
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from ledgerkeep.model import utc_now
from ledgerkeep.storage.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

KEPT_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "WebsiteRedirectLocation",
)


def needs_head(source: Bucket, destination: Bucket) -> bool:
    """Whether something belongs to the versions that the store does not keep by itself.

    :raises StorageError:
    """
    keys_of_its_own = destination.encryption.get("ServerSideEncryption") == "aws:kms"
    return keys_of_its_own or source.keeps_locks()


def head_version(bucket: Bucket, key: str, version_id: str) -> "HeadObjectOutputTypeDef":
    """The head of one version, with the checksums that the store has of it.

    :raises ObjectMissing, StorageError:
    """
    return bucket.ask(
        "head",
        lambda: bucket.client.head_object(
            Bucket=bucket.name, Key=key, VersionId=version_id, ChecksumMode="ENABLED"
        ),
        key=key,
    )


def protection(
    head: Mapping[str, Any] | None, destination: Bucket, *, locks: bool = True
) -> dict[str, Any]:
    """Encryption and lock of the copy, as a request that creates it says them.

    A version that was encrypted with a key keeps that key where it is in the destination's own
    region; everything else is encrypted as the policy says. A lock that has ended is no lock.
    """
    told = dict(destination.creation)
    if head is None:
        return told
    if head.get("ServerSideEncryption") == "aws:kms" and _is_in_reach(head, destination):
        told |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": head["SSEKMSKeyId"]}
        told["BucketKeyEnabled"] = bool(head.get("BucketKeyEnabled"))
    elif head.get("ServerSideEncryption") and "ServerSideEncryption" not in told:
        told["ServerSideEncryption"] = "AES256"
    return told | lock_of(head) if locks else told


def lock_of(head: Mapping[str, Any]) -> dict[str, Any]:
    """Retention and legal hold of a version, as a request that creates an object says them."""
    told: dict[str, Any] = {}
    until = head.get("ObjectLockRetainUntilDate")
    if until is not None and until > utc_now() and head.get("ObjectLockMode"):
        told |= {"ObjectLockMode": head["ObjectLockMode"], "ObjectLockRetainUntilDate": until}
    if head.get("ObjectLockLegalHoldStatus") == "ON":
        told["ObjectLockLegalHoldStatus"] = "ON"
    return told


def described(head: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """Headers, metadata and tags of the copy, where the store does not keep them by itself."""
    told: dict[str, Any] = {name: head[name] for name in KEPT_HEADERS if head.get(name)}
    told["Metadata"] = head.get("Metadata", {})
    if tags:
        told["Tagging"] = urlencode(tags)
    return told


def tags_of(bucket: Bucket, key: str, version_id: str) -> dict[str, str]:
    """The tags of one version.

    :raises StorageError:
    """
    answer = bucket.ask(
        "get tags",
        lambda: bucket.client.get_object_tagging(Bucket=bucket.name, Key=key, VersionId=version_id),
        key=key,
    )
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def _is_in_reach(head: Mapping[str, Any], destination: Bucket) -> bool:
    """Keys of KMS live in one region; an ARN says which: `arn:aws:kms:region:account:key/id`."""
    key_id = cast("str", head.get("SSEKMSKeyId", ""))
    return f":{destination.client.meta.region_name}:" in key_id
