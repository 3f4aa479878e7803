"""Where states are kept: a bucket, and the table that Terraform locks them in.

Requests and nothing else; what may be written over what is decided by the source. A state is
written only over the object that was read (its ETag), so that whoever comes in between, with a lock
or without one, is not overwritten.
(Terraform: Backend Type s3; S3 API reference, conditional requests.)
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkeep.aws import ask, paged
from ledgerkeep.configuration.sources.terraform_state.locks import (
    TAKEN,
    FileLock,
    Lock,
    TableLock,
    attempted,
)
from ledgerkeep.configuration.sources.terraform_state.state import State, read_state
from ledgerkeep.errors import AwsRefused
from ledgerkeep.policy.configuration_sources import TerraformState

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

OWN = "ledgerkeep-restore-test/"
"""Below it lie the isolated places."""
_CONNECTION = "terraform_state.connection_id"
_DENIED = (
    "allow s3:ListBucket and s3:GetObject, and for a recovery s3:PutObject, s3:DeleteObject, "
    "s3:ListBucketVersions and s3:GetObjectVersion on the bucket of the states (and the use of its "
    "KMS key), and dynamodb:GetItem, dynamodb:PutItem and dynamodb:DeleteItem on the lock table, "
    "to the identity of the connection"
)
_HINTS = {
    "NoSuchBucket": "correct terraform_state.bucket in the policy",
    "ResourceNotFoundException": "correct terraform_state.lock_table in the policy",
}
_GONE = ("NoSuchKey", "404")
_AT_ONCE = 1000
"""DeleteObjects takes no more."""


@dataclass(frozen=True)
class Live:
    """A state as it is, and how it is stored."""

    state: State
    etag: str
    encryption: Mapping[str, Any]
    """What to ask for so that it is encrypted as before."""


@dataclass(frozen=True)
class StateStore:
    """The states' bucket and lock table, or an isolated place in them."""

    settings: TerraformState
    s3: "S3Client" = field(repr=False)
    dynamodb: "DynamoDBClient | None" = field(repr=False)
    """None without a lock table."""
    place: str = ""
    """Of an isolated one: put in front of every key; ends with a slash."""

    @property
    def bucket(self) -> str:
        """Its name."""
        return self.settings.bucket

    def path(self, key: str) -> str:
        """Of a state, as locks and messages call it."""
        return f"{self.bucket}/{self.place}{key}"

    def listed(self) -> dict[str, str]:
        """Key → ETag of every state that the policy names; empty objects are none."""
        found: dict[str, str] = {}
        for prefix in self.settings.prefixes:
            for one in self._objects(f"{self.place}{prefix}"):
                key = one["Key"]
                own = not self.place and key.startswith(OWN)
                if key.endswith(".tfstate") and one["Size"] and not own:
                    found[key.removeprefix(self.place)] = one["ETag"]
        for key in self.settings.keys:
            if etag := self._etag(key):
                found[key] = etag
        return found

    def read(self, key: str) -> Live | None:
        """A state, or None where there is none."""
        there: dict[str, Any] = {"Bucket": self.bucket, "Key": f"{self.place}{key}"}

        def send() -> tuple[Mapping[str, Any], bytes]:
            answer = self.s3.get_object(**there)
            return answer, answer["Body"].read()

        found = self._ask(f"read the state {self.path(key)}", lambda: attempted(send, _GONE))
        if found is None or not found[1]:
            return None
        state = read_state(found[1].decode(errors="replace"), self.path(key))
        return Live(state, found[0]["ETag"], _encryption_of(found[0]))

    def write(self, key: str, text: str, over: Live | None) -> bool:
        """Write a state over what was read; False: that is no longer there."""
        request: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": f"{self.place}{key}",
            "Body": text.encode(),
            "ContentType": "application/json",
            **({"IfMatch": over.etag, **over.encryption} if over else {"IfNoneMatch": "*"}),
        }
        done = self._ask(
            f"write the state {self.path(key)}",
            # S3 says of an object that is gone that there is none, not that it is another.
            lambda: attempted(lambda: self.s3.put_object(**request), (*TAKEN, *_GONE)),
        )
        return done is not None

    def remove(self, key: str) -> None:
        """Remove a state, if it is there."""
        self._ask(
            f"remove the state {self.path(key)}",
            lambda: self.s3.delete_object(Bucket=self.bucket, Key=f"{self.place}{key}"),
        )

    def last_serial(self, key: str) -> int:
        """Of the newest version that is left of a state that is gone; 0 without one."""
        there = f"{self.place}{key}"
        for one in self._versions(there, "Versions"):
            if one["Key"] == there and one["Size"]:
                at = {"Bucket": self.bucket, "Key": there, "VersionId": one["VersionId"]}
                body = self._ask(
                    f"read the last version of the state {self.path(key)}",
                    lambda at=at: self.s3.get_object(**at)["Body"].read(),  # type: ignore[misc]
                )
                return read_state(body.decode(errors="replace"), self.path(key)).serial
        return 0

    # -- the lock table

    def locks(self, key: str) -> Sequence[Lock]:
        """Where a state has to be locked before it is written."""
        locks: list[Lock] = []
        if self.settings.lock_file:
            locks.append(FileLock(self.s3, self.bucket, f"{self.place}{key}", self._ask))
        if self.dynamodb is not None and self.settings.lock_table is not None:
            table = self.settings.lock_table
            locks.append(TableLock(self.dynamodb, table, self.path(key), self._ask))
        return locks

    def record_digest(self, key: str, text: str) -> None:
        """Tell Terraform, which reads no state that does not have this digest."""
        self._item(
            f"record the digest of the state {self.path(key)}",
            "put_item",
            Item={"LockID": {"S": self._digest_id(key)}, "Digest": {"S": digest(text)}},
        )

    def recorded_digest(self, key: str) -> str | None:
        """None where there is no lock table; empty where it has none of this state."""
        found = self._item(
            f"read the digest of the state {self.path(key)}",
            "get_item",
            Key={"LockID": {"S": self._digest_id(key)}},
            ConsistentRead=True,
        )
        if found is None:
            return None
        recorded: str = found.get("Item", {}).get("Digest", {}).get("S", "")
        return recorded

    def forget_digest(self, key: str) -> None:
        """Of a state that is gone."""
        self._item(
            f"remove the digest of the state {self.path(key)}",
            "delete_item",
            Key={"LockID": {"S": self._digest_id(key)}},
        )

    # -- an isolated place

    def clear(self) -> None:
        """Remove all versions of everything below the isolated place, and its lock items."""
        doomed = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for member in ("Versions", "DeleteMarkers")
            for one in self._versions(self.place, member)
        ]
        for start in range(0, len(doomed), _AT_ONCE):
            self._delete(doomed[start : start + _AT_ONCE])
        for key in sorted({one["Key"].removeprefix(self.place) for one in doomed}):
            self.forget_digest(key)
            self._item(
                f"remove the lock of the state {self.path(key)}",
                "delete_item",
                Key={"LockID": {"S": self.path(key)}},
            )

    def _delete(self, versions: list[dict[str, str]]) -> None:
        request: Any = {"Objects": versions, "Quiet": True}
        answer = self._ask(
            f"delete below {self.place}",
            lambda: self.s3.delete_objects(Bucket=self.bucket, Delete=request),
        )
        for problem in answer.get("Errors", []):
            raise AwsRefused(
                f"aws refused to delete {problem.get('Key')} ({problem.get('Code')})",
                hint=f"allow s3:DeleteObjectVersion below {self.bucket}/{OWN} to the identity of "
                "the connection",
            )

    # -- requests

    def _digest_id(self, key: str) -> str:
        return f"{self.path(key)}-md5"

    def _objects(self, prefix: str) -> Iterator[Any]:
        return self._paged("list_objects_v2", "Contents", prefix)

    def _versions(self, prefix: str, member: str) -> Iterator[Any]:
        return self._paged("list_object_versions", member, prefix)

    def _paged(self, operation: str, member: str, prefix: str) -> Iterator[Any]:
        return paged(
            f"list the states in {self.bucket}",
            self.s3,
            operation,
            member,
            denied=_DENIED,
            connection=_CONNECTION,
            hints=_HINTS,
            Bucket=self.bucket,
            Prefix=prefix,
        )

    def _etag(self, key: str) -> str:
        there: dict[str, Any] = {"Bucket": self.bucket, "Key": f"{self.place}{key}"}
        found = self._ask(
            f"look at the state {self.path(key)}",
            lambda: attempted(lambda: self.s3.head_object(**there), _GONE),
        )
        return found["ETag"] if found and found["ContentLength"] else ""

    def _item(self, what: str, operation: str, **request: Any) -> Mapping[str, Any] | None:
        if self.dynamodb is None:
            return None
        send = getattr(self.dynamodb, operation)
        found: Mapping[str, Any] = self._ask(
            what, lambda: send(TableName=self.settings.lock_table, **request)
        )
        return found

    def _ask(self, what: str, send: Callable[[], T]) -> T:
        return ask(what, send, denied=_DENIED, connection=_CONNECTION, hints=_HINTS)


def digest(text: str) -> str:
    """As the backend computes it; no protection against anybody."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _encryption_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """A bucket's own default needs nothing; a key that the backend chose is chosen again."""
    if answer.get("ServerSideEncryption") != "aws:kms" or not answer.get("SSEKMSKeyId"):
        return {}
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": answer["SSEKMSKeyId"]}
