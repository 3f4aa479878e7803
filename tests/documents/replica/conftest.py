"""Two stores: the documents' bucket on one, the replica on the other."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.replica.check import Bounds, Pair, versions_of
from ledgerkeep.documents.replica.repair import Repairer
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions
from tests.support.buckets import documents_bucket
from tests.support.second_store import vault_server  # noqa: F401

NEVER = datetime.max.replace(tzinfo=UTC)
EVERYTHING = Rules(by_id=False, plain_etags=True, young_from=NEVER)
BOUNDS = Bounds(look_again=100, sample=10, read_bytes=10_000_000, concurrency=4)


@dataclass
class Stores:
    """The two servers and their buckets."""

    ours: ObjectStoreServer
    theirs: ObjectStoreServer
    source: Bucket
    replica: Bucket

    @property
    def pair(self) -> Pair:
        return Pair(self.source, self.replica)

    def put(self, key: str, body: bytes = b"x", **about: Any) -> str:
        answer = self.source.client.put_object(Bucket=self.source.name, Key=key, Body=body, **about)
        return answer["VersionId"]

    def put_there(self, key: str, body: bytes = b"x", **about: Any) -> str:
        answer = self.replica.client.put_object(
            Bucket=self.replica.name, Key=key, Body=body, **about
        )
        return answer["VersionId"]

    def delete(self, key: str) -> str:
        return self.source.client.delete_object(Bucket=self.source.name, Key=key)["VersionId"]

    def repairer(self, rules: Rules = EVERYTHING, **other: Any) -> Repairer:
        return Repairer(self.pair, rules, **{"read_bytes": 10_000_000, **other})

    def through(self, *, ours: str = "", theirs: str = "") -> Pair:
        """The same pair by way of proxies."""
        return Pair(
            documents_bucket(self.ours, self.source.name, endpoint=ours),
            documents_bucket(self.theirs, self.replica.name, endpoint=theirs),
        )

    def bodies(self, bucket: Bucket, key: str) -> list[bytes | None]:
        """What a key's versions hold, oldest first; None: a delete marker."""
        return [
            None
            if one.is_delete_marker
            else bucket.client.get_object(Bucket=bucket.name, Key=key, VersionId=one.version_id)[
                "Body"
            ].read()
            for one in reversed(versions_of(bucket, key))
        ]

    def everything(self, bucket: Bucket) -> list[tuple[str, str]]:
        """Key and content of all versions, in the order of the listing."""
        return [(one.key, one.etag or "-") for one in list_versions(bucket)]


@pytest.fixture
def stores(s3: ObjectStoreServer, vault_server: ObjectStoreServer) -> Stores:  # noqa: F811
    """An empty bucket on each of two stores."""
    name = f"d-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, name)
    objectstore.make_bucket(vault_server, f"{name}-replica")
    return Stores(
        s3,
        vault_server,
        documents_bucket(s3, name),
        documents_bucket(vault_server, f"{name}-replica"),
    )
