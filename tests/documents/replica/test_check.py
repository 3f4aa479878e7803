"""A range of keys compared on two real stores: what is found, and what is no difference."""

import csv
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

import pytest

from ledgerkeep.documents.replica import shards as cutting
from ledgerkeep.documents.replica.check import Checked, check_shard, check_streams
from ledgerkeep.documents.replica.contents import Contents
from ledgerkeep.documents.replica.differences import Difference
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.shards import Shard, cut
from ledgerkeep.documents.replica.summary import Summary, write_manifest
from ledgerkeep.errors import ObjectCorrupt, StoreUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from tests.documents.replica.conftest import BOUNDS, EVERYTHING, Stores
from tests.support.faulty_proxy import FaultyProxy, slow_down
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration

BY_ID = replace(EVERYTHING, by_id=True)
WHOLE = Shard(1, 1)


def check(
    stores: Stores, rules: Rules = EVERYTHING, shard: Shard = WHOLE, **other: object
) -> tuple[Checked, list[str]]:
    """What one shard finds, and its lines as they were stored."""
    ledger = MemoryStore()
    checked = check_shard(
        stores.pair,
        shard,
        rules,
        other.pop("bounds", BOUNDS),  # type: ignore[arg-type]
        into=lambda: (ledger, f"lines/{secrets.token_hex(4)}"),
        seed="run",
    )
    lines = [str(one) for one in _told(checked, ledger)]
    return checked, lines


def _told(checked: Checked, ledger: MemoryStore) -> Iterator[str]:
    for one in Summary.of([checked]).differences(ledger):
        yield f"{one.kind} {one.key} ({one.how})"


def test_each_kind_of_difference_is_found_and_written_down(stores: Stores) -> None:
    for key in ("differs", "gone", "marked", "same"):
        stores.put(key, b"content")
    stores.delete("marked")
    for key in ("marked", "same"):
        stores.put_there(key, b"content")
    stores.put_there("differs", b"CONTENT")
    stores.put_there("extra", b"content")
    checked, lines = check(stores)
    assert lines == [
        "different differs (etag, looked at again)",
        "extra extra (listing, looked at again)",
        "missing gone (listing, looked at again)",
        "marker_missing marked (listing, looked at again)",
    ]
    tally = checked.tally
    assert (tally.source_versions, tally.replica_versions, tally.same) == (5, 4, 2)
    assert (tally.faults, tally.repairable, tally.missing_bytes) == (3, 3, 7)
    assert (tally.looked_again, tally.settled) == (4, 0)


def test_replica_that_is_the_same_leaves_no_object(stores: Stores) -> None:
    stores.put("k"), stores.put_there("k")
    checked, lines = check(stores)
    assert (checked.lines, lines) == (None, [])
    assert Checked.from_plain(checked.to_plain()) == checked


def test_what_is_on_its_way_is_not_missing(stores: Stores) -> None:
    stores.put("k")
    young = replace(EVERYTHING, young_from=utc_now() - timedelta(minutes=5))
    checked, lines = check(stores, young)
    assert (lines, checked.tally.young) == ([], 1)


def test_what_changed_while_the_listings_ran_is_no_difference(stores: Stores) -> None:
    """Arrived, written or removed for good between the first look and the second."""
    for key in ("arrives", "goes", "stays"):
        stores.put(key, b"content")
    source = list(list_versions(stores.source))
    replica = list(list_versions(stores.replica))

    def racing(versions: list[ObjectVersion], change: Callable[[], object]) -> Iterator:
        yield from versions
        change()

    def change() -> None:
        stores.put_there("arrives", b"content")
        gone = next(one for one in source if one.key == "goes")
        stores.source.client.delete_object(
            Bucket=stores.source.name, Key="goes", VersionId=gone.version_id
        )

    ledger = MemoryStore()
    checked = check_streams(
        stores.pair,
        (racing(source, change), iter(replica)),
        EVERYTHING,
        BOUNDS,
        into=lambda: (ledger, "lines"),
        seed="run",
    )
    assert list(_told(checked, ledger)) == ["missing stays (listing, looked at again)"]
    assert (checked.tally.looked_again, checked.tally.settled) == (3, 2)


def test_beyond_the_bound_differences_stand_as_they_were_listed(stores: Stores) -> None:
    for number in range(4):
        stores.put(f"k{number}")
    _, lines = check(stores, bounds=replace(BOUNDS, look_again=1))
    assert lines == [
        "missing k0 (listing, looked at again)",
        "missing k1 (listing)",
        "missing k2 (listing)",
        "missing k3 (listing)",
    ]


def test_contents_that_only_a_closer_look_tells_are_looked_at_beyond_the_bound(
    stores: Stores,
) -> None:
    """As with copies of ours under KMS: no ETag is that of the original."""
    for number in range(3):
        stores.put(f"k{number}", b"content", Metadata={"sha256": "aa"})
        _upload_in_parts(stores, f"k{number}", b"content", Metadata={"sha256": "aa"})
    checked, lines = check(stores, bounds=replace(BOUNDS, look_again=0))
    assert lines == []
    assert (checked.tally.looked_again, checked.tally.settled) == (3, 3)


# -- contents that ETags do not tell


def test_checksums_tell_contents_apart_where_etags_cannot(stores: Stores) -> None:
    """As with KMS; by id, as S3's own replication leaves them."""
    about = {"ChecksumAlgorithm": "SHA256"}
    stores.put("k", b"same", **about), stores.put_there("k", b"same", **about)
    ours, theirs = list(list_versions(stores.source)), list(list_versions(stores.replica))
    stores.put("k", b"damn", **about)
    there = [replace(theirs[0], version_id=ours[0].version_id, etag="another")]
    checked = _of_streams(stores, ours, there, replace(BY_ID, plain_etags=False), theirs)
    assert checked.tally.how == {"checksum sha256": 1}
    assert checked.tally.faults == 0


def _of_streams(
    stores: Stores,
    ours: list[ObjectVersion],
    theirs: list[ObjectVersion],
    rules: Rules,
    real: list[ObjectVersion],
) -> Checked:
    """Compare with ids that the replica's store did not keep: requests ask for the real ones."""
    names = {one.version_id: other.version_id for one, other in zip(theirs, real, strict=True)}

    def rename(params: dict, **_: object) -> None:
        params["VersionId"] = names.get(params.get("VersionId", ""), params.get("VersionId"))

    stores.replica.client.meta.events.register("provide-client-params.s3.HeadObject", rename)
    return check_streams(
        stores.pair,
        (ours, theirs),
        rules,
        BOUNDS,
        into=lambda: (MemoryStore(), "lines"),
        seed="run",
    )


@pytest.mark.parametrize(
    ("about", "there", "how"),
    [
        ({"ChecksumAlgorithm": "SHA256"}, {"ChecksumAlgorithm": "SHA256"}, "checksum sha256"),
        ({"Metadata": {"sha256": "aa"}}, {"Metadata": {"sha256": "aa"}}, "metadata sha256"),
        ({}, {}, "content read"),
    ],
)
def test_contents_of_other_etags_are_told_by_what_both_sides_have(
    stores: Stores, about: dict, there: dict, how: str
) -> None:
    """A multipart upload on one side: the same bytes, another ETag."""
    stores.put("k", b"content", **about)
    _upload_in_parts(stores, "k", b"content", **there)
    (ours,), (theirs,) = list_versions(stores.source), list_versions(stores.replica)
    assert ours.etag != theirs.etag
    same, told = Contents(stores.source, stores.replica, read_limit=100).same(ours, theirs)
    # The checksum of a multipart upload is one of its parts' checksums.
    assert (same, told) == (True, "content read" if how == "checksum sha256" else how)


def _upload_in_parts(stores: Stores, key: str, body: bytes, **about: object) -> None:
    client, name = stores.replica.client, stores.replica.name
    upload = client.create_multipart_upload(Bucket=name, Key=key, **about)["UploadId"]  # type: ignore[arg-type]
    checked = "ChecksumAlgorithm" in about
    algorithm = {"ChecksumAlgorithm": "SHA256"} if checked else {}
    answer = client.upload_part(
        Bucket=name, Key=key, UploadId=upload, PartNumber=1, Body=body, **algorithm
    )
    part = {"PartNumber": 1, "ETag": answer["ETag"]}
    if checked:
        part["ChecksumSHA256"] = answer["ChecksumSHA256"]
    client.complete_multipart_upload(
        Bucket=name, Key=key, UploadId=upload, MultipartUpload={"Parts": [part]}
    )


def test_contents_that_nobody_can_tell_apart_are_not_called_the_same(stores: Stores) -> None:
    stores.put("k", b"content"), _upload_in_parts(stores, "k", b"content")
    _, lines = check(stores, bounds=replace(BOUNDS, read_bytes=3))
    assert lines == ["unclear k (listing)"]
    _, lines = check(stores)
    assert lines == []


# -- failures


def test_busy_stores_are_waited_for(stores: Stores) -> None:
    stores.put("k"), stores.put("missing"), stores.put_there("k")
    with FaultyProxy(stores.ours.endpoint) as ours, FaultyProxy(stores.theirs.endpoint) as theirs:
        ours.fail(slow_down, times=2), theirs.fail(slow_down, times=2)
        pair = stores.through(ours=ours.endpoint, theirs=theirs.endpoint)
        through = replace(stores, source=pair.source, replica=pair.replica)
        _, lines = check(through)
    assert lines == ["missing missing (listing, looked at again)"]


def test_check_that_is_broken_off_leaves_no_object_and_the_next_one_starts_anew(
    stores: Stores,
) -> None:
    for number in range(3):
        stores.put(f"k{number}")
    ledger = MemoryStore()
    with FaultyProxy(stores.theirs.endpoint) as theirs:
        theirs.fail(slow_down, times=float("inf"), containing="k2")
        pair = stores.through(theirs=theirs.endpoint)
        impatient = replace(pair, replica=replace(pair.replica, patience=0.5))
        with pytest.raises(StoreUnavailable):
            check_shard(
                impatient, WHOLE, EVERYTHING, BOUNDS, into=lambda: (ledger, "x"), seed="run"
            )
    assert ledger.objects == {}
    assert len(check(stores)[1]) == 3


def test_differences_that_were_changed_after_they_were_written_are_refused(
    stores: Stores,
) -> None:
    stores.put("k")
    ledger = MemoryStore()
    checked = check_shard(
        stores.pair, WHOLE, EVERYTHING, BOUNDS, into=lambda: (ledger, "lines"), seed="run"
    )
    kept = ledger.objects["lines"]
    kept.body = kept.body.replace(b"missing", b"extra  ")
    with pytest.raises(ObjectCorrupt):
        list(Summary.of([checked]).differences(ledger))


# -- shards


@pytest.mark.parametrize("names", ["paths", "random"])
def test_shards_together_are_the_whole(
    stores: Stores, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "PAGE", 20)
    for number in range(40):
        key = f"documents/2026/{number % 12:02d}/{number}.pdf"
        stores.put(key if names == "paths" else secrets.token_hex(8))
    found = cut(stores.source, "", 4)
    assert len(found) == 4
    parts = [
        [one.key for one in list_versions(stores.source, after=part.after, until=part.until)]
        for part in found
    ]
    whole = [one.key for one in list_versions(stores.source)]
    assert [key for part in parts for key in part] == whole
    assert max(map(len, parts)) <= 25


def test_small_bucket_is_one_shard(stores: Stores) -> None:
    stores.put("k")
    assert cut(stores.source, "", 16) == [WHOLE]


# -- the manifest of what is missing


class OwnSmallFakeOfBatchOperations:
    """Stands in for S3 Batch Operations, which neither SeaweedFS nor moto have.

    It reads a manifest as S3 documents it (no header; bucket, URL-encoded key, version id) and
    copies each version, as a job with the operation S3PutObjectCopy does.
    """

    def run(self, stores: Stores, manifest: bytes) -> int:
        rows = list(csv.reader(manifest.decode().splitlines()))
        for bucket, key, version in rows:
            body = stores.source.client.get_object(
                Bucket=bucket, Key=unquote(key), VersionId=version
            )["Body"].read()
            stores.put_there(unquote(key), body)
        return len(rows)


def test_manifest_for_batch_operations_names_what_is_missing(stores: Stores) -> None:
    keys = ["a b,c.pdf", "ü+%20.pdf", 'quote".pdf', "plain"]
    for key in keys:
        stores.put(key, key.encode())
    stores.put("deleted"), stores.delete("deleted"), stores.put_there("deleted")
    ledger = MemoryStore()
    checked = check_shard(
        stores.pair, WHOLE, EVERYTHING, BOUNDS, into=lambda: (ledger, "lines"), seed="run"
    )
    found = Summary.of([checked]).differences(ledger)
    stored = write_manifest(ledger, "missing.csv", stores.source.name, found)
    assert OwnSmallFakeOfBatchOperations().run(stores, ledger.get(stored.key)) == len(keys)
    assert check(stores)[1] == ["marker_missing deleted (listing, looked at again)"]


def test_line_of_a_difference_reads_back_as_it_was() -> None:
    one = Difference("missing", "a\nb ü", "v", 3, utc_now(), how="listing")
    assert Difference.from_line(one.line().rstrip(b"\n")) == one
    assert one.line().count(b"\n") == 1
