"""What a check found, put right where a former version has what the row tells of."""

import pytest

from ledgerkeep.documents.metadata import repair as repair_module
from ledgerkeep.documents.metadata.doubt import newest_version
from ledgerkeep.documents.metadata.repair import RepairPlan, plan_repair, repair
from ledgerkeep.documents.metadata.snapshot import read_lines
from tests.documents.metadata.support import TABLE, Archive

pytestmark = pytest.mark.integration


def planned(archive: Archive) -> RepairPlan:
    return plan_repair(archive.bucket, archive.catalog, archive.check().check)


def carried_out(archive: Archive, plan: RepairPlan) -> dict[str, int]:
    return repair(archive.address, archive.bucket, archive.catalog, plan).counts


def body(archive: Archive, key: str) -> bytes:
    answer = archive.bucket.client.get_object(Bucket=archive.bucket.name, Key=key)
    return answer["Body"].read()


def damaged(archive: Archive) -> None:
    """A document deleted, one overwritten twice, one with other metadata, and two past help."""
    archive.upload("deleted", b"deleted")
    archive.delete("deleted")
    archive.upload("same size", b"right", Metadata={"owner": "anna"})
    archive.store("same size", b"wrong")
    archive.store("same size", b"WRONG")
    archive.upload("same siz", b"x")
    archive.record("never there", b"never")
    archive.store("orphan", b"orphan")


def test_versions_that_the_rows_tell_of_are_put_back(archive: Archive) -> None:
    damaged(archive)
    rows = archive.execute(f"SELECT * FROM {TABLE} ORDER BY id")
    plan = planned(archive)
    assert (plan.repair_count, plan.person_count) == (2, 2)
    assert plan.first_persons == [
        "missing: 'never there': no version of the object has the row's content",
        "orphan: 'orphan': only a person can tell which is right",
    ]
    assert carried_out(archive, plan) == {"restored": 2}
    assert body(archive, "deleted") == b"deleted"
    assert body(archive, "same size") == b"right"
    head = archive.bucket.client.head_object(Bucket=archive.bucket.name, Key="same size")
    assert head["Metadata"] == {"owner": "anna"}
    assert archive.execute(f"SELECT * FROM {TABLE} ORDER BY id") == rows
    assert archive.check().check.found == {"missing": 1, "orphan": 1}


def test_repair_that_is_run_again_copies_nothing_twice(archive: Archive) -> None:
    damaged(archive)
    plan = planned(archive)
    assert carried_out(archive, plan) == {"restored": 2}
    newest = newest_version(archive.bucket, "deleted")
    assert carried_out(archive, plan) == {"right": 2}
    assert newest_version(archive.bucket, "deleted") == newest


def test_what_changed_since_the_plan_is_left_alone(archive: Archive) -> None:
    damaged(archive)
    plan = planned(archive)
    archive.store("deleted", b"somebody's new work")
    archive.execute(f"UPDATE {TABLE} SET size_bytes = 6 WHERE object_key = 'same size'")
    assert carried_out(archive, plan) == {"object changed": 1, "row changed": 1}
    assert body(archive, "deleted") == b"somebody's new work"
    assert body(archive, "same size") == b"WRONG"


def test_version_written_between_look_and_copy_is_not_hidden(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy itself says what may be there before it."""
    damaged(archive)
    plan = planned(archive)

    def late(bucket: object, key: str) -> object:
        newest = newest_version(archive.bucket, key)
        if key == "same size":
            archive.store("same size", b"newer than all")
        return newest

    monkeypatch.setattr(repair_module, "newest_version", late)
    assert carried_out(archive, plan) == {"restored": 1, "object changed": 1}
    assert body(archive, "same size") == b"newer than all"


def test_plan_names_every_version_that_will_be_put_back(archive: Archive) -> None:
    damaged(archive)
    plan = planned(archive)
    lines = list(read_lines(archive.catalog.store, plan.repairs))
    assert [(key, version[1]) for key, _, version, _ in lines] == [("deleted", 7), ("same size", 5)]
    assert plan.describe().startswith(
        "**2 documents** (12 bytes) get back the version whose SHA-256 their row holds, as a new "
        "version. Nothing is removed, and no row is changed. 2 findings are left to a person."
    )
    assert planned(archive).digest() != plan.digest()
