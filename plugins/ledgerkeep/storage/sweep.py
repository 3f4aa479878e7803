"""Removing what an interrupted run left: versions, delete markers, unfinished uploads.

Only object-level requests are sent (list, delete objects, abort): some S3-compatible servers take
the removal of a bucket's sub-resource for the removal of the bucket.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from ledgerkeep.errors import ObjectMissing, StorageError, StoreAccessDenied
from ledgerkeep.model import utc_now
from ledgerkeep.storage.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ErrorTypeDef, ObjectIdentifierTypeDef

_BATCH = 1_000
"""DeleteObjects takes no more."""


def delete_prefix(bucket: Bucket, prefix: str, older_than: datetime | None) -> int:
    """Remove everything below a prefix; see `ObjectStore.delete_prefix`."""
    _abort_uploads(bucket, prefix, older_than)
    removed = 0
    versions = _versions(bucket, prefix, older_than)
    while batch := list(itertools.islice(versions, _BATCH)):
        removed += _delete(bucket, batch)
    return removed


Version = tuple[str, str, bool]
"""Key, version id, whether it is a delete marker."""


def _versions(bucket: Bucket, prefix: str, older_than: datetime | None) -> Iterator[Version]:
    marker: dict[str, str] = {}
    while True:
        page = bucket.ask(
            "list versions",
            lambda marker=marker: bucket.client.list_object_versions(  # type: ignore[misc]
                Bucket=bucket.name, Prefix=prefix, **marker
            ),
        )
        for version in page.get("Versions", []):
            if older_than is None or version["LastModified"] < older_than:
                yield version["Key"], version["VersionId"], False
        for gone in page.get("DeleteMarkers", []):
            if older_than is None or gone["LastModified"] < older_than:
                yield gone["Key"], gone["VersionId"], True
        if not page["IsTruncated"]:
            return
        marker = {
            "KeyMarker": page["NextKeyMarker"],
            "VersionIdMarker": page["NextVersionIdMarker"],
        }


def _delete(bucket: Bucket, batch: list[Version]) -> int:
    """Delete one batch and return how many of it were versions and are gone."""
    objects: list[ObjectIdentifierTypeDef] = [
        {"Key": key, "VersionId": version} for key, version, _ in batch
    ]
    answer = bucket.ask(
        "delete",
        lambda: bucket.client.delete_objects(
            Bucket=bucket.name, Delete={"Objects": objects, "Quiet": True}
        ),
    )
    left = {
        (refused["Key"], refused["VersionId"])
        for refused in answer.get("Errors", [])
        if _must_stay(bucket, refused)
    }
    return sum(1 for key, version, marker in batch if not marker and (key, version) not in left)


def _must_stay(bucket: Bucket, refused: "ErrorTypeDef") -> bool:
    """True for a version under lock, False for one that is gone already.

    :raises StorageError: it was refused for another reason.
    """
    key, version = refused.get("Key", ""), refused.get("VersionId", "")
    try:
        head = bucket.ask(
            "head",
            lambda: bucket.client.head_object(Bucket=bucket.name, Key=key, VersionId=version),
            key=key,
        )
    except ObjectMissing:
        return False
    until = head.get("ObjectLockRetainUntilDate")
    if (until is not None and until > utc_now()) or head.get("ObjectLockLegalHoldStatus") == "ON":
        return True
    if refused.get("Code") == "AccessDenied":
        raise StoreAccessDenied(
            f"delete of {bucket.location}/{key} was denied",
            hint=f"grant s3:DeleteObjectVersion on {bucket.location} to the identity of the worker",
        )
    raise StorageError(
        f"delete of {bucket.location}/{key} was refused: "
        f"{refused.get('Code', '')}: {refused.get('Message', '')}",
        hint="the words are the store's own; look the code up in its documentation",
    )


def _abort_uploads(bucket: Bucket, prefix: str, older_than: datetime | None) -> None:
    for key, upload_id in list(_uploads(bucket, prefix, older_than)):
        bucket.abort_upload(key, upload_id)


def _uploads(bucket: Bucket, prefix: str, older_than: datetime | None) -> Iterator[tuple[str, str]]:
    marker: dict[str, str] = {}
    while True:
        page = bucket.ask(
            "list uploads",
            lambda marker=marker: bucket.client.list_multipart_uploads(  # type: ignore[misc]
                Bucket=bucket.name, Prefix=prefix, **marker
            ),
        )
        for upload in page.get("Uploads", []):
            if older_than is None or upload["Initiated"] < older_than:
                yield upload["Key"], upload["UploadId"]
        if not page["IsTruncated"]:
            return
        marker = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }
