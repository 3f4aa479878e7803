"""A state's lock, taken the way Terraform's s3 backend takes it, so that each keeps the other out.

In DynamoDB it is an item `LockID = <bucket>/<key>` whose `Info` says who holds it; in the bucket,
since Terraform 1.10, an object `<key>.tflock` of the same JSON. Either is made only where there is
none. Where the policy names both, both are taken, as Terraform does with both settings.

Our lock on one state has the same id each time. What a task left that was killed is so recognised
and taken over, and a release removes no lock but ours.
(Terraform: Backend Type s3, State Locking; DynamoDB and S3 API references, conditional writes.)
"""

import json
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from ledgerkeep import __version__
from ledgerkeep.aws import error_code
from ledgerkeep.errors import StateLocked
from ledgerkeep.model import utc_now

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_s3.client import S3Client

Ask = Callable[[str, Callable[[], Any]], Any]
"""(What is done, the request) → its answer; failures in our own words."""
OPERATION = "LedgerkeepRecovery"
TAKEN = (
    "ConditionalCheckFailedException",
    "PreconditionFailed",
    "ConditionalRequestConflict",  # somebody else's write was under way (S3, 409)
)
_NO_SUCH = ("NoSuchKey", "404")


@dataclass(frozen=True)
class LockInfo:
    """What a lock says of its holder."""

    id: str
    path: str
    """`<bucket>/<key>` of the state."""
    operation: str
    who: str
    version: str
    created: str

    def to_json(self) -> str:
        """As Terraform reads it."""
        return json.dumps(
            {
                "ID": self.id,
                "Operation": self.operation,
                "Info": "",
                "Who": self.who,
                "Version": self.version,
                "Created": self.created,
                "Path": self.path,
            }
        )


class Lock(Protocol):
    """One place where a state is locked."""

    def take(self, info: LockInfo) -> None:
        """Take it, or take ours over; raises StateLocked."""

    def release(self, info: LockInfo) -> None:
        """Remove it where it is ours."""


@contextmanager
def locked(locks: Sequence[Lock], info: LockInfo) -> Iterator[None]:
    """Hold all of them while the block runs.

    :raises StateLocked: somebody else holds one.
    """
    with ExitStack() as held:
        for lock in locks:
            # Before it is taken: whatever ends us in between, it is released.
            held.callback(lock.release, info)
            lock.take(info)
        yield


def our_lock(environment: str, path: str) -> LockInfo:
    """What our lock on a state says."""
    return LockInfo(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"ledgerkeep:{environment}:{path}")),
        path=path,
        operation=OPERATION,
        who=f"ledgerkeep@{socket.gethostname()}",
        version=f"ledgerkeep {__version__}",
        created=utc_now().isoformat().replace("+00:00", "Z"),
    )


def attempted(send: Callable[[], Any], refusals: Sequence[str]) -> Any:
    """The answer to a request; None where it was refused with one of these codes."""
    try:
        return send()
    except ClientError as problem:
        if error_code(problem) in refusals:
            return None
        raise


@dataclass(frozen=True)
class TableLock:
    """An item of a DynamoDB table."""

    dynamodb: "DynamoDBClient" = field(repr=False)
    table: str
    path: str
    ask: Ask = field(repr=False)

    def take(self, info: LockInfo) -> None:
        """Take it, or take ours over; raises StateLocked."""
        request: dict[str, Any] = {
            "TableName": self.table,
            "Item": {"LockID": {"S": self.path}, "Info": {"S": info.to_json()}},
            "ConditionExpression": "attribute_not_exists(LockID) OR contains(Info, :ours)",
            "ExpressionAttributeValues": {":ours": {"S": info.id}},
        }
        done = self.ask(
            f"lock the state {self.path} in {self.table}",
            lambda: attempted(lambda: self.dynamodb.put_item(**request), TAKEN),
        )
        if done is None:
            raise held_by_other(self.path, self._holder())

    def release(self, info: LockInfo) -> None:
        """Remove it where it is ours."""
        request: dict[str, Any] = {
            "TableName": self.table,
            "Key": {"LockID": {"S": self.path}},
            "ConditionExpression": "contains(Info, :ours)",
            "ExpressionAttributeValues": {":ours": {"S": info.id}},
        }
        self.ask(
            f"release the lock of the state {self.path} in {self.table}",
            lambda: attempted(lambda: self.dynamodb.delete_item(**request), TAKEN),
        )

    def _holder(self) -> str:
        found = self.ask(
            f"read the lock of the state {self.path} in {self.table}",
            lambda: self.dynamodb.get_item(
                TableName=self.table, Key={"LockID": {"S": self.path}}, ConsistentRead=True
            ),
        )
        text: str = found.get("Item", {}).get("Info", {}).get("S", "")
        return text


@dataclass(frozen=True)
class FileLock:
    """An object beside the state."""

    s3: "S3Client" = field(repr=False)
    bucket: str
    key: str
    """Of the state."""
    ask: Ask = field(repr=False)

    @property
    def path(self) -> str:
        """Of the state."""
        return f"{self.bucket}/{self.key}"

    def take(self, info: LockInfo) -> None:
        """Take it, or take ours over; raises StateLocked."""
        request: dict[str, Any] = {
            "Bucket": self.bucket,
            "Key": f"{self.key}.tflock",
            "Body": info.to_json().encode(),
            "ContentType": "application/json",
            "IfNoneMatch": "*",
        }
        done = self.ask(
            f"lock the state {self.path}",
            lambda: attempted(lambda: self.s3.put_object(**request), TAKEN),
        )
        if done is None and (holder := self._holder()) and not is_of(info, holder):
            raise held_by_other(self.path, holder)
        if done is None and not holder:
            raise held_by_other(self.path, "")

    def release(self, info: LockInfo) -> None:
        """Remove it where it is ours."""
        if is_of(info, self._holder()):
            self.ask(
                f"release the lock of the state {self.path}",
                lambda: self.s3.delete_object(Bucket=self.bucket, Key=f"{self.key}.tflock"),
            )

    def _holder(self) -> str:
        def read() -> str:
            found = self.s3.get_object(Bucket=self.bucket, Key=f"{self.key}.tflock")
            return found["Body"].read().decode(errors="replace")

        return (
            self.ask(f"read the lock of the state {self.path}", lambda: attempted(read, _NO_SUCH))
            or ""
        )


def is_of(info: LockInfo, holder: str) -> bool:
    """Whether a lock that was read is this one."""
    return _parsed(holder).get("ID") == info.id


def held_by_other(path: str, holder: str) -> StateLocked:
    """Who holds it, as far as the lock says."""
    found = _parsed(holder)
    if not found:
        return StateLocked(
            f"the state {path} was locked by somebody a moment ago",
            hint="it is tried again; nothing was changed",
        )
    return StateLocked(
        f"the state {path} is locked by {found.get('Who') or 'somebody'} since "
        f"{found.get('Created') or 'an unknown time'} ({found.get('Operation') or 'no operation'})",
        hint="wait until that is done; if nobody works on it any more, "
        f"terraform force-unlock {found.get('ID', '')} in its directory",
    )


def _parsed(holder: str) -> Mapping[str, Any]:
    try:
        found = json.loads(holder)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
