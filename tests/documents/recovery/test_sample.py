"""Samples of a restore test: drawn fairly, restored beside, compared to the byte."""

import random
from collections import Counter
from datetime import timedelta

import pytest

from include.sandbox import objectstore
from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.recovery.copying import Copier
from ledgerkeep.documents.recovery.findings import criteria_of_sample, refuse_difference
from ledgerkeep.documents.recovery.plan import DocumentPlan
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.documents.recovery.sample import (
    Compared,
    compare,
    draw,
    plan_sample,
    seconds_behind,
)
from ledgerkeep.errors import ProofMismatch, TargetUnreachable, ValidationFailed
from ledgerkeep.model import utc_now
from tests.documents.recovery.support import Ward, at, marker, version, ward
from tests.documents.recovery.test_recovery import moment

DICE = random.Random(7)


def test_every_version_of_every_key_may_be_drawn() -> None:
    """Also what was overwritten or deleted; one of a key, never a delete marker."""
    rows = [
        marker("a", 3),
        version("a", 2, "a2"),
        version("a", 1, "a1"),
        version("b", 1, "b1"),
        marker("c", 1),
    ]
    drawn = Counter(
        one.version_id for _ in range(2_000) for one in draw(rows, 1, 100, DICE).versions
    )
    assert set(drawn) == {"a1", "a2", "b1"}
    assert drawn["b1"] == pytest.approx(1_000, rel=0.15)
    assert drawn["a1"] == pytest.approx(500, rel=0.25)
    sample = draw(rows, 10, 100, DICE)
    assert [one.key for one in sample.versions] == ["a", "b"]
    assert (sample.documents, sample.newest_at) == (3, at(3))


def test_what_is_too_large_or_cold_is_not_drawn() -> None:
    rows = [
        version("a", 1, storage_class="GLACIER"),
        version("b", 1, storage_class="STANDARD_IA"),
    ]
    assert [one.key for one in draw(rows, 9, 100, DICE).versions] == ["b"]
    assert draw(rows, 9, 9, DICE).versions == []


def compared(**other: object) -> Compared:
    fields = {
        "documents": 3,
        "size": 30,
        "source_seconds": 1.0,
        "copy_seconds": 2.0,
        "read_at": at(0),
        **other,
    }
    return Compared.model_validate(fields)


def test_sample_that_holds_meets_its_criteria() -> None:
    refuse_difference(compared(), 3)
    assert [(one["met"], one["words"]) for one in criteria_of_sample(compared(), 3)] == [
        (
            True,
            "3 of 3 documents (30 bytes) are byte for byte the versions that were restored",
        ),
        (
            True,
            "3 of 3 documents are read by their key with the content type, metadata and tags "
            "that the version has",
        ),
        (
            True,
            "reading the copies took 2.00 times as long as reading the versions, of 3 allowed",
        ),
    ]


@pytest.mark.parametrize(
    ("found", "kind", "message", "met"),
    [
        (
            compared(different=["a"], different_count=1),
            ProofMismatch,
            "1 of 3 restored documents are not the versions that they were made from: a",
            [False, True, True],
        ),
        (
            compared(altered=["b"], altered_count=1),
            ValidationFailed,
            "1 of 3 restored documents have lost metadata, content type or tags: b",
            [True, False, True],
        ),
        (
            compared(copy_seconds=4.0),
            ValidationFailed,
            "reading the restored documents took 4.00 times as long as reading the versions, "
            "more than 3",
            [True, True, False],
        ),
    ],
)
def test_sample_that_does_not_hold_is_refused(
    found: Compared, kind: type[Exception], message: str, met: list[bool]
) -> None:
    with pytest.raises(kind) as refused:
        refuse_difference(found, 3)
    assert str(refused.value).startswith(message)
    assert [one["met"] for one in criteria_of_sample(found, 3)] == met


# -- on a real store


@pytest.fixture
def there(s3: ObjectStoreServer, bucket: str) -> Ward:
    return ward(s3, bucket)


def restored(there: Ward, backups: Ward) -> tuple[DocumentPlan, Route]:
    plan, sample = plan_sample(
        there.catalog,
        there.bucket,
        backups.bucket,
        prefix="p/",
        count=10,
        largest=1 << 20,
        taken_from="primary",
        shares_identity=True,
        dice=random.Random(1),
    )
    assert [one.key for one in sample.versions] == ["p/a", "p/b"]
    into = plan.destination.removeprefix(f"{backups.bucket.location}/")
    route = Route(there.bucket, backups.bucket, into)
    there.carry_out(plan, route, copier=Copier(route, asks_head=True, locks=False))
    return plan, route


@pytest.mark.integration
def test_sample_is_restored_beside_compared_and_can_be_removed(
    there: Ward, s3: ObjectStoreServer, bucket: str
) -> None:
    """Although the documents themselves are locked."""
    objectstore.make_bucket(s3, f"{bucket}-backups")
    backups = ward(s3, f"{bucket}-backups")
    until = utc_now() + timedelta(days=3)
    there.put(
        "p/a",
        b"1",
        Metadata={"m": "1"},
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )
    there.delete("p/a")
    there.put("p/b", b"22", ContentType="application/pdf", Tagging="t=1")
    there.put("other", b"3")
    before = there.versions()

    plan, route = restored(there, backups)
    found = compare(there.catalog, plan, route, concurrency=2)

    assert (found.documents, found.size) == (2, 3)
    assert (found.different_count, found.altered_count) == (0, 0)
    assert there.versions() == before
    for one in backups.versions():
        assert one.key.startswith("development/restored-copies/")
        backups.bucket.client.delete_object(
            Bucket=backups.bucket.name, Key=one.key, VersionId=one.version_id
        )
    assert backups.versions() == []


@pytest.mark.integration
def test_other_bytes_and_lost_metadata_are_found(
    there: Ward, s3: ObjectStoreServer, bucket: str
) -> None:
    objectstore.make_bucket(s3, f"{bucket}-backups")
    backups = ward(s3, f"{bucket}-backups")
    there.put("p/a", b"1")
    there.put("p/b", b"2", Metadata={"m": "1"})
    plan, route = restored(there, backups)
    backups.put(route.into + "p/a", b"x")
    backups.put(route.into + "p/b", b"2")
    found = compare(there.catalog, plan, route, concurrency=2)
    assert (found.different, found.altered) == (["p/a"], ["p/b"])


@pytest.mark.integration
def test_bucket_without_documents_gives_no_sample(there: Ward) -> None:
    with pytest.raises(TargetUnreachable) as refused:
        restored(there, there)
    assert refused.value.message == (
        f"s3://{there.bucket.name} holds no document that could be restored"
    )


@pytest.mark.integration
def test_what_a_lost_primary_would_cost(there: Ward, s3: ObjectStoreServer, bucket: str) -> None:
    """Nothing, while the replica has the newest; without the primary nobody can tell."""
    objectstore.make_bucket(s3, f"{bucket}-replica")
    replica = ward(s3, f"{bucket}-replica")
    assert seconds_behind(there.bucket, replica.bucket, prefix="") == 0
    there.put("a", b"1")
    replica.put("a", b"1")
    away = ward(s3, bucket, endpoint="http://127.0.0.1:1", patience=0.1)
    assert seconds_behind(there.bucket, replica.bucket, prefix="") == 0
    moment(there)
    there.put("b", b"1")
    assert 0 < seconds_behind(there.bucket, replica.bucket, prefix="") < 60
    assert 0 < seconds_behind(away.bucket, replica.bucket, prefix="") < 60
