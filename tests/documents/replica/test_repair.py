"""Keys of a replica on another store, brought up to date, whatever happens on the way."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from ledgerkeep.documents.recovery.copying import Copier
from ledgerkeep.documents.replica.check import versions_of
from ledgerkeep.documents.replica.differences import Tally
from ledgerkeep.documents.replica.merge import merge
from ledgerkeep.documents.replica.repair import Brought, Repairer, replicate_shard
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.shards import Shard
from ledgerkeep.errors import StoreUnavailable
from ledgerkeep.model import utc_now
from ledgerkeep.storage.versions import list_versions
from tests.conftest import ROOT
from tests.documents.replica.conftest import EVERYTHING, Stores
from tests.support.faulty_proxy import FaultyProxy, answer_lost, slow_down

pytestmark = pytest.mark.integration

WHOLE = Shard(1, 1)
# SeaweedFS fails at conditional writes of a path component of more than about 240 bytes.
ODD_KEYS = [
    "a b/c d.pdf",
    "a+b%20c.pdf",
    "ünïcode/ß日本語🙂.pdf",
    "a&<tag>\"'.pdf",
    "/".join(["x" * 200] * 5) + "y" * 20,
]


def replicate(stores: Stores, repairer: Repairer | None = None) -> tuple[Tally, Brought]:
    return replicate_shard(repairer or stores.repairer(), WHOLE, concurrency=4)


def test_everything_arrives_in_order_with_all_that_belongs_to_it(stores: Stores) -> None:
    until = (utc_now() + timedelta(days=1)).replace(microsecond=0)
    stores.put("loan/a.pdf", b"first", ContentType="application/pdf", Metadata={"loan": "7"})
    stores.put("loan/a.pdf", b"second", CacheControl="private", Tagging="kind=contract&state=x%20y")
    stores.delete("loan/a.pdf")
    locked = stores.put(
        "loan/b.pdf",
        b"locked",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
        ChecksumAlgorithm="SHA256",
    )
    assert locked

    tally, brought = replicate(stores)

    assert (tally.source_versions, tally.replica_versions) == (4, 0)
    assert (brought.keys, brought.versions, brought.markers) == (2, 3, 1)
    assert brought.bytes == len(b"firstsecondlocked")
    assert stores.bodies(stores.replica, "loan/a.pdf") == [b"first", b"second", None]
    client, name = stores.replica.client, stores.replica.name
    marker, second, first = versions_of(stores.replica, "loan/a.pdf")
    assert marker.is_latest
    head = client.head_object(Bucket=name, Key="loan/a.pdf", VersionId=first.version_id)
    assert (head["ContentType"], head["Metadata"]) == ("application/pdf", {"loan": "7"})
    head = client.head_object(Bucket=name, Key="loan/a.pdf", VersionId=second.version_id)
    assert head["CacheControl"] == "private"
    tags = client.get_object_tagging(Bucket=name, Key="loan/a.pdf", VersionId=second.version_id)
    assert sorted((tag["Key"], tag["Value"]) for tag in tags["TagSet"]) == [
        ("kind", "contract"),
        ("state", "x y"),
    ]
    head = client.head_object(Bucket=name, Key="loan/b.pdf")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    assert head["ObjectLockLegalHoldStatus"] == "ON"


def test_second_run_copies_nothing_and_a_third_only_what_changed(stores: Stores) -> None:
    for key in ODD_KEYS:
        stores.put(key, b"one")
    assert replicate(stores)[1].versions == len(ODD_KEYS)
    assert replicate(stores)[1] == Brought()
    stores.put(ODD_KEYS[0], b"two")
    stores.delete(ODD_KEYS[1])
    brought = replicate(stores)[1]
    assert (brought.keys, brought.versions, brought.markers) == (2, 1, 1)
    assert stores.everything(stores.replica) == stores.everything(stores.source)


def test_large_object_passes_in_parts(stores: Stores) -> None:
    """More than two parts of 5 MiB; its ETag differs, its content does not."""
    body = os.urandom(12_000_000)
    stores.put("large", body)
    pair = stores.pair
    small_parts = replace(pair, replica=replace(pair.replica, part_size=5 * 1024 * 1024))
    repairer = Repairer(small_parts, EVERYTHING, read_bytes=40_000_000)
    brought = replicate(stores, repairer)[1]
    assert (brought.versions, brought.bytes) == (1, 12_000_000)
    assert stores.bodies(stores.replica, "large") == [body]
    assert "-" in versions_of(stores.replica, "large")[0].etag
    assert replicate(stores, repairer)[1] == Brought(keys=1)


def test_what_is_missing_in_the_middle_takes_along_what_followed(stores: Stores) -> None:
    stores.put("k", b"1"), stores.put("k", b"2"), stores.put("k", b"3")
    stores.put_there("k", b"1"), stores.put_there("k", b"3")
    replicate(stores)
    assert stores.bodies(stores.replica, "k") == [b"1", b"3", b"2", b"3"]
    assert replicate(stores)[1] == Brought()


def test_nothing_that_only_the_replica_has_is_touched(stores: Stores) -> None:
    """Extra keys stay; a key that somebody else writes to is left alone, and named."""
    stores.put_there("extra", b"theirs")
    stores.put("shared", b"ours"), stores.put_there("shared", b"written after a failover")
    brought = replicate(stores)[1]
    assert (brought.diverged, brought.versions) == (1, 0)
    assert brought.examples == ["diverged: shared"]
    assert stores.bodies(stores.replica, "extra") == [b"theirs"]
    assert stores.bodies(stores.replica, "shared") == [b"written after a failover"]


def test_answers_that_are_lost_and_a_busy_store_make_no_copy_twice(stores: Stores) -> None:
    for number in range(6):
        stores.put(f"k{number}", b"1"), stores.put(f"k{number}", b"2"), stores.delete(f"k{number}")
    with FaultyProxy(stores.ours.endpoint) as ours, FaultyProxy(stores.theirs.endpoint) as theirs:
        ours.fail(slow_down, times=3, method="GET")
        theirs.fail(answer_lost, times=4, method="PUT")
        theirs.fail(slow_down, times=2, method="PUT")
        theirs.fail(answer_lost, times=3, method="DELETE")
        pair = stores.through(ours=ours.endpoint, theirs=theirs.endpoint)
        replicate(stores, Repairer(pair, EVERYTHING, read_bytes=0))
    assert stores.everything(stores.replica) == stores.everything(stores.source)


def test_store_that_stays_away_ends_the_run_which_the_next_one_finishes(stores: Stores) -> None:
    for number in range(4):
        stores.put(f"k{number}", b"x")
    with FaultyProxy(stores.theirs.endpoint) as theirs:
        theirs.fail(slow_down, times=float("inf"), method="PUT", containing="k2")
        pair = stores.through(theirs=theirs.endpoint)
        impatient = replace(pair, replica=replace(pair.replica, patience=0.5))
        with pytest.raises(StoreUnavailable):
            replicate(stores, Repairer(impatient, EVERYTHING, read_bytes=0))
    replicate(stores)
    assert stores.everything(stores.replica) == stores.everything(stores.source)


def test_damaged_bytes_are_not_copied_and_hold_up_no_other_key(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.put("bad", b"what was written"), stores.put("good", b"fine")
    read = Copier._read

    def damaged(self: Copier, one, *span):
        body, head = read(self, one, *span)
        return (body.replace(b"w", b"W"), head) if one.key == "bad" else (body, head)

    monkeypatch.setattr(Copier, "_read", damaged)
    brought = replicate(stores)[1]
    assert (brought.failed, brought.versions) == (1, 1)
    assert "bad is not what was written" in brought.examples[0]
    assert versions_of(stores.replica, "bad") == []


_KILLED = """
import json, sys
from pathlib import Path
from include.sandbox.objectstore import Credentials, ObjectStore
from ledgerkeep.documents.replica.check import Pair
from ledgerkeep.documents.replica.repair import Repairer, replicate_shard
from tests.documents.replica.conftest import EVERYTHING
from tests.documents.replica.test_repair import WHOLE
from tests.support.buckets import documents_bucket
sides = [
    documents_bucket(ObjectStore(one["endpoint"], Credentials(*one["user"]), None), one["bucket"])
    for one in json.loads(sys.stdin.read())
]
replicate_shard(Repairer(Pair(*sides), EVERYTHING, read_bytes=0), WHOLE, concurrency=2)
"""


def test_run_that_is_killed_again_and_again_copies_nothing_twice(stores: Stores) -> None:
    for number in range(30):
        stores.put(f"k{number}", b"1"), stores.put(f"k{number}", b"2")
    sides = [
        {
            "endpoint": server.endpoint,
            "user": [server.user.access_key, server.user.secret_key],
            "bucket": bucket.name,
        }
        for server, bucket in ((stores.ours, stores.source), (stores.theirs, stores.replica))
    ]
    killed_at = []
    for enough in (5, 25):
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])},
            stdin=subprocess.PIPE,
        )
        assert process.stdin
        process.stdin.write(json.dumps(sides).encode())
        process.stdin.close()
        while len(stores.everything(stores.replica)) < enough and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at.append(len(stores.everything(stores.replica)))
    assert killed_at[-1] < 60
    replicate(stores)
    assert stores.everything(stores.replica) == stores.everything(stores.source)


def test_version_with_another_id_is_what_a_repair_leaves(stores: Stores) -> None:
    """Where ids are kept by the store, a copy of ours has one of its own; its content is there."""
    by_id = Rules(by_id=True, plain_etags=True, young_from=EVERYTHING.young_from)
    stores.put("k", b"1")
    repairer = stores.repairer(by_id)
    assert repairer.bring("k").versions == 1
    assert repairer.bring("k") == Brought(keys=1)
    sides = list_versions(stores.source), list_versions(stores.replica)
    (found,) = merge(*sides, by_id, Tally())
    assert [one.kind for one in found.found] == ["other_id"]
