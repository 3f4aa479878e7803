"""Files below a prefix of a bucket, versioned or not.

An object's ETag and its time are its mark: metadata change only by writing it anew, with the same
ETag. Writing makes a new version where the bucket keeps versions, and deleting a delete marker, so
what is put back can be taken back. boto3 sends a checksum with every object, and compares one with
every object it reads. (S3 user guide, Checking object integrity.)
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkeep.aws import ask, error_code, paged
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.sources.files.place import CORNERS, Listed, Place, Read, body_of
from ledgerkeep.errors import AwsRefused

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

_CONNECTION = "configuration.connection_id"
_GONE = {"NoSuchKey", "404"}


@dataclass(frozen=True)
class BucketPlace(Place):
    """A prefix of a bucket."""

    s3: "S3Client" = field(repr=False)
    bucket: str
    prefix: str
    """Empty, or ends with a slash."""
    is_corner: bool = False

    def list(self) -> Iterator[Listed]:
        """By key."""
        objects = paged(
            f"list s3://{self.bucket}/{self.prefix}",
            self.s3,
            "list_objects_v2",
            "Contents",
            denied=self._denied,
            connection=_CONNECTION,
            hints=_HINTS,
            Bucket=self.bucket,
            Prefix=self.prefix,
        )
        for one in objects:
            path = one["Key"].removeprefix(self.prefix)
            if path and (self.is_corner or not one["Key"].startswith(f"{CORNERS}/")):
                yield Listed(path, one["Size"], _mark(one))

    def read(self, path: str) -> Read | None:
        """With its type and its own metadata."""
        try:
            found = self._ask(
                f"read s3://{self.bucket}/{self.prefix}{path}",
                lambda: self.s3.get_object(Bucket=self.bucket, Key=f"{self.prefix}{path}"),
            )
        except AwsRefused as problem:
            if problem.__cause__ is not None and _code(problem.__cause__) in _GONE:
                return None
            raise
        body = found["Body"].read()
        about: dict[str, Content] = {
            "content_type": found.get("ContentType", ""),
            "metadata": dict(sorted(found.get("Metadata", {}).items())),
        }
        return Read(Listed(path, len(body), _mark(found)), body, about)

    def write(self, path: str, wanted: Mapping[str, Any]) -> None:
        """As a new object."""
        self._ask(
            f"write s3://{self.bucket}/{self.prefix}{path}",
            lambda: self.s3.put_object(
                Bucket=self.bucket,
                Key=f"{self.prefix}{path}",
                Body=body_of(wanted),
                ContentType=wanted["content_type"] or "application/octet-stream",
                Metadata=dict(wanted["metadata"]),
            ),
        )

    def remove(self, path: str) -> None:
        """With versions: by a delete marker."""
        self._ask(
            f"delete s3://{self.bucket}/{self.prefix}{path}",
            lambda: self.s3.delete_object(Bucket=self.bucket, Key=f"{self.prefix}{path}"),
        )

    def corner(self, label: str) -> "BucketPlace":
        """A prefix of its own, outside the place's."""
        return BucketPlace(self.s3, self.bucket, f"{CORNERS}/{label}/{self.prefix}", True)

    def clear(self) -> None:
        """Delete everything below the prefix."""
        for listed in list(self.list()):
            self.remove(listed.path)

    @property
    def _denied(self) -> str:
        return (
            f"allow s3:ListBucket on {self.bucket}, and s3:GetObject, for a recovery s3:PutObject "
            "and s3:DeleteObject, on its objects to the identity of the connection"
        )

    def _ask(self, what: str, send: Callable[[], T]) -> T:
        return ask(what, send, denied=self._denied, connection=_CONNECTION, hints=_HINTS)


_HINTS = {"NoSuchBucket": "correct configuration.sources.files.in_buckets in the policy"}


def _mark(found: Mapping[str, Any]) -> str:
    return f"{found['ETag']} {found['LastModified'].timestamp():.0f}"


def _code(problem: BaseException) -> str:
    from botocore.exceptions import ClientError

    return error_code(problem) if isinstance(problem, ClientError) else ""
