"""Rows and objects compared, on the real servers, while both live."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.catalog import keys
from ledgerkeep.documents.metadata import check as check_module
from ledgerkeep.documents.metadata.snapshot import MetadataCheck, read_lines
from ledgerkeep.errors import DatabaseAccessDenied, PolicyError
from ledgerkeep.storage.versions import ObjectVersion, list_versions
from tests.documents.metadata.support import TABLE, Archive, limited, sha256
from tests.support.buckets import documents_bucket
from tests.support.faulty_proxy import FaultyProxy, slow_down

pytestmark = pytest.mark.integration

ODD = ["a b/c d.pdf", "a+b%20c.pdf", "ünïcode/ß日本語🙂.pdf", "a&<b>\"'.pdf", "x" * 1024,
       "b", "b-c", "b.txt", "b/1", "B", "quote'); DROP TABLE x; --"]  # fmt: skip


def found(archive: Archive, **more: Any) -> dict[str, set[str]]:
    result = archive.check(**more)
    lines = read_lines(archive.catalog.store, result.check.findings)
    kinds: dict[str, set[str]] = {}
    for line in lines:
        kinds.setdefault(line[0], set()).add(line[1])
    assert {kind: len(those) for kind, those in kinds.items()} == result.check.found
    return kinds


def test_documents_with_keys_of_any_characters_are_consistent(archive: Archive) -> None:
    """The database sorts by its own collation; here the bytes count."""
    for key in ODD:
        archive.upload(key, key.encode())
    result = archive.check()
    assert result.check.found == {}
    assert (result.check.row_count, result.check.object_count) == (len(ODD), len(ODD))
    assert result.check.compared == {"store": len(ODD)}


def test_each_inconsistency_is_found_in_its_direction(archive: Archive) -> None:
    archive.upload("good", b"good")
    archive.record("gone", b"gone")
    archive.upload("deleted", b"deleted")
    archive.delete("deleted")
    archive.store("orphan", b"orphan")
    archive.upload("longer", b"longer")
    archive.store("longer", b"longer than that")
    archive.upload("other", b"other")
    archive.store("other", b"OTHER")
    archive.store("former", b"former")
    archive.delete("former")
    assert found(archive) == {
        "missing": {"gone", "deleted"},
        "orphan": {"orphan"},
        "size": {"longer"},
        "checksum": {"other"},
    }


def test_finding_says_what_the_row_and_the_object_are(archive: Archive) -> None:
    archive.upload("other", b"other")
    archive.store("other", b"OTHER")
    (finding,) = archive.check().first
    at = f"{finding.newest.modified_at:%Y-%m-%dT%H:%M:%SZ}"
    assert finding.describe() == (
        f"checksum: row {finding.row.id} 'other': the object of {at} has 5 bytes and the SHA-256 "
        f"{sha256(b'OTHER')}; the row says 5 bytes and {sha256(b'other')}"
    )


def test_rows_that_make_no_sense_are_findings(archive: Archive) -> None:
    """A table without constraints holds anything."""
    for constraint in ("object_key", "content_sha256", "size_bytes"):
        archive.execute(f"ALTER TABLE {TABLE} ALTER {constraint} DROP NOT NULL")
    archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {TABLE}_object_key_key")
    archive.execute(f"ALTER TABLE {TABLE} ALTER content_sha256 TYPE text")
    archive.record(None, b"")
    archive.record("", b"")
    archive.upload("twice", b"1")
    archive.record("twice", b"1")
    archive.store("short", b"1")
    archive.record("short", b"1", content_sha256="abc")
    archive.store("null", b"1")
    archive.record("null", b"1", content_sha256=None)
    archive.store("endless", b"1")
    archive.record("endless", b"1", size_bytes=None)
    archive.record("nowhere\nat all", b"1", uploaded_at="infinity")
    assert found(archive) == {
        "no key": {None, ""},
        "duplicate": {"twice"},
        "no checksum": {"short", "null"},
        "no size": {"endless"},
        "missing": {"nowhere\nat all"},
    }


def test_upper_case_and_binary_checksums_are_the_same_checksums(archive: Archive) -> None:
    archive.upload("a", b"a")
    archive.execute(f"UPDATE {TABLE} SET content_sha256 = upper(content_sha256)")
    assert found(archive) == {}
    archive.execute(
        f"ALTER TABLE {TABLE} ALTER content_sha256 TYPE bytea USING decode(content_sha256, 'hex')"
    )
    assert found(archive) == {}


def test_content_comes_from_the_store_from_metadata_or_from_reading(archive: Archive) -> None:
    archive.upload("store", b"store")
    archive.upload("meta", b"meta", ChecksumAlgorithm="CRC32", Metadata={"sha256": sha256(b"meta")})
    archive.upload("read", b"read", ChecksumAlgorithm="CRC32")
    archive.upload("read-other", b"read", ChecksumAlgorithm="CRC32")
    archive.store("read-other", b"READ", ChecksumAlgorithm="CRC32")
    result = archive.check()
    assert result.check.compared == {"store": 1, "metadata": 1, "read": 2}
    assert result.check.found == {"checksum": 1}
    # It is read again when it is looked at again.
    assert result.check.read_bytes == 12


def test_reading_stops_at_its_bound_and_what_was_left_out_is_counted(archive: Archive) -> None:
    narrow = limited(archive, read_mib_per_run=1)
    for key in ("a", "b"):
        archive.upload(key, key.encode() * 700_000, ChecksumAlgorithm="CRC32")
    assert narrow.check().check.compared == {"read": 1, "limit": 1}
    # What was read and has not changed is not read again, so the other one has its turn.
    assert narrow.check().check.compared == {"unchanged": 1, "read": 1}
    assert narrow.check().check.compared == {"unchanged": 2}


def test_contents_are_asked_for_in_turn_over_the_runs(archive: Archive) -> None:
    narrow = limited(archive, compared_per_run=2)
    for key in "abc":
        archive.upload(key, key.encode())
    assert narrow.check().check.compared == {"store": 2, "later": 1}
    assert narrow.check().check.compared == {"unchanged": 2, "store": 1}
    archive.store("b", b"B")
    assert narrow.check().check.compared == {"unchanged": 2, "store": 1}
    old = limited(archive, compared_again_after=timedelta(0))
    assert old.check().check.compared == {"store": 3}


def test_log_tells_what_changed_since_the_last_run(archive: Archive) -> None:
    for key in ("stays", "changes", "goes"):
        archive.upload(key, key.encode())
    first = archive.check().check
    assert (first.since, first.added, first.removed, first.changed) == (None, 0, 0, 0)
    archive.upload("comes", b"comes")
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'goes'")
    archive.store("changes", b"changed")
    archive.execute(
        f"UPDATE {TABLE} SET content_sha256 = %s, size_bytes = 7 WHERE object_key = 'changes'",
        [sha256(b"changed")],
    )
    second = archive.check().check
    assert (second.since, second.added, second.removed, second.changed) == (first.at, 1, 1, 1)
    log = list(read_lines(archive.catalog.store, second.changes))
    assert [(kind, (before or after)[0]) for kind, before, after in log] == [
        ("changed", "changes"),
        ("added", "comes"),
        ("removed", "goes"),
    ]
    assert log[0][1][2:4] == [sha256(b"changes"), 7]
    assert log[0][2][2:4] == [sha256(b"changed"), 7]
    third = archive.check().check
    assert (third.added, third.removed, third.changed) == (0, 0, 0)


def test_upload_and_deletion_during_the_check_are_no_findings(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are of the moment at which the check began; the listing is not."""
    for key in ("a", "leaves-whole", "loses-object-first", "m"):
        archive.upload(key, key.encode())

    def busy(*arguments: Any) -> Iterator[ObjectVersion]:
        archive.upload("arrives", b"arrives")
        archive.delete("leaves-whole")
        archive.delete("loses-object-first")
        yield from list_versions(*arguments)
        archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'leaves-whole'")

    monkeypatch.setattr(check_module, "list_versions", busy)
    lenient = limited(archive, grace=timedelta(minutes=15))
    result = lenient.check()
    assert result.check.found == {}
    # Its row may still be about to go.
    assert result.check.on_its_way == 1
    monkeypatch.undo()
    assert found(archive) == {"missing": {"loses-object-first"}}


def test_object_without_a_row_is_an_orphan_only_after_the_grace(archive: Archive) -> None:
    archive.store("young", b"young")
    result = limited(archive, grace=timedelta(minutes=15)).check()
    assert (result.check.found, result.check.on_its_way) == ({}, 1)
    assert found(archive) == {"orphan": {"young"}}


def test_only_the_prefix_is_protected(archive: Archive) -> None:
    archive.upload("docs/a", b"a")
    archive.upload("other/b", b"b")
    archive.store("other/c", b"c")
    policy = archive.catalog.policy
    documents = policy.documents.model_copy(update={"prefix": "docs/"})
    archive.catalog.policy = policy.model_copy(update={"documents": documents})
    assert found(archive) == {"outside": {"other/b"}}


def test_store_that_refuses_now_and_then_is_asked_again(
    archive: Archive, s3: ObjectStoreServer
) -> None:
    for key in "abcde":
        archive.upload(key, key.encode())
    archive.store("z", b"z")
    with FaultyProxy(s3.endpoint) as proxy:
        proxy.fail(slow_down, times=2, method="HEAD")
        proxy.fail(slow_down, times=1, method="GET")
        archive.bucket = documents_bucket(s3, archive.bucket.name, endpoint=proxy.endpoint)
        assert found(archive) == {"orphan": {"z"}}


def test_table_that_is_not_there_is_the_policys_fault(archive: Archive) -> None:
    policy = archive.catalog.policy
    for field, value, said in (
        ("table", "documents", 'relation "documents" does not exist'),
        ("sha256", "digest", 'column "digest" does not exist'),
    ):
        rows = policy.documents.rows.model_copy(update={field: value})
        documents = policy.documents.model_copy(update={"rows": rows})
        archive.catalog.policy = policy.model_copy(update={"documents": documents})
        with pytest.raises(PolicyError) as caught:
            archive.check()
        assert caught.value.message == (
            f"the document rows of {rows.table} in {archive.address} cannot be read: {said}"
        )
        assert caught.value.hint == (
            "correct documents.rows in the policy: table with its schema, and its columns"
        )


def test_table_that_may_not_be_read_is_told_with_the_grant(archive: Archive) -> None:
    role = f"reader_{archive.address.database}"
    archive.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    archive.address = replace(archive.address, user=role, password="secret")
    with pytest.raises(DatabaseAccessDenied) as caught:
        archive.check()
    assert caught.value.message == (
        f"{archive.address} may not read {TABLE}: permission denied for table {TABLE}"
    )
    assert caught.value.hint == (
        f'GRANT SELECT ON {TABLE} TO "{role}", and BYPASSRLS to that role where the table has '
        "row-level security"
    )


def test_rows_that_a_policy_hides_are_refused_instead_of_making_orphans(archive: Archive) -> None:
    role = f"hidden_{archive.address.database}"
    archive.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    archive.execute(f"GRANT SELECT ON {TABLE} TO {role}")
    archive.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    archive.address = replace(archive.address, user=role, password="secret")
    with pytest.raises(DatabaseAccessDenied, match="row-level security"):
        archive.check()


def test_damaged_rows_of_the_last_run_only_cost_the_log(archive: Archive) -> None:
    archive.upload("a", b"a")
    before = archive.check().check
    client = archive.bucket.client
    client.put_object(
        Bucket=archive.catalog.policy.storage.bucket, Key=before.rows.key, Body=b"no zstd"
    )
    result = archive.check()
    assert result.check.since is None
    assert result.warnings[0].startswith("nothing is known of what changed since the last run: ")
    assert archive.check().check.since == result.check.at


def test_killed_run_leaves_nothing_that_counts(archive: Archive) -> None:
    """The next run is held against the last one that ended, and old lists of rows are removed."""
    archive.upload("a", b"a")
    first = archive.check().check
    place = keys.metadata_check("development", first.at.replace(year=2027))
    archive.catalog.store.put(f"{place}rows.zst", b"half")
    checks = [archive.check().check for _ in range(3)]
    assert checks[0].since == first.at
    listed = [one.key for one in archive.catalog.store.list("development/documents/metadata/")]
    assert [check.rows.key in listed for check in [first, *checks]] == [False, True, True, True]
    assert first.changes.key in listed


def test_check_and_its_lists_are_recorded_with_their_hashes(archive: Archive) -> None:
    archive.upload("a", b"a")
    result = archive.check()
    assert archive.catalog.read(result.key, MetadataCheck) == result.check
    for stored in (result.check.rows, result.check.changes, result.check.findings):
        assert archive.catalog.store.get(stored.key, sha256=stored.sha256) is not None
    (line,) = read_lines(archive.catalog.store, result.check.rows)
    assert json.dumps(line[0]) == '"a"'
