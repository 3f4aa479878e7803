"""Document rows out of a copy of the database into production, with what they reference."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.documents.metadata.apply import RowPlan, apply_rows, plan_rows, try_documents
from ledgerkeep.documents.metadata.snapshot import read_lines
from ledgerkeep.documents.metadata.staging import Selection
from ledgerkeep.errors import OperationRunning, RecoveryError, RecoveryRejected
from tests.conftest import Cluster
from tests.documents.metadata.support import TABLE, Archive

pytestmark = pytest.mark.integration

PACKAGE = "documents_documentpackage"


@pytest.fixture
def copy(archive: Archive, cluster: Cluster) -> Iterator[ServerAddress]:
    """Production as it was with three documents, two packages and two loans."""
    archive.execute(f"INSERT INTO {PACKAGE} (loan_id, title, created_at) VALUES (2, 'B', now())")
    for number, key in enumerate(["a", "b", "docs/c"]):
        archive.store(key, key.encode())
        archive.record(key, key.encode(), package_id=1 + number % 2)
    name = f"{archive.address.database}_copy"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {archive.address.database}")
    yield archive.address.to(name)
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


class OtherDatabase(ServerAddress):
    """The copy: whatever database the policy names, this one is meant."""

    def to(self, database: str) -> ServerAddress:
        return self


def planned(archive: Archive, copy: ServerAddress, **more: Any) -> RowPlan:
    asked = {"selection": Selection(), "apply": "missing", **more}
    return plan_rows(archive.address, as_copy(copy), archive.catalog, copy_at="2026-03-01", **asked)


def as_copy(copy: ServerAddress) -> ServerAddress:
    return OtherDatabase(copy.host, copy.port, copy.user, copy.password, copy.database)


def applied(archive: Archive, copy: ServerAddress, plan: RowPlan) -> dict[str, int]:
    return apply_rows(archive.address, as_copy(copy), archive.catalog, plan)


def keys(archive: Archive) -> list[str]:
    return [key for (key,) in archive.execute(f"SELECT object_key FROM {TABLE} ORDER BY 1")]


def rows(address: ServerAddress, table: str) -> list[tuple]:
    with connect(address) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def test_lost_rows_come_back_with_everything_that_they_reference(
    archive: Archive, copy: ServerAddress
) -> None:
    tables = (TABLE, PACKAGE, "loans", "customers")
    before = {table: rows(archive.address, table) for table in tables}
    archive.execute(
        f"TRUNCATE {TABLE}, {PACKAGE}; DELETE FROM payments; DELETE FROM instalments; "
        "DELETE FROM ledger_lines; DELETE FROM ledger_entries; DELETE FROM loans WHERE id = 2; "
        "DELETE FROM customers WHERE id = 2"
    )
    plan = planned(archive, copy)
    assert plan.counts == {
        "public.customers": {"missing": 1},
        "public.loans": {"missing": 1},
        f"public.{PACKAGE}": {"missing": 2},
        f"public.{TABLE}": {"missing": 3},
    }
    assert plan.to_apply == 7
    assert applied(archive, copy, plan) == {
        "public.customers": 1,
        "public.loans": 1,
        f"public.{PACKAGE}": 2,
        f"public.{TABLE}": 3,
    }
    assert {table: rows(archive.address, table) for table in tables} == before
    # Behind the ids that were taken over.
    archive.record("new", b"new")
    tried = try_documents(archive.address, archive.bucket, archive.catalog, plan)
    assert (tried.documents, tried.unusable) == (3, [])


def test_recovery_that_is_run_again_changes_nothing(archive: Archive, copy: ServerAddress) -> None:
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    plan = planned(archive, copy)
    assert applied(archive, copy, plan) == {f"public.{TABLE}": 1}
    assert applied(archive, copy, plan) == {}
    assert planned(archive, copy).to_apply == 0


def test_only_what_the_form_names_is_applied(archive: Archive, copy: ServerAddress) -> None:
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key IN ('a', 'docs/c')")
    archive.execute(f"UPDATE {TABLE} SET content_type = 'text/plain' WHERE object_key = 'b'")
    archive.execute("UPDATE loans SET status = 'defaulted'")
    archive.upload("since", b"since")

    plan = planned(archive, copy, selection=Selection(prefix="docs/"))
    assert plan.counts == {f"public.{TABLE}": {"missing": 1}}
    applied(archive, copy, plan)
    assert keys(archive) == ["b", "docs/c", "since"]

    plan = planned(archive, copy, selection=Selection(keys=("a", "nothing")))
    applied(archive, copy, plan)
    assert keys(archive) == ["a", "b", "docs/c", "since"]

    plan = planned(archive, copy, apply="changed")
    assert plan.counts == {f"public.{TABLE}": {"changed": 1, "removed": 1}}
    (changed, _) = read_lines(archive.catalog.store, plan.rows)
    assert changed[:5] == ["changed", f"public.{TABLE}", changed[2], "b", ["content_type"]]
    assert applied(archive, copy, plan) == {f"public.{TABLE}": 1}
    assert keys(archive) == ["a", "b", "docs/c", "since"]

    plan = planned(archive, copy, apply="removed")
    assert applied(archive, copy, plan) == {f"public.{TABLE}": 1}
    assert rows(archive.address, TABLE) == rows(copy, TABLE)
    # What the application did to the loans since is its own business.
    assert archive.execute("SELECT DISTINCT status FROM loans") == [("defaulted",)]


def test_changed_package_of_a_named_document_comes_along(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"UPDATE {PACKAGE} SET title = title || '?'")
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    plan = planned(archive, copy, selection=Selection(keys=("a",)), apply="changed")
    assert plan.counts == {f"public.{PACKAGE}": {"changed": 1}, f"public.{TABLE}": {"missing": 1}}
    applied(archive, copy, plan)
    assert sorted(archive.execute(f"SELECT title FROM {PACKAGE}")) == [("B?",), ("Contract",)]


def test_document_whose_key_was_taken_meanwhile_is_left_to_a_person(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key IN ('a', 'b')")
    archive.record("a", b"uploaded again")
    plan = planned(archive, copy)
    assert plan.counts[f"public.{TABLE}"] == {"missing": 1, "conflict": 1, "removed": 1}
    assert applied(archive, copy, plan) == {f"public.{TABLE}": 1}
    assert keys(archive) == ["a", "b", "docs/c"]


def test_rows_other_than_the_approved_are_not_applied(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    plan = planned(archive, copy)
    # A document that was uploaded since does not matter; one that got lost since does.
    archive.upload("since", b"since")
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'b'")
    with pytest.raises(RecoveryRejected) as caught:
        applied(archive, copy, plan)
    assert caught.value.message == (
        "the rows that would be applied are not those that were approved: production was changed "
        "since"
    )
    assert keys(archive) == ["docs/c", "since"]


def test_row_that_production_refuses_leaves_everything_as_it_was(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"DELETE FROM {TABLE}")
    archive.execute(f"ALTER TABLE {TABLE} ADD CHECK (object_key <> 'b')")
    plan = planned(archive, copy)
    with pytest.raises(RecoveryError) as caught:
        applied(archive, copy, plan)
    assert caught.value.message.startswith(
        "production refuses a row of the copy: new row for relation "
        f'"{TABLE}" violates check constraint'
    )
    assert caught.value.message.endswith("; nothing was applied")
    assert keys(archive) == []


def test_tables_that_somebody_holds_are_not_waited_for_forever(
    archive: Archive, copy: ServerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledgerkeep.documents.metadata import staging

    monkeypatch.setattr(staging, "LOCK_TIMEOUT", "200ms")
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    plan = planned(archive, copy)
    with psycopg.connect(archive.address.conninfo()) as other:
        other.execute(f"UPDATE {TABLE} SET size_bytes = 1")
        with pytest.raises(OperationRunning):
            applied(archive, copy, plan)
    assert keys(archive) == ["b", "docs/c"]


def test_documents_that_cannot_be_read_are_named(archive: Archive, copy: ServerAddress) -> None:
    archive.execute(f"DELETE FROM {TABLE}")
    archive.delete("a")
    archive.store("b", b"B")
    plan = planned(archive, copy)
    applied(archive, copy, plan)
    tried = try_documents(archive.address, archive.bucket, archive.catalog, plan)
    assert (tried.documents, tried.unusable_count) == (3, 2)
    assert tried.unusable[0].endswith(
        "'a': its object is deleted: bring it back with document_recovery"
    )
    assert "'b': its object has the SHA-256 " in tried.unusable[1]


def test_columns_that_only_one_side_has_are_left_alone(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"ALTER TABLE {TABLE} ADD COLUMN since text DEFAULT 'new'")
    archive.execute(f"ALTER TABLE {TABLE} DROP COLUMN content_type")
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    plan = planned(archive, copy)
    assert plan.counts == {f"public.{TABLE}": {"missing": 1}}
    applied(archive, copy, plan)
    assert archive.execute(f"SELECT since FROM {TABLE} WHERE object_key = 'a'") == [("new",)]


def test_table_without_a_primary_key_is_refused(archive: Archive, copy: ServerAddress) -> None:
    archive.execute(f"ALTER TABLE {TABLE} DROP CONSTRAINT {TABLE}_pkey")
    with pytest.raises(RecoveryError) as caught:
        planned(archive, copy)
    assert caught.value.message == (
        f"table public.{TABLE} has no primary key, so its rows cannot be told apart"
    )


def test_tables_that_reference_each_other_are_refused(
    archive: Archive, copy: ServerAddress
) -> None:
    archive.execute(f"ALTER TABLE loans ADD COLUMN document bigint REFERENCES {TABLE}")
    with pytest.raises(RecoveryError, match="reference each other in a circle"):
        planned(archive, copy)


def test_plan_says_what_will_be_applied_and_what_not(archive: Archive, copy: ServerAddress) -> None:
    archive.execute(f"DELETE FROM {TABLE} WHERE object_key = 'a'")
    archive.upload("since", b"since")
    text = planned(archive, copy).describe()
    assert "Rows of **all documents** are taken out of the copy of 2026-03-01" in text
    assert f"| public.{TABLE} | missing | 1 | yes |" in text
    assert f"| public.{TABLE} | removed | 1 | no |" in text
