"""One bucket behind its two clients: how every request is sent, retried and its failure told.

boto3 speaks for everything that has versions, locks and keys. obstore fetches ranges of large
objects, which it does faster and without holding the interpreter. Both get the same endpoint and
credentials, and both have their own retries off: `patience` waits, for every request alike.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from ledgerkeep.errors import ObjectMissing
from ledgerkeep.storage.failures import CLIENT_FAILURES, Request, translate
from ledgerkeep.storage.patience import try_until
from ledgerkeep.storage.port import ObjectHead, Retention
from ledgerkeep.storage.quick import QuickSender
from ledgerkeep.storage.ranges import RangeReader

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import (
        HeadObjectOutputTypeDef,
        ObjectLockConfigurationTypeDef,
    )

T = TypeVar("T")

_NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")

IMPATIENT = 10.0
"""Seconds to wait for the store where waiting longer would only hide the real failure."""


@dataclass(frozen=True)
class Bucket:
    """A bucket, and how to talk to it."""

    name: str
    client: "S3Client"
    ranges: RangeReader = field(repr=False)
    encryption: Mapping[str, Any]
    """Request parameters for server-side encryption."""
    patience: float
    """Seconds for which an unavailable store is waited for."""
    part_size: int
    """Bytes of an upload part; a smaller object is one request, either way."""
    concurrency: int
    """Parts or ranges in flight per object."""
    storage_class: str | None = None
    """Of everything that is created; None leaves it to the store, which takes STANDARD."""
    quick: QuickSender | None = field(default=None, repr=False)
    """For many small requests that send no body."""

    @property
    def location(self) -> str:
        """`s3://bucket`."""
        return f"s3://{self.name}"

    @property
    def creation(self) -> dict[str, Any]:
        """What every request that creates an object says: encryption and storage class."""
        if self.storage_class is None:
            return dict(self.encryption)
        return {**self.encryption, "StorageClass": self.storage_class}

    def ask(
        self,
        verb: str,
        send: Callable[[], T],
        *,
        key: str = "",
        stop: threading.Event | None = None,
        patience: float | None = None,
    ) -> T:
        """Send a request, again and again while the store is unavailable.

        :param verb: what is done, for messages and hints: put, get, list …
        :param stop: gives up waiting when set.
        :raises StorageError:
        """
        request = Request(verb, self.name, self.client.meta.endpoint_url, key)

        def attempt() -> T:
            try:
                return send()
            except CLIENT_FAILURES as problem:
                raise translate(problem, request) from problem

        seconds = self.patience if patience is None else patience
        return try_until(seconds, attempt, stop=stop)

    def fetch_range(self, key: str, start: int, end: int, stop: threading.Event) -> memoryview:
        """Bytes `start` up to, not including, `end`; fewer when the object ends before.

        :raises ObjectMissing, StorageError:
        """
        return self.ask("get", lambda: self.ranges.fetch(key, start, end), key=key, stop=stop)

    def head(self, key: str) -> ObjectHead | None:
        """The object's head, or None when there is no such object.

        :raises StorageError:
        """
        try:
            answer = self.ask(
                "head", lambda: self.client.head_object(Bucket=self.name, Key=key), key=key
            )
        except ObjectMissing:
            return None
        return ObjectHead(
            key=key,
            size=answer["ContentLength"],
            modified_at=answer["LastModified"],
            metadata=answer.get("Metadata", {}),
            retention=_retention(answer),
            legal_hold=answer.get("ObjectLockLegalHoldStatus") == "ON",
            encryption=answer.get("ServerSideEncryption"),
            storage_class=answer.get("StorageClass", "STANDARD"),
        )

    def keeps_locks(self) -> bool:
        """Whether the bucket was made with Object Lock.

        :raises StorageError:
        """
        answer = self.ask("get lock", self._lock_configuration)
        return answer.get("ObjectLockEnabled") == "Enabled"

    def _lock_configuration(self) -> "ObjectLockConfigurationTypeDef":
        try:
            answer = self.client.get_object_lock_configuration(Bucket=self.name)
        except ClientError as problem:
            if problem.response["Error"].get("Code") in _NO_LOCK:
                return {}
            raise
        return answer.get("ObjectLockConfiguration", {})

    def abort_upload(self, key: str, upload_id: str) -> None:
        """End a multipart upload and free its parts; one that is gone already is fine.

        :raises StorageError:
        """
        with contextlib.suppress(ObjectMissing):
            self.ask(
                "abort",
                lambda: self.client.abort_multipart_upload(
                    Bucket=self.name, Key=key, UploadId=upload_id
                ),
                key=key,
                patience=min(self.patience, IMPATIENT),
            )


def _retention(answer: "HeadObjectOutputTypeDef") -> Retention | None:
    if "ObjectLockMode" not in answer or "ObjectLockRetainUntilDate" not in answer:
        return None
    return Retention(mode=answer["ObjectLockMode"], until=answer["ObjectLockRetainUntilDate"])
