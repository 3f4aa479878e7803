"""AWS as moto plays it, in this process: two regions, a bucket of documents and its replica.

moto drops some of what a replication rule says (source selection, delete markers), so rules that
carry those are compared as plain values, and here it shows what a read-back is for.
"""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ledgerkeep.documents.protection.check import Side
from ledgerkeep.documents.protection.store import store_of
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.storage.bucket import Bucket
from tests.documents.protection.samples import BUCKET

HOME, AWAY = "eu-central-1", "eu-west-1"
LOGS = "access-logs-of-documents"


def bucket_on(client: Any, name: str) -> Bucket:
    """A bucket of which only the control requests are used."""
    return Bucket(
        name=name,
        client=client,
        ranges=None,  # type: ignore[arg-type] - nothing is read
        encryption={},
        patience=0.3,
        part_size=1,
        concurrency=1,
    )


def make_bucket(name: str, region: str, **more: Any) -> Any:
    """A bucket of a region; returns the region's client."""
    client = boto3.client("s3", region_name=region)
    client.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}, **more
    )
    return client


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def side(wanted: Wanted, *, region: str = HOME) -> Side:
    """A new bucket, with what the policy wants of it."""
    made = bucket_on(make_bucket(wanted.bucket, region), wanted.bucket)
    return Side(made, store_of(made), wanted)


def put(there: Side, times: int = 1) -> None:
    """Objects, so that the bucket is not empty."""
    for number in range(times):
        there.bucket.client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x")
