"""Copies and delete markers within one store, by the quickest way that says all there is to say.

Nearly every request of a bulk recovery is one of these two. They go through `storage.quick` where
that can say them; a copy with a lock, and a store without quick requests, through botocore.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.quick import text_of
from ledgerkeep.storage.versions import NULL_VERSION

_HEADERS = {
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "StorageClass": "x-amz-storage-class",
}


def copy_within(
    destination: Bucket, key: str, source: Mapping[str, str], parameters: Mapping[str, Any]
) -> tuple[str, str]:
    """Version id and ETag of the copy; headers, metadata and tags come along.

    :param source: Bucket, Key and VersionId.
    :param parameters: of botocore's CopyObject: conditions, encryption, lock.
    :raises ObjectConflict: a condition does not hold.
    :raises StorageError:
    """
    if destination.quick is None or not set(parameters) <= set(_HEADERS):
        return _copy_by_botocore(destination, key, source, parameters)
    quick, named = destination.quick, quote(f"{source['Bucket']}/{source['Key']}", safe="/-_.~")
    headers = {
        "x-amz-copy-source": f"{named}?versionId={source['VersionId']}",
        "x-amz-metadata-directive": "COPY",
        "x-amz-tagging-directive": "COPY",
        **_headers(parameters),
    }
    told, body = destination.ask(
        "copy", lambda: quick.send("CopyObject", "PUT", key, headers), key=key
    )
    return told.get("x-amz-version-id", NULL_VERSION), text_of(body, "ETag").strip('"')


def delete_within(bucket: Bucket, key: str, condition: Mapping[str, str]) -> str:
    """Put a delete marker on a key; its version id.

    :raises ObjectConflict: the condition does not hold.
    :raises StorageError:
    """
    if bucket.quick is not None:
        quick = bucket.quick
        told, _ = bucket.ask(
            "delete",
            lambda: quick.send("DeleteObject", "DELETE", key, _headers(condition)),
            key=key,
        )
        return told.get("x-amz-version-id", NULL_VERSION)
    answer = bucket.ask(
        "delete",
        lambda: bucket.client.delete_object(
            Bucket=bucket.name,
            Key=key,
            **condition,  # type: ignore[arg-type]
        ),
        key=key,
    )
    return answer.get("VersionId", NULL_VERSION)


def _copy_by_botocore(
    destination: Bucket, key: str, source: Mapping[str, str], parameters: Mapping[str, Any]
) -> tuple[str, str]:
    answer = destination.ask(
        "copy",
        lambda: destination.client.copy_object(
            Bucket=destination.name,
            Key=key,
            CopySource=dict(source),  # type: ignore[arg-type]
            MetadataDirective="COPY",
            TaggingDirective="COPY",
            **parameters,
        ),
        key=key,
    )
    etag = answer["CopyObjectResult"]["ETag"].strip('"')
    return answer.get("VersionId", NULL_VERSION), etag


def _headers(parameters: Mapping[str, Any]) -> dict[str, str]:
    told = {}
    for name, value in parameters.items():
        told[_HEADERS[name]] = str(value).lower() if isinstance(value, bool) else str(value)
    return told
