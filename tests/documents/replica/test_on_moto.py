"""What no store of the sandbox can do: keys it refuses, one store for both, another account."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from ledgerkeep.documents.replica import check, repair
from ledgerkeep.documents.replica.check import Pair
from ledgerkeep.documents.replica.repair import Brought, Repairer, replicate_shard
from ledgerkeep.documents.replica.shards import Shard
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.worker import WorkerSettings
from tests.documents.recovery.support import _as_aws_lists
from tests.documents.replica.conftest import EVERYTHING

ODD_KEYS = ["../a/./b//c.pdf", "..", "/leading", "ends/", "back\\slash\t.pdf", "é" * 512]
REGION = "eu-central-1"


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """A bucket and its replica on one store."""
    monkeypatch.setattr(check, "list_versions", _as_aws_lists)
    monkeypatch.setattr(repair, "list_versions", _as_aws_lists)
    with mock_aws():
        yield Pair(_bucket("documents"), _bucket("documents-replica"))


def _bucket(name: str) -> Bucket:
    client = boto3.client("s3", region_name=REGION)
    where = {"LocationConstraint": REGION}
    client.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return open_documents(
        Documents(connection_id="documents", bucket=name, region=REGION),
        load_environment("development").storage,
        WorkerSettings(store_patience=5, store_encryption="none"),
        StoreAccess(access_key="testing", secret_key="testing"),
    )


def put(bucket: Bucket, key: str, body: bytes = b"x", **about: str) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, **about)


def bring(pair: Pair, **other: bool) -> Brought:
    repairer = Repairer(pair, EVERYTHING, read_bytes=100, **other)
    return replicate_shard(repairer, Shard(1, 1), concurrency=2)[1]


def test_keys_that_are_no_paths_arrive(pair: Pair) -> None:
    for key in ODD_KEYS:
        put(pair.source, key, key.encode()[:7])
    assert bring(pair).versions == len(ODD_KEYS)
    for key in ODD_KEYS:
        answer = pair.replica.client.get_object(Bucket=pair.replica.name, Key=key)
        assert answer["Body"].read() == key.encode()[:7]
    assert bring(pair) == Brought()


def test_one_store_copies_by_itself_and_keeps_class_type_and_tags(pair: Pair) -> None:
    put(
        pair.source,
        "k",
        ContentType="application/pdf",
        Tagging="kind=contract",
        StorageClass="STANDARD_IA",
    )
    asked: list[str] = []
    pair.source.client.meta.events.register(
        "before-call.s3.GetObject", lambda **_: asked.append("read")
    )
    assert bring(pair).versions == 1
    head = pair.replica.client.head_object(Bucket=pair.replica.name, Key="k")
    assert (head["ContentType"], head["StorageClass"]) == ("application/pdf", "STANDARD_IA")
    tags = pair.replica.client.get_object_tagging(Bucket=pair.replica.name, Key="k")
    assert tags["TagSet"] == [{"Key": "kind", "Value": "contract"}]
    assert asked == []


def test_copy_into_another_account_is_given_to_its_owner(pair: Pair) -> None:
    """Its own identity may not read the source, so the bytes pass through the worker."""
    put(pair.source, "k", b"content", ContentType="application/pdf")
    sent: list[str] = []
    pair.replica.client.meta.events.register(
        "provide-client-params.s3.PutObject", lambda params, **_: sent.append(params.get("ACL"))
    )
    assert bring(pair, other_account=True).versions == 1
    assert sent == ["bucket-owner-full-control"]
    answer = pair.replica.client.get_object(Bucket=pair.replica.name, Key="k")
    assert (answer["Body"].read(), answer["ContentType"]) == (b"content", "application/pdf")


def test_version_in_cold_storage_is_named_and_holds_up_no_other(pair: Pair) -> None:
    put(pair.source, "cold", StorageClass="GLACIER"), put(pair.source, "warm")
    brought = bring(pair)
    assert (brought.failed, brought.versions) == (1, 1)
    assert brought.examples == [
        "failed: s3://documents-replica/cold lies in cold storage and cannot be read yet"
    ]
