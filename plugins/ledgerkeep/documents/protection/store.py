"""Which S3 a bucket lies on, and which of its properties that store has at all.

A store that lacks a sub-resource need not say so. SeaweedFS takes a PUT of one that it does not
know for the creation of a bucket, and a DELETE for the deletion of the bucket. So what may be
*sent* is a list of what is known to work, per store, and a store that nobody knows gets nothing.
Reading is harmless: where a store lacks what is asked for, the answer says so.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from ledgerkeep.errors import BucketMissing, ObjectMissing
from ledgerkeep.storage.bucket import Bucket

Property = Literal[
    "versioning",
    "encryption",
    "object lock",
    "lifecycle",
    "replication",
    "public access block",
    "bucket policy",
    "access logging",
    "ownership",
]
ALL: tuple[Property, ...] = (
    "versioning",
    "encryption",
    "object lock",
    "lifecycle",
    "replication",
    "public access block",
    "bucket policy",
    "access logging",
    "ownership",
)
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True)
class Store:
    """A kind of store."""

    name: str
    """As people call it."""
    readable: frozenset[Property]
    settable: frozenset[Property]
    """Of what a PUT is known to do what it says."""
    moves_versions: bool
    """Whether lifecycle rules may move versions to another storage class."""
    tells_replication: bool
    """Whether it replicates by rules of the bucket, and tells of each version how far it is."""
    guarded: frozenset[Property] = frozenset()
    """What it tells to an administrator only, and no permission changes that."""


AWS = Store("AWS", frozenset(ALL), frozenset(ALL), moves_versions=True, tells_replication=True)
_SEAWEED: frozenset[Property] = frozenset(
    ["versioning", "encryption", "object lock", "lifecycle", "bucket policy", "ownership"]
)
SEAWEEDFS = Store(
    "SeaweedFS",
    _SEAWEED,
    _SEAWEED,
    moves_versions=False,
    tells_replication=False,
    guarded=frozenset(["encryption", "ownership"]),
)
UNKNOWN = Store(
    "this store", frozenset(ALL), frozenset(), moves_versions=True, tells_replication=False
)


def store_of(bucket: Bucket) -> Store:
    """The kind of store that answers for the bucket, by what it calls itself and where it is.

    :raises BucketMissing: it has no such bucket.
    :raises StorageError: it does not answer.
    """
    try:
        answer = bucket.ask("head bucket", lambda: bucket.client.head_bucket(Bucket=bucket.name))
    except ObjectMissing as problem:
        # An answer to HEAD has no words that would tell a bucket from an object.
        raise BucketMissing(
            f"bucket {bucket.name} does not exist at {bucket.client.meta.endpoint_url}",
            hint="create it with versions, or correct the bucket's name in the policy's documents",
        ) from problem
    server = answer["ResponseMetadata"]["HTTPHeaders"].get("server", "")
    return kind_of(server, bucket.client.meta.endpoint_url)


def kind_of(server: str, endpoint: str) -> Store:
    """The kind of store.

    :param server: what its answers carry as `Server`.
    """
    if server.startswith("SeaweedFS"):
        return SEAWEEDFS
    if server == "AmazonS3" or (urlsplit(endpoint).hostname or "").endswith(_AWS_DOMAINS):
        return AWS
    return UNKNOWN
