"""Every version, in the store's own order, from a real store."""

from datetime import timedelta

import boto3
import pytest
from moto import mock_aws

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.errors import BucketMissing
from ledgerkeep.model import utc_now
from ledgerkeep.storage import versions
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.versions import list_versions
from tests.support.buckets import documents_bucket

pytestmark = pytest.mark.integration

ODD_KEYS = [
    "a b/c d.pdf",
    "a+b%20c.pdf",
    "ünïcode/ß日本語🙂.pdf",
    "ampersand&<tag>\"'.pdf",
    "x" * 1024,
    # A slash sorts behind a dot and before a digit, also where directories are walked.
    *("b", "b-c", "b.txt", "b/1", "b/2/3", "b0"),
]


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Bucket:
    return documents_bucket(s3, bucket)


def put(there: Bucket, key: str, body: bytes = b"x") -> str:
    """Asked again where need be: SeaweedFS refuses the longest keys now and then."""
    answer = there.ask(
        "put", lambda: there.client.put_object(Bucket=there.name, Key=key, Body=body), key=key
    )
    return answer["VersionId"]


def delete(there: Bucket, key: str) -> str:
    return there.client.delete_object(Bucket=there.name, Key=key)["VersionId"]


def test_versions_and_markers_of_one_second_come_newest_first(there: Bucket) -> None:
    began = utc_now()
    made = [
        put(there, "k", b"1"),
        delete(there, "k"),
        put(there, "k", b"three"),
        delete(there, "k"),
    ]
    found = list(list_versions(there))
    assert [one.version_id for one in found] == made[::-1]
    assert [one.is_delete_marker for one in found] == [True, False, True, False]
    assert [one.is_latest for one in found] == [True, False, False, False]
    assert [one.size for one in found] == [0, 5, 0, 1]
    assert found[1].etag == "35d6d33467aae9a2e3dccb4b6b027878"
    assert all(abs(one.modified_at - began) < timedelta(seconds=30) for one in found)


def test_keys_of_any_characters_come_as_they_are(there: Bucket) -> None:
    for key in ODD_KEYS:
        put(there, key)
    assert [one.key for one in list_versions(there)] == sorted(ODD_KEYS, key=str.encode)


def test_pages_follow_each_other_within_a_key_and_between_keys(
    there: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PAGE", 10)
    expected = []
    for name in range(3):
        made = [put(there, f"k{name}") for _ in range(13)]
        expected += [(f"k{name}", version) for version in made[::-1]]
    assert [(one.key, one.version_id) for one in list_versions(there)] == expected


def test_a_shard_is_all_keys_behind_one_up_to_another(there: Bucket) -> None:
    for key in ["a", "b", "b/1", "c", "d"]:
        put(there, key)
        put(there, key)
    shard = list_versions(there, after="b", until="c")
    assert [one.key for one in shard] == ["b/1", "b/1", "c", "c"]
    assert [one.key for one in list_versions(there, "b")] == ["b", "b", "b/1", "b/1"]


def test_missing_bucket_is_said(there: Bucket, s3: ObjectStoreServer) -> None:
    with pytest.raises(BucketMissing):
        list(list_versions(documents_bucket(s3, "no-such-bucket")))


def test_keys_that_no_file_system_takes_come_as_they_are() -> None:
    """From the AWS stand-in: the real store here refuses them."""
    keys = ["../a", "a/../b", "a/./b", "a//b", "/a", "ends/"]
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="documents")
        there = Bucket(
            name="documents",
            client=client,
            ranges=None,  # type: ignore[arg-type] - nothing is read
            encryption={},
            patience=1,
            part_size=1,
            concurrency=1,
        )
        for key in keys:
            client.put_object(Bucket="documents", Key=key, Body=b"x")
        assert [one.key for one in list_versions(there)] == sorted(keys, key=str.encode)


def test_answer_without_namespace_or_encoding_is_read_as_well() -> None:
    page = versions._read(
        b"<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a+b</NextKeyMarker>"
        b"<NextVersionIdMarker>7</NextVersionIdMarker><Version><Key>a+b</Key>"
        b"<LastModified>2026-03-01T10:00:00Z</LastModified><Size>3</Size></Version>"
        b"</ListVersionsResult>"
    )
    assert page.next_marker == {"KeyMarker": "a+b", "VersionIdMarker": "7"}
    assert (page.versions[0].key, page.versions[0].version_id) == ("a+b", "null")


def test_key_that_xml_cannot_hold_comes_url_encoded() -> None:
    page = versions._read(
        b'<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<EncodingType>url</EncodingType><DeleteMarker><Key>a%01+b%2Bc</Key>"
        b"<VersionId>1</VersionId><LastModified>2026-03-01T10:00:00.000Z</LastModified>"
        b"</DeleteMarker></ListVersionsResult>"
    )
    assert [(one.key, one.is_delete_marker) for one in page.versions] == [("a\x01 b+c", True)]
