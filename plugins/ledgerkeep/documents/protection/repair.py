"""Carries a proposal out: one property at a time, each read back before the next is touched.

What was approved is carried out and nothing else: each property is read once more, and set only
if it still is what the approver was shown. One that already is as it should be (a task that is
tried again) is left alone. Where a change fails, those before it stand, and the error names them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.documents.protection.check import Side
from ledgerkeep.documents.protection.compare import compare
from ledgerkeep.documents.protection.proposal import Change, propose
from ledgerkeep.documents.protection.settings import Settings, is_over_tls, read_property
from ledgerkeep.documents.protection.store import Property
from ledgerkeep.errors import StorageError
from ledgerkeep.storage.patience import pauses

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_READ_BACK = 30.0
"""Seconds for which an old answer is put down to the store's own copies not having met yet."""


def apply_changes(
    changes: Sequence[Change],
    sides: Mapping[str, Side],
    made: Callable[[Change], None] = lambda change: None,
) -> list[Change]:
    """Set each property, in order; returns those that were set.

    :param sides: by the bucket's name.
    :param made: told of each change once it was read back.
    :raises StorageError: a change failed or did not hold; those before it stand and are named.
    """
    done: list[Change] = []
    for change in changes:
        side = sides[change.bucket]
        try:
            if _set(side, change):
                done.append(change)
                made(change)
        except StorageError as problem:
            before = ", ".join(f"{one.setting} of s3://{one.bucket}" for one in done)
            raise StorageError(
                f"{change.setting} of s3://{change.bucket} was not put right: {problem.message}; "
                f"of {len(changes)} changes {len(done)} were made"
                + (f" ({before})" if before else ""),
                hint=problem.hint,
            ) from problem
    return done


def _set(side: Side, change: Change) -> bool:
    """Set the property unless it is right already; whether it was set."""
    name = change.setting
    if name not in side.store.settable:
        raise StorageError(
            f"{side.store.name} is not known to take it",
            hint="on some stores the request would make or remove a bucket; set it by hand",
        )
    left = _left(side, name)
    if not left:
        return False
    if left != [change]:
        raise StorageError(
            "it is no longer what was shown when the change was approved",
            hint="start the check again with repair, and approve what it shows then",
        )
    setter = _SETTERS[name]
    side.bucket.ask(
        f"set {name}", lambda: setter(side.bucket.client, side.bucket.name, change.after)
    )
    _await(side, name)
    return True


def _left(side: Side, name: Property) -> list[Change]:
    """What there is to set, as the property is now."""
    settings = Settings(
        side.bucket.name,
        side.store,
        {name: read_property(side.bucket, side.store, name)},
        over_tls=is_over_tls(side.bucket),
    )
    lines = [one for one in compare(settings, side.wanted) if one.setting == name]
    return propose([(settings, side.wanted, lines)]).changes


def _await(side: Side, name: Property) -> None:
    """Return when the property reads back as the policy wants it."""
    until = time.monotonic() + min(_READ_BACK, side.bucket.patience)
    left = _left(side, name)
    for pause in pauses():
        if not left:
            return
        if time.monotonic() + pause > until:
            break
        time.sleep(pause)
        left = _left(side, name)
    raise StorageError(
        f"the store took it but reads back {json.dumps(left[0].before, sort_keys=True)}",
        hint="look at the property in the store's console; somebody else may be setting it too",
    )


def _set_versioning(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value)


def _set_encryption(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_encryption(
        Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [value]}
    )


def _set_object_lock(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=value)


def _set_lifecycle(client: "S3Client", bucket: str, value: Any) -> None:
    if value["Rules"]:
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=value)
    else:
        client.delete_bucket_lifecycle(Bucket=bucket)


def _set_replication(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=value)


def _set_public_access(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=value)


def _set_policy(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(value))


def _set_logging(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": value})


def _set_ownership(client: "S3Client", bucket: str, value: Any) -> None:
    client.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [value]})


_SETTERS: dict[Property, Callable[["S3Client", str, Any], None]] = {
    "versioning": _set_versioning,
    "encryption": _set_encryption,
    "object lock": _set_object_lock,
    "lifecycle": _set_lifecycle,
    "replication": _set_replication,
    "public access block": _set_public_access,
    "bucket policy": _set_policy,
    "access logging": _set_logging,
    "ownership": _set_ownership,
}
