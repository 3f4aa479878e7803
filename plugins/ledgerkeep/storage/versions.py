"""Listings of every version in a bucket, in the store's own order, page by page.

One request tells a thousand versions: what was deleted, what was overwritten, what is current.
Every question about documents is answered from one such pass, so it has to be quick and in order:
keys ascending by their UTF-8 bytes, and of one key the newest version first.

botocore's reading of the answer has neither. It sorts versions and delete markers into two lists,
which loses which of two came first where both fell into the same second, and it takes a tenth of
a second per page. So the body is taken aside before botocore parses it (its `before-parse` event;
signing, endpoints and errors stay botocore's) and read here, element by element.
(AWS: S3 API reference, ListObjectVersions.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from ledgerkeep.storage.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_OPERATION = "before-parse.s3.ListObjectVersions"
_BODY = "LedgerkeepBody"
_EMPTY = b"<ListVersionsResult/>"
_OK = 200

PAGE = 1_000
"""ListObjectVersions gives no more at a time."""

NULL_VERSION = "null"
"""Version id of what was written while the bucket kept no versions."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of one object, or a delete marker, as a listing tells it."""

    key: str
    version_id: str
    modified_at: datetime
    """In UTC; S3 tells whole seconds."""
    size: int = 0
    """Bytes; 0 for a delete marker."""
    etag: str = ""
    """The store's own mark of the content, without quotes; empty for a delete marker."""
    storage_class: str = "STANDARD"
    is_latest: bool = False
    is_delete_marker: bool = False


def list_versions(
    bucket: Bucket, prefix: str = "", *, after: str = "", until: str = ""
) -> Iterator[ObjectVersion]:
    """Every version whose key starts with `prefix`, in the store's order.

    Versions that are written while this runs may or may not be among them.

    :param after: only keys that sort behind this one.
    :param until: no keys that sort behind this one; empty: to the end.
    :raises StorageError:
    """
    marker: dict[str, str] = {"KeyMarker": after} if after else {}
    last = until.encode()
    while True:
        page = _page(bucket, prefix, marker)
        for found in page.versions:
            if last and found.key.encode() > last:
                return
            yield found
        if not page.next_marker:
            return
        marker = page.next_marker


@dataclass(frozen=True)
class _Page:
    versions: list[ObjectVersion]
    next_marker: dict[str, str]
    """Request parameters of the next page; empty after the last one."""


def _page(bucket: Bucket, prefix: str, marker: dict[str, str]) -> _Page:
    _keep_bodies(bucket.client)
    answer: Any = bucket.ask(
        "list",
        lambda: bucket.client.list_object_versions(
            # Keys may hold characters that XML cannot.
            Bucket=bucket.name,
            Prefix=prefix,
            EncodingType="url",
            MaxKeys=PAGE,
            **marker,  # type: ignore[arg-type]
        ),
    )
    return _read(answer[_BODY])


def _keep_bodies(client: "S3Client") -> None:
    # The id makes a second registration of the same a no-op.
    client.meta.events.register(_OPERATION, _keep_body, unique_id="ledgerkeep-versions")


def _keep_body(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Give botocore nothing to parse; an error it gets as it is."""
    if response_dict["status_code"] == _OK:
        customized_response_dict[_BODY] = response_dict["body"]
        response_dict["body"] = _EMPTY


def _read(body: bytes) -> _Page:
    root = ElementTree.fromstring(body)  # noqa: S314 - of the store that holds the data itself
    # AWS names a namespace, which not every compatible store does.
    space = root.tag.partition("ListVersionsResult")[0]
    encoded = root.findtext(f"{space}EncodingType") == "url"
    kinds = {f"{space}Version": False, f"{space}DeleteMarker": True}
    found = [
        _version(element, space, encoded=encoded, marker=kinds[element.tag])
        for element in root
        if element.tag in kinds
    ]
    if root.findtext(f"{space}IsTruncated") != "true":
        return _Page(found, {})
    return _Page(found, _next_marker(root, space, encoded=encoded))


def _next_marker(root: ElementTree.Element, space: str, *, encoded: bool) -> dict[str, str]:
    marker = {"KeyMarker": _key(root.findtext(f"{space}NextKeyMarker") or "", encoded=encoded)}
    if version := root.findtext(f"{space}NextVersionIdMarker"):
        marker["VersionIdMarker"] = version
    return marker


def _version(
    element: ElementTree.Element, space: str, *, encoded: bool, marker: bool
) -> ObjectVersion:
    told = {child.tag.removeprefix(space): child.text or "" for child in element}
    return ObjectVersion(
        key=_key(told["Key"], encoded=encoded),
        version_id=told.get("VersionId") or NULL_VERSION,
        modified_at=datetime.fromisoformat(told["LastModified"]).astimezone(UTC),
        size=int(told.get("Size") or 0),
        etag=told.get("ETag", "").strip('"'),
        storage_class=told.get("StorageClass") or "STANDARD",
        is_latest=told.get("IsLatest") == "true",
        is_delete_marker=marker,
    )


def _key(text: str, *, encoded: bool) -> str:
    return unquote_plus(text) if encoded else text
