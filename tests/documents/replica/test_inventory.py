"""S3 Inventory in place of listings: manifests and files as AWS writes them, on a real store."""

import csv
import gzip
import hashlib
import io
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ledgerkeep.documents.replica import inventory as inventories
from ledgerkeep.documents.replica.inventory import (
    check_inventories,
    newest_inventory,
    sorted_versions,
)
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.summary import Summary
from ledgerkeep.errors import ObjectCorrupt, StorageError
from ledgerkeep.model import utc_now
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from tests.documents.replica.conftest import BOUNDS, EVERYTHING, Stores
from tests.documents.replica.samples import history
from tests.support.memory_store import MemoryStore

pytestmark = pytest.mark.integration

SCHEMA = (
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"
)
PREFIX = "inventory/documents/every-version/"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def deliver(
    stores: Stores,
    of: str,
    versions: Iterable[ObjectVersion],
    *,
    at: datetime,
    files: int = 3,
    prefix: str = PREFIX,
    **manifest: Any,
) -> str:
    """Write an inventory as S3 does, its rows in no order; returns the prefix of its directory."""
    rows = list(versions)
    random.Random(0).shuffle(rows)
    directory = f"{prefix}{at:%Y-%m-%dT%H-%MZ}/"
    named = []
    for number in range(files):
        body = gzip.compress(_csv(of, rows[number::files]))
        key = f"{prefix}data/{of}-{number}.csv.gz"
        stores.put(key, body)
        named.append({"key": key, "size": len(body), "MD5checksum": hashlib.md5(body).hexdigest()})
    told = {
        "sourceBucket": of,
        "destinationBucket": f"arn:aws:s3:::{stores.source.name}",
        "version": "2016-11-30",
        "creationTimestamp": str(int(at.timestamp() * 1000)),
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": named,
        **manifest,
    }
    body = json.dumps(told).encode()
    stores.put(f"{directory}manifest.json", body)
    stores.put(f"{directory}manifest.checksum", hashlib.md5(body).hexdigest().encode() + b"\n")
    return directory


def _csv(of: str, rows: list[ObjectVersion]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for one in rows:
        writer.writerow(
            [
                of,
                quote(one.key),
                one.version_id,
                str(one.is_latest).lower(),
                str(one.is_delete_marker).lower(),
                "" if one.is_delete_marker else one.size,
                f"{one.modified_at:%Y-%m-%dT%H:%M:%S}.000Z",
                one.etag,
                one.storage_class,
            ]
        )
    return text.getvalue().encode()


def newest(stores: Stores, of: str = "documents", oldest: datetime = LONG_AGO) -> Any:
    return newest_inventory(stores.source, PREFIX, of=of, oldest=oldest)


def test_rows_come_in_the_order_of_a_listing(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By runs that are merged, and merged beforehand when they are many; filtered by prefix."""
    monkeypatch.setattr(inventories, "RUN", 7)
    monkeypatch.setattr(inventories, "FAN_IN", 3)
    keys = sorted(["a b", "a+b", "a%20b", "a,b", 'a"b', "ü/1", "ü/2", *map(str, range(20))])
    versions = [version for key in keys for version in history(key, "xy-")]
    deliver(stores, "documents", versions, at=utc_now())
    assert list(sorted_versions(newest(stores), tmp_path / "whole")) == versions
    below = list(sorted_versions(newest(stores), tmp_path / "part", prefix="ü/"))
    assert [one.key for one in below] == ["ü/1"] * 3 + ["ü/2"] * 3


def test_newest_complete_inventory_is_taken(stores: Stores) -> None:
    """The manifest's checksum is written last; without it the inventory is not complete."""
    now = utc_now()
    yesterday = deliver(stores, "documents", history("k", "x"), at=now - timedelta(days=1))
    today = deliver(stores, "documents", history("k", "xy"), at=now)
    assert newest(stores).key == f"{today}manifest.json"
    stores.delete(f"{today}manifest.checksum")
    assert newest(stores).key == f"{yesterday}manifest.json"


@pytest.mark.parametrize(
    ("manifest", "what"),
    [
        ({"sourceBucket": "other"}, "is an inventory of other, not of documents"),
        ({"fileFormat": "Parquet"}, "is an inventory in Parquet"),
        ({"fileSchema": "Bucket, Key, Size"}, "is an inventory without VersionId, IsLatest"),
    ],
)
def test_inventory_that_does_not_fit_is_refused(
    stores: Stores, manifest: dict[str, Any], what: str
) -> None:
    deliver(stores, "documents", history("k", "x"), at=utc_now(), **manifest)
    with pytest.raises(StorageError, match=what):
        newest(stores)


def test_missing_and_old_inventories_are_refused(stores: Stores) -> None:
    with pytest.raises(StorageError) as refused:
        newest(stores)
    assert (
        refused.value.message == f"there is no inventory below s3://{stores.source.name}/{PREFIX}"
    )
    at = datetime(2026, 11, 1, 1, 0, tzinfo=UTC)
    directory = deliver(stores, "documents", history("k", "x"), at=at)
    with pytest.raises(StorageError) as refused:
        newest(stores, oldest=utc_now() - timedelta(days=2))
    assert refused.value.message == (
        f"s3://{stores.source.name}/{directory}manifest.json is of 2026-11-01 01:00:00Z, which is "
        "too old to tell the state of the replica"
    )
    assert refused.value.hint == (
        "find out why S3 has delivered no newer one, or raise "
        "documents.replica_consistency.inventories.max_age"
    )


@pytest.mark.parametrize("which", ["file", "manifest"])
def test_changed_inventory_is_refused_before_anything_is_compared(
    stores: Stores, tmp_path: Path, which: str
) -> None:
    directory = deliver(stores, "documents", history("k", "xyz"), at=utc_now(), files=1)
    found = newest(stores)
    if which == "file":
        key, _, _ = found.files[0]
        stores.put(key, gzip.compress(_csv("documents", history("k", "x"))))
        changed = replace(found, files=((key, *_size(stores, key), found.files[0][2]),))
        with pytest.raises(ObjectCorrupt, match="is not what S3 wrote: MD5"):
            next(sorted_versions(changed, tmp_path / "s"))
    else:
        stores.put(f"{directory}manifest.json", b"{}")
        with pytest.raises(ObjectCorrupt, match=r"manifest\.json is not what S3 wrote: MD5"):
            newest(stores)


def _size(stores: Stores, key: str) -> tuple[int]:
    answer = stores.source.client.head_object(Bucket=stores.source.name, Key=key)
    return (answer["ContentLength"],)


def test_inventories_of_both_sides_are_compared_like_listings(stores: Stores) -> None:
    """What has arrived since the inventories were written is found by the second look."""
    for key in ("missing", "arrived", "same"):
        stores.put(f"documents/{key}", b"content")
    stores.put_there("documents/same", b"content")
    now = utc_now()
    ours = list(list_versions(stores.source, "documents/"))
    theirs = list(list_versions(stores.replica))
    deliver(stores, stores.source.name, ours, at=now)
    stores.put_there("documents/arrived", b"content")
    place = (stores.source, PREFIX)
    their_place = (stores.source, f"replica-{PREFIX}")
    before = now - timedelta(hours=1)
    deliver(stores, stores.replica.name, theirs, at=before, prefix=f"replica-{PREFIX}")
    asked: list[datetime] = []

    def rules(moment: datetime) -> Rules:
        asked.append(moment)
        return EVERYTHING

    ledger = MemoryStore()
    found = check_inventories(
        replace(stores.pair, prefix="documents/"),
        (place, their_place),
        rules=rules,
        bounds=BOUNDS,
        oldest=now - timedelta(days=1),
        into=lambda: (ledger, "lines"),
        seed="run",
    )
    lines = Summary.of([found.checked]).differences(ledger)
    assert [f"{one.kind} {one.key}" for one in lines] == ["missing documents/missing"]
    assert (found.checked.tally.looked_again, found.checked.tally.settled) == (2, 1)
    # Nothing is expected that was written after the older of the two.
    assert [moment.replace(microsecond=0) for moment in asked] == [
        (now - timedelta(hours=1)).replace(microsecond=0)
    ]
    assert "1h old" in found.words(found.inventories[1].created_at + timedelta(hours=1))[1]
