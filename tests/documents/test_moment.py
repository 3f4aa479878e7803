"""Rows of a moment and the versions that they need, also where two clocks and two stores differ."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledgerkeep.documents.metadata.content import Content
from ledgerkeep.documents.metadata.rows import DocumentRow
from ledgerkeep.documents.metadata.snapshot import read_lines
from ledgerkeep.documents.moment import (
    KeyThen,
    MomentCheck,
    Rule,
    check_moment,
    refuse_lost,
    settle,
    side_by_side,
    then,
)
from ledgerkeep.documents.moment_sample import choose, remove_sample, restore_sample
from ledgerkeep.errors import ObjectMissing, ProofMismatch, ValidationFailed
from ledgerkeep.model import utc_now
from ledgerkeep.storage.versions import ObjectVersion
from tests.documents.metadata.conftest import archive  # noqa: F401
from tests.documents.metadata.support import TABLE, Archive, sha256

AT = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
RULE = Rule(AT, skew=timedelta(seconds=5), grace=timedelta(minutes=15))
A, B = "a" * 64, "b" * 64


class Told:
    """Contents by version id; what is not named is gone."""

    def __init__(self, **contents: str | None) -> None:
        self.contents = contents

    def content(self, version: ObjectVersion) -> Content:
        if version.version_id not in self.contents:
            raise ObjectMissing(f"{version.version_id} is gone")
        told = self.contents[version.version_id]
        return Content(told, "store" if told else "cold")


def version(version_id: str, seconds: float, **more: object) -> ObjectVersion:
    """A version written that many seconds after T, as S3 tells it: in whole seconds."""
    moment = (AT + timedelta(seconds=seconds)).replace(microsecond=0)
    return replace(ObjectVersion("k", version_id, moment, 10, f"e{version_id}"), **more)


def marker(seconds: float) -> ObjectVersion:
    return version("d", seconds, is_delete_marker=True, size=0, etag="")


ROW = DocumentRow("k", "1", A, 10, "2026-03-01")


@pytest.mark.parametrize(
    ("versions", "contents", "state", "needed"),
    [
        pytest.param([version("v1", -60)], {"v1": A}, "there", "v1", id="unchanged since"),
        pytest.param([version("v1", -0.4)], {"v1": A}, "there", "v1", id="in the same second"),
        pytest.param(
            [version("v2", 60), version("v1", -60)],
            {"v2": B, "v1": A},
            "there",
            "v1",
            id="overwritten after",
        ),
        pytest.param(
            [marker(60), version("v1", -60)], {"v1": A}, "there", "v1", id="deleted after"
        ),
        pytest.param([version("v1", 3)], {"v1": A}, "ahead", "v1", id="the store's clock is ahead"),
        pytest.param(
            [version("v2", 3), version("v1", -60)],
            {"v2": A, "v1": A},
            "there",
            "v1",
            id="the same content written again",
        ),
        pytest.param(
            [version("v2", -2), version("v1", -999)],
            {"v2": B, "v1": A},
            "between",
            "v1",
            id="the object is written, its row is not yet",
        ),
        pytest.param(
            [marker(-2), version("v1", -999)],
            {"v1": A},
            "between",
            "v1",
            id="the object is deleted, its row is not yet",
        ),
        pytest.param(
            [version("v2", -3600), version("v1", -9999)],
            {"v2": B, "v1": A},
            "replaced",
            "v1",
            id="overwritten long before",
        ),
        pytest.param([version("v1", 60)], {"v1": A}, "missing", None, id="written after"),
        pytest.param([version("v1", -60)], {"v1": B}, "missing", None, id="another content"),
        pytest.param([version("v1", -60)], {}, "missing", None, id="removed for good"),
        pytest.param([], {}, "missing", None, id="nothing stored"),
        pytest.param([version("v1", -60)], {"v1": None}, "unproven", "v1", id="cold"),
        pytest.param([version("v1", -60, size=9)], {"v1": A}, "missing", None, id="another size"),
    ],
)
def test_version_that_a_row_needs(
    versions: list[ObjectVersion], contents: dict[str, str | None], state: str, needed: str | None
) -> None:
    stored = next(then(versions, RULE), None)
    found = settle(ROW, stored, RULE, Told(**contents))
    assert (found.state, found.version.version_id if found.version else None) == (state, needed)


def test_row_that_says_nothing_usable_is_a_finding() -> None:
    for broken in ({"key": None}, {"sha256": "abc"}, {"sha256": None}, {"size": None}):
        assert settle(replace(ROW, **broken), None, RULE, Told()).state == "unusable"


def test_rows_and_keys_meet_and_none_is_left_out() -> None:
    rows = [replace(ROW, key=key, id=str(n)) for n, key in enumerate(["a", "c", "c", "e"])]
    stored = [KeyThen(key, None, ()) for key in ["a", "b", "c", "f"]]
    found = [(row and row.key, there and there.key) for row, there in side_by_side(rows, stored)]
    assert found == [("a", "a"), (None, "b"), ("c", "c"), ("c", "c"), ("e", None), (None, "f")]


def test_sample_is_any_of_the_proven_documents_and_the_same_for_one_run() -> None:
    lines = [[str(n), "v", 1, A, "unproven" if n % 2 else "there", True] for n in range(100)]
    first = choose(iter(lines), 10, seed="run 1")
    assert first == choose(iter(lines), 10, seed="run 1")
    assert first != choose(iter(lines), 10, seed="run 2")
    assert [int(one[0]) for one in first] == sorted(int(one[0]) for one in first)
    assert {one[4] for one in first} == {"there"}
    assert len(choose(iter(lines), 1000, seed="run 1")) == 50


# -- on the real servers


def moment(archive: Archive, at: datetime) -> MomentCheck:  # noqa: F811
    result = check_moment(archive.address, archive.bucket, archive.catalog, at=at, run="test/1")
    assert archive.catalog.read(result.key, MomentCheck) == result.check
    return result.check


def a_second_later() -> datetime:
    """The store tells whole seconds: what comes next must fall into another one."""
    began = utc_now()
    while utc_now().replace(microsecond=0) <= began + timedelta(seconds=1):
        pass
    return began + timedelta(seconds=1)


@pytest.mark.integration
def test_documents_of_a_moment_are_found_after_everything_changed(archive: Archive) -> None:  # noqa: F811
    for key in ("stays", "overwritten", "deleted"):
        archive.upload(key, key.encode())
    rows = archive.execute(f"SELECT * FROM {TABLE}")
    at = a_second_later()
    archive.store("overwritten", b"OVERWRITTEN")
    archive.delete("deleted")
    archive.store("later", b"later")
    check = moment(archive, at)
    assert (check.row_count, check.states, check.not_current) == (len(rows), {"there": 3}, 2)
    assert check.without_row == 0
    lines = list(read_lines(archive.catalog.store, check.manifest))
    assert [(line[0], line[5]) for line in lines] == [
        ("deleted", False),
        ("overwritten", False),
        ("stays", True),
    ]
    for key, version_id, *_ in lines:
        source = {"Bucket": archive.bucket.name, "Key": key, "VersionId": version_id}
        client = archive.bucket.client
        client.copy_object(Bucket=archive.bucket.name, Key=key, CopySource=source)
    assert moment(archive, at).not_current == 0
    sampled = restore_sample(archive.bucket, archive.catalog, check, run="test/1", count=10)
    assert (sampled.documents, sampled.stored_bytes) == (3, len("staysoverwrittendeleted"))
    place = "development/restored-copies/"
    assert len(list(archive.catalog.store.list(place))) == 3
    assert remove_sample(archive.catalog, "test/1") == 3
    assert list(archive.catalog.store.list(place)) == []


@pytest.mark.integration
def test_rows_whose_documents_are_lost_are_named(archive: Archive) -> None:  # noqa: F811
    archive.upload("good", b"good")
    archive.record("lost", b"lost")
    result = check_moment(
        archive.address, archive.bucket, archive.catalog, at=a_second_later(), run="test/1"
    )
    with pytest.raises(ValidationFailed) as caught:
        refuse_lost(result)
    assert caught.value.message == (
        f"1 of 2 document rows have no object as of {result.check.at.isoformat()}: "
        f"{result.first[0]}"
    )
    assert result.first[0].endswith("'lost': no version of that time is stored")


@pytest.mark.integration
def test_sample_shows_what_a_wrong_word_about_the_content_hid(archive: Archive) -> None:  # noqa: F811
    """The application's metadata says what the row says; the bytes are others."""
    archive.store("k", b"wrong", ChecksumAlgorithm="CRC32", Metadata={"sha256": sha256(b"right")})
    archive.record("k", b"right")
    check = moment(archive, a_second_later())
    assert check.compared == {"metadata": 1}
    with pytest.raises(ProofMismatch) as caught:
        restore_sample(archive.bucket, archive.catalog, check, run="test/1", count=1)
    assert f"restores to the SHA-256 {sha256(b'wrong')}" in caught.value.message
    assert remove_sample(archive.catalog, "test/1") == 1


def test_a_million_versions_of_a_key_take_the_memory_of_a_thousand() -> None:
    def versions() -> Iterator[ObjectVersion]:
        return (version(f"v{n}", -n) for n in range(100_000))

    (found,) = then(versions(), RULE)
    assert found.shown is not None
    assert found.shown.version_id == "v0"
    assert len(found.candidates) == 1_000
