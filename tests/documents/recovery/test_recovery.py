"""Recoveries of documents as a whole, on a real store."""

import time
from datetime import datetime, timedelta

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.recovery.copying import Copied, Copier
from ledgerkeep.documents.recovery.decide import PlannedKey
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment, ToVersion, Undelete
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.errors import ObjectCorrupt, RecoveryError, StoreUnavailable, TargetUnreachable
from ledgerkeep.model import utc_now
from ledgerkeep.storage.versions import ObjectVersion
from tests.documents.recovery.support import Ward, ward

pytestmark = pytest.mark.integration

ODD_KEYS = [
    "a b/c d.pdf",
    "a+b%20c.pdf",
    "ünïcode/ß日本語🙂.pdf",
    "ampersand&<tag>\"'?x=1#y.pdf",
    "x" * 1024,
    "tilde~!$*().pdf",
]


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Ward:
    return ward(s3, bucket)


def moment(there: Ward) -> datetime:
    """Now by the store's clock, with every later write in a later second."""
    written = there.put("~clock")
    (one,) = [one for one in there.versions("~clock") if one.version_id == written]
    while utc_now() < one.modified_at + timedelta(seconds=1.01):
        time.sleep(0.02)
    return one.modified_at


def test_bucket_is_again_what_it_was_at_the_moment(there: Ward) -> None:
    """Deleted, overwritten, deleted and written again, untouched; not what came later."""
    for key in ("p/deleted", "p/changed", "p/both", "p/same"):
        there.put(key, key.encode())
    there.put("p/gone before", b"x")
    there.delete("p/gone before")
    then = moment(there)
    there.delete("p/deleted")
    there.put("p/changed", b"worse")
    there.delete("p/both")
    there.put("p/both", b"again")
    there.put("p/gone before", b"back")
    there.put("p/new", b"new")
    before = {one.version_id for one in there.versions()}

    request = DocumentRequest(prefix="p/", goal=ToMoment(at=then))
    plan, report = there.recover(request)

    assert plan.keys == {
        "copy": 3,
        "remove": 0,
        "conflict": 0,
        "later": 2,
        "missing": 0,
        "unchanged": 1,
    }
    assert (plan.hides, plan.bytes_to_copy) == (2, 9 + 9 + 6)
    assert there.contents("p/") == {
        "p/both": b"p/both",
        "p/changed": b"p/changed",
        "p/deleted": b"p/deleted",
        "p/gone before": b"back",
        "p/new": b"new",
        "p/same": b"p/same",
    }
    assert {key: line["outcome"] for key, line in report.items()} == {
        "p/both": "copied",
        "p/changed": "copied",
        "p/deleted": "copied",
        "p/gone before": "later",
        "p/new": "later",
        "p/same": "unchanged",
    }
    assert {line["proof"] for line in report.values() if "proof" in line} == {"etag"}
    # Nothing is ever taken away.
    assert before <= {one.version_id for one in there.versions()}


def test_later_keys_go_when_that_is_asked_for(there: Ward) -> None:
    """As delete markers: then the bucket holds exactly what it held."""
    there.put("p/kept", b"1")
    then = moment(there)
    new = there.put("p/new", b"2")

    request = DocumentRequest(prefix="p/", goal=ToMoment(at=then), remove_later_keys=True)
    plan, report = there.recover(request)

    assert plan.keys["remove"] == 1
    assert there.contents("p/") == {"p/kept": b"1"}
    top, below = there.versions("p/new")
    assert top.is_delete_marker
    assert below.version_id == new
    assert report["p/new"]["new_id"] == top.version_id


def test_one_version_comes_back_by_its_id(there: Ward) -> None:
    first = there.put("p/a", b"first", Metadata={"loan": "7"}, ContentType="application/pdf")
    there.put("p/a", b"second")
    there.put("p/a longer", b"other")
    plan, _ = there.recover(DocumentRequest(keys=("p/a",), goal=ToVersion(version_id=first)))
    assert plan.total == 1
    assert there.contents() == {"p/a": b"first", "p/a longer": b"other"}


def test_only_what_was_deleted_within_the_window_comes_back(there: Ward) -> None:
    for key in ("on purpose", "by accident", "kept"):
        there.put(key, key.encode())
    there.delete("on purpose")
    began = moment(there) + timedelta(seconds=1)
    there.delete("by accident")
    request = DocumentRequest(prefix="", goal=Undelete(deleted_from=began, deleted_to=utc_now()))
    _, report = there.recover(request)
    assert sorted(there.contents()) == ["by accident", "kept", "~clock"]
    assert report["on purpose"]["because"].endswith("outside the window")


@pytest.mark.parametrize("named", [True, False])
def test_keys_of_any_characters_come_back(there: Ward, named: bool) -> None:
    for key in ODD_KEYS:
        there.put(key, key.encode()[:9])
        there.delete(key)
    chosen = {"keys": tuple(sorted(ODD_KEYS, key=str.encode))} if named else {"prefix": ""}
    there.recover(
        DocumentRequest(
            **chosen,
            goal=Undelete(deleted_from=utc_now() - timedelta(hours=1), deleted_to=utc_now()),
        )
    )
    assert there.contents() == {key: key.encode()[:9] for key in ODD_KEYS}


def test_everything_that_belongs_to_a_document_is_kept(there: Ward) -> None:
    """Content type, metadata, tags, encryption, lock and legal hold."""
    until = utc_now().replace(microsecond=0) + timedelta(days=3)
    there.put(
        "k",
        b"body",
        ContentType="application/pdf",
        ContentDisposition="attachment",
        CacheControl="no-store",
        Metadata={"loan": "4711", "name": "a b"},
        Tagging="kind=agreement&signed=yes",
        ServerSideEncryption="AES256",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
        ChecksumAlgorithm="SHA256",
    )
    client, name = there.bucket.client, there.bucket.name
    before = client.head_object(Bucket=name, Key="k")
    there.delete("k")
    there.recover(
        DocumentRequest(
            keys=("k",),
            goal=Undelete(deleted_from=utc_now() - timedelta(hours=1), deleted_to=utc_now()),
        )
    )
    after = client.head_object(Bucket=name, Key="k")
    for field in (
        "ContentType",
        "ContentDisposition",
        "CacheControl",
        "Metadata",
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ObjectLockLegalHoldStatus",
        "ServerSideEncryption",
    ):
        assert after[field] == before[field], field
    assert after["VersionId"] != before["VersionId"]
    tags = client.get_object_tagging(Bucket=name, Key="k")["TagSet"]
    assert sorted(tag["Value"] for tag in tags) == ["agreement", "yes"]


def test_what_is_written_after_the_plan_is_left_alone(there: Ward) -> None:
    there.put("a", b"1")
    there.put("b", b"1")
    then = moment(there)
    there.delete("a")
    there.delete("b")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then)))
    there.put("a", b"somebody's work")
    done = there.carry_out(plan)
    assert done.outcomes == {"conflict": 1, "copied": 1, "unchanged": 1}
    assert there.get("a") == b"somebody's work"
    assert there.get("b") == b"1"
    assert there.lines(there.report(plan))["a"]["because"].endswith("since the plan was made")


def test_what_is_written_after_the_plan_is_gone_over_when_told(there: Ward) -> None:
    there.put("a", b"1")
    then = moment(there)
    there.delete("a")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then), on_conflict="overwrite"))
    work = there.put("a", b"somebody's work")
    there.carry_out(plan)
    assert there.get("a") == b"1"
    assert work in {one.version_id for one in there.versions("a")}


def test_a_second_run_of_the_same_plan_copies_nothing(there: Ward) -> None:
    """As after a cleared task: everything is found done."""
    there.put("a", b"1")
    there.put("b", b"2")
    then = moment(there)
    there.delete("a")
    there.put("later", b"3")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then), remove_later_keys=True))
    first = there.carry_out(plan)
    versions = there.versions()
    again = there.carry_out(plan)
    assert there.versions() == versions
    assert again.outcomes == first.outcomes == {"copied": 1, "removed": 1, "unchanged": 2}
    assert (first.found_done, again.found_done) == (0, 2)


def test_copies_in_parts_are_the_same_bytes_with_all_that_belongs_to_them(there: Ward) -> None:
    body = bytes(range(256)) * 4096 * 12
    first = there.put(
        "big+1 %", body, Metadata={"m": "1"}, Tagging="t=1", ContentType="application/pdf"
    )
    there.put("big+1 %", b"small")
    plan = there.plan(DocumentRequest(keys=("big+1 %",), goal=ToVersion(version_id=first)))
    copier = Copier(there.route, asks_head=True, largest_copy=1, part=5 << 20)
    there.carry_out(plan, copier=copier)
    head = there.bucket.client.head_object(Bucket=there.bucket.name, Key="big+1 %")
    assert head["ETag"].endswith('-3"')
    assert (head["Metadata"], head["ContentType"]) == ({"m": "1"}, "application/pdf")
    assert there.bucket.client.get_object_tagging(Bucket=there.bucket.name, Key="big+1 %")[
        "TagSet"
    ] == [{"Key": "t", "Value": "1"}]
    # The parts are others than the original's: so both are read back.
    assert there.lines(there.report(plan))["big+1 %"]["proof"] == "read"
    assert there.get("big+1 %") == body


@pytest.mark.parametrize("size", [0, 10, 12 << 20])
def test_replica_gives_back_what_the_primary_has_lost(
    there: Ward, s3: ObjectStoreServer, bucket: str, size: int
) -> None:
    """Through the worker, as between two stores: hashed on the way, with all that belongs to it."""
    objectstore.make_bucket(s3, f"{bucket}-replica")
    replica = ward(s3, f"{bucket}-replica")
    body = bytes(range(251)) * (size // 251 + 1)
    replica.put("a +%", body[:size], Metadata={"m": "1"}, Tagging="t=1+2", ContentType="a/b")
    replica.put("same", b"same")
    there.put("same", b"same")
    route = Route(replica.bucket, there.bucket, shares_identity=False)
    plan, report = there.recover(
        DocumentRequest(prefix="", goal=ToMoment(at=utc_now()), source="replica"), route
    )
    assert plan.keys["unchanged"] == 1
    assert there.get("a +%") == body[:size]
    assert report["a +%"]["proof"] == "sha256"
    head = there.bucket.client.head_object(Bucket=there.bucket.name, Key="a +%")
    assert (head["Metadata"], head["ContentType"]) == ({"m": "1"}, "a/b")
    tags = there.bucket.client.get_object_tagging(Bucket=there.bucket.name, Key="a +%")["TagSet"]
    assert tags == [{"Key": "t", "Value": "1 2"}]


def test_copies_beside_the_documents_touch_none_of_them(there: Ward) -> None:
    """Into a prefix of their own, as restore tests do."""
    there.put("p/a", b"1")
    there.delete("p/a")
    route = Route(there.bucket, there.bucket, into="scratch/")
    there.recover(
        DocumentRequest(
            prefix="p/",
            goal=Undelete(deleted_from=utc_now() - timedelta(hours=1), deleted_to=utc_now()),
        ),
        route,
    )
    assert there.contents() == {"scratch/p/a": b"1"}


def test_a_plan_that_was_changed_is_not_carried_out(there: Ward) -> None:
    there.put("a", b"1")
    then = moment(there)
    there.delete("a")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then)))
    stored = there.catalog.store.objects[plan.lines.key]
    stored.body = stored.body[:-3] + b"abc"
    with pytest.raises(ObjectCorrupt):
        there.carry_out(plan)
    assert "a" not in there.contents()


def test_a_prefix_that_nothing_begins_with_is_refused(there: Ward) -> None:
    there.put("Loans/a", b"1")
    with pytest.raises(TargetUnreachable) as refused:
        there.plan(DocumentRequest(prefix="loans/", goal=ToMoment(at=utc_now())))
    assert refused.value.message == (
        f"no document of s3://{there.bucket.name} begins with 'loans/', "
        "and none ever did that is still stored"
    )


def test_a_version_that_does_not_exist_is_refused(there: Ward) -> None:
    there.put("a", b"1")
    with pytest.raises(TargetUnreachable) as refused:
        there.plan(DocumentRequest(keys=("a",), goal=ToVersion(version_id="nope")))
    assert refused.value.message == "nothing can be brought back: a: it has no version nope"


def test_one_document_that_fails_does_not_keep_the_others(there: Ward) -> None:
    """Its version is gone for good between plan and copy; a second run tries it again."""
    lost = there.put("a", b"1")
    there.put("b", b"2")
    then = moment(there)
    there.delete("a")
    there.delete("b")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then)))
    there.bucket.client.delete_object(Bucket=there.bucket.name, Key="a", VersionId=lost)
    done = there.carry_out(plan)
    assert done.outcomes == {"copied": 1, "failed": 1, "unchanged": 1}
    assert done.failures == [f"a: s3://{there.bucket.name}/a does not exist"]
    assert there.get("b") == b"2"
    assert there.carry_out(plan).failed == 1


def test_a_store_that_does_not_answer_stops_it_all(
    there: Ward, s3: ObjectStoreServer, bucket: str
) -> None:
    there.put("a", b"1")
    then = moment(there)
    there.delete("a")
    plan = there.plan(DocumentRequest(prefix="", goal=ToMoment(at=then)))
    away = ward(s3, bucket, endpoint="http://127.0.0.1:1", patience=0.1).bucket
    with pytest.raises(StoreUnavailable):
        there.carry_out(plan, Route(away, away))
    there.carry_out(plan)
    assert there.get("a") == b"1"


@pytest.mark.parametrize("on_conflict", ["leave", "overwrite"])
def test_what_is_written_in_the_last_moment_is_seen_by_the_store(
    there: Ward, on_conflict: str
) -> None:
    """After the last listing, right before the copy: its condition does not hold any more."""
    there.put("deleted", b"1")
    there.put("changed", b"1")
    then = moment(there)
    there.delete("deleted")
    there.put("changed", b"2")
    plan = there.plan(
        DocumentRequest(
            keys=("changed", "deleted"), goal=ToMoment(at=then), on_conflict=on_conflict
        )
    )
    seen: set[str] = set()

    class Meddled(Copier):
        def copy(self, one: PlannedKey, now: ObjectVersion | None) -> Copied:
            if one.key not in seen:
                seen.add(one.key)
                there.put(one.key, b"work")
            return super().copy(one, now)

    done = there.carry_out(plan, copier=Meddled(there.route, asks_head=False))
    if on_conflict == "leave":
        assert done.outcomes == {"conflict": 2}
        assert there.contents("d") == {"deleted": b"work"}
        assert there.get("changed") == b"work"
    else:
        assert done.outcomes == {"copied": 2}
        assert there.get("changed") == there.get("deleted") == b"1"


def test_what_is_written_after_a_copy_is_reported_as_overtaken(there: Ward) -> None:
    there.put("a", b"1")
    then = moment(there)
    there.delete("a")
    plan = there.plan(DocumentRequest(keys=("a",), goal=ToMoment(at=then)))
    there.carry_out(plan)
    there.put("a", b"newer")
    report = there.report(plan)
    assert (report.overtaken, report.overtaken_keys) == (["a"], 1)
    assert report.proofs == {"overtaken": 1}
    assert there.get("a") == b"newer"


def test_report_before_the_end_is_refused(there: Ward) -> None:
    there.put("a", b"1")
    then = moment(there)
    there.delete("a")
    plan = there.plan(DocumentRequest(keys=("a",), goal=ToMoment(at=then)))
    with pytest.raises(RecoveryError) as refused:
        there.report(plan)
    assert refused.value.message == f"the recovery {plan.id} was not carried out to its end"
