"""The newest versions looked for in the replica: on real stores, and by what AWS tells of them."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.protection.lag import lag_of, look_for_copies
from ledgerkeep.documents.protection.versions import tally_versions
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.model import utc_now
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from tests.documents.protection.stand_in import HOME, aws, bucket_on, make_bucket
from tests.documents.protection.test_versions import protection
from tests.support.buckets import documents_bucket

__all__ = ["aws"]

pytestmark = pytest.mark.integration

COPIED_BY_US = Rules(by_id=False, plain_etags=True, young_from=utc_now())
BY_THE_STORE = Rules(by_id=True, plain_etags=True, young_from=utc_now())


@pytest.fixture
def pair(s3: ObjectStoreServer, bucket: str) -> tuple[Bucket, Bucket]:
    """The documents' bucket and an empty one for its copies."""
    name = f"{bucket}-copy"
    objectstore.make_bucket(s3, name)
    return documents_bucket(s3, bucket), documents_bucket(s3, name)


def put(there: Bucket, key: str, body: bytes) -> None:
    there.client.put_object(Bucket=there.name, Key=key, Body=body)


def sample(source: Bucket, replica: Bucket, rules: Rules = COPIED_BY_US) -> dict[str, Any]:
    tally = tally_versions(list_versions(source), protection(), now=utc_now())
    sightings = look_for_copies(source, replica, tally.newest, rules=rules, told=False)
    states = {(one.version.key, one.version.is_delete_marker): one.state for one in sightings}
    return {"states": states, "lag": lag_of(sightings, now=utc_now())}


def test_copies_are_found_by_their_content_and_markers_by_their_time(
    pair: tuple[Bucket, Bucket],
) -> None:
    source, replica = pair
    for there in pair:
        put(there, "a", b"one")
        put(there, "gone", b"two")
    for there in pair:
        there.client.delete_object(Bucket=there.name, Key="gone")
    put(source, "b", b"three")
    put(replica, "b", b"other")
    put(source, "b/longer", b"four")
    put(replica, "b/longer", b"four")

    found = sample(source, replica)

    assert found["states"] == {
        ("a", False): "copied",
        ("gone", True): "copied",
        ("gone", False): "copied",
        ("b", False): "on its way",
        ("b/longer", False): "copied",
    }
    assert [one.version.key for one in found["lag"].lacking] == ["b"]
    assert 0 <= found["lag"].seconds < 60


def test_where_ids_are_kept_another_version_of_the_same_content_is_no_copy(
    pair: tuple[Bucket, Bucket],
) -> None:
    source, replica = pair
    put(source, "a", b"one")
    put(replica, "a", b"one")
    assert sample(source, replica, BY_THE_STORE)["states"] == {("a", False): "on its way"}
    assert sample(source, source, BY_THE_STORE)["states"] == {("a", False): "copied"}


@pytest.mark.parametrize(
    ("status", "state"),
    [("COMPLETED", "copied"), ("PENDING", "on its way"), ("FAILED", "failed")],
)
def test_what_aws_tells_of_a_version_is_believed(aws: None, status: str, state: str) -> None:
    """moto replicates nothing, so AWS's answer stands here as botocore would give it."""
    client = make_bucket("documents", HOME)
    there = bucket_on(client, "documents")
    version = ObjectVersion("k", "v1", utc_now() - timedelta(hours=1))
    asked = {"Bucket": "documents", "Key": "k", "VersionId": "v1"}
    with Stubber(client) as stub:
        stub.add_response("head_object", {"ReplicationStatus": status}, asked)
        (found,) = look_for_copies(there, there, [version], rules=BY_THE_STORE, told=True)
    assert found.state == state


def test_version_that_was_removed_meanwhile_is_gone(aws: None) -> None:
    client = make_bucket("documents", HOME)
    there = bucket_on(client, "documents")
    version = ObjectVersion("k", "v1", utc_now())
    with Stubber(client) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        (found,) = look_for_copies(there, there, [version], rules=BY_THE_STORE, told=True)
    assert found.state == "gone"


def test_version_of_which_aws_tells_nothing_is_looked_for(aws: None) -> None:
    """It was written before there was a rule."""
    client = make_bucket("documents", HOME)
    client.put_bucket_versioning(Bucket="documents", VersioningConfiguration={"Status": "Enabled"})
    make_bucket("replica", HOME)
    there, replica = bucket_on(client, "documents"), bucket_on(client, "replica")
    client.put_object(Bucket="documents", Key="k", Body=b"x")
    versions = list(list_versions(there))
    (missing,) = look_for_copies(there, replica, versions, rules=BY_THE_STORE, told=True)
    assert missing.state == "on its way"
    (found,) = look_for_copies(there, there, versions, rules=BY_THE_STORE, told=True)
    assert found.state == "copied"
