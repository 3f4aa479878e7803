"""Document rows out of a restored copy into production: planned, approved, applied, and tried.

The plan is the difference, written down row by row; what is approved is the digest of those of its
rows that will be applied. When they are, production is locked against other writers of these
tables, the difference is made once more, and only if it is the approved one it is applied: all of
it, in one transaction, what is referenced first. Nothing left to apply is success as well, so a
task that was killed after its commit can be run again.

What is applied is tried: the object of each document must be there with the row's content.

Public: `plan_rows(…) -> RowPlan`, `apply_rows(…) -> dict[str, int]`, `try_documents(…)`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

import psycopg
from psycopg import sql

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata.check import settings_of
from ledgerkeep.documents.metadata.content import ContentReader
from ledgerkeep.documents.metadata.difference import (
    APPLIED,
    Apply,
    RowLine,
    differs,
    lines,
    missing_rows,
    not_in_copy,
)
from ledgerkeep.documents.metadata.doubt import newest_version
from ledgerkeep.documents.metadata.relations import Table
from ledgerkeep.documents.metadata.rows import DocumentRow, find_rows, speaking_of
from ledgerkeep.documents.metadata.snapshot import open_lines, read_lines
from ledgerkeep.documents.metadata.staging import Selection, Staged, columns_of, staged
from ledgerkeep.errors import RecoveryError, RecoveryRejected
from ledgerkeep.model import Record, utc_now
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.port import StoredObject

ROWS = "rows.zst"
_NAMED = 20
_BATCH = 500
_EVERYTHING = 2**62


class RowPlan(Record):
    """The difference, and what of it will be applied."""

    copy_at: str
    """The moment whose data the copy holds, in words."""
    selection: Selection
    apply: Apply
    counts: dict[str, dict[str, int]]
    """Table → kind of difference → how many rows."""
    applied: str
    """SHA-256 over the rows that will be applied, and over what they hold on both sides."""
    rows: StoredObject
    """Lines: kind, table, key, object key, columns, MD5 of the copy's and of production's row."""
    first: list[str]

    @property
    def to_apply(self) -> int:
        """Rows that will be written or removed."""
        kinds = APPLIED[self.apply]
        return sum(of_table.get(kind, 0) for of_table in self.counts.values() for kind in kinds)

    def describe(self) -> str:
        """The plan as Markdown, for whoever approves it."""
        kinds = APPLIED[self.apply]
        rows = [
            f"| {table} | {kind} | {count} | {'yes' if kind in kinds else 'no'} |"
            for table, of_table in self.counts.items()
            for kind, count in sorted(of_table.items())
        ]
        return "\n".join(
            [
                f"Rows of **{self.selection}** are taken out of the copy of {self.copy_at} into "
                f"production: **{self.to_apply} rows**, in one transaction.",
                "",
                "| table | against production | rows | applied |",
                "|---|---|---|---|",
                *rows,
                "",
                *(f"- `{line}`" for line in self.first),
            ]
        )


class Tried(Record):
    """Whether the documents of the applied rows can be read."""

    documents: int
    unusable: list[str]
    """The first of those that cannot, in words."""
    unusable_count: int


def plan_rows(
    production: ServerAddress,
    copy: ServerAddress,
    catalog: Catalog,
    *,
    copy_at: str,
    selection: Selection,
    apply: Apply,
) -> RowPlan:
    """Compare, and write the difference down; nothing is changed.

    :raises PolicyError, RecoveryError, DatabaseError, StorageError:
    """
    _, rows = settings_of(catalog.policy)
    digest, counts = _Digest(apply), _Counts()
    first: list[str] = []
    key = keys.row_difference(catalog.environment, utc_now()) + ROWS
    with ExitStack() as stack:
        listed = open_lines(stack, catalog.store, key, catalog.retention("evidence"))
        changed = "changed" in APPLIED[apply]
        stage = stack.enter_context(staged(production, copy, rows, selection, changed=changed))
        with speaking_of(production, rows.table, where="documents.rows"):
            for line in lines(stage):
                listed.add(line.as_list())
                digest.take(line)
                counts.take(line)
                if len(first) < _NAMED:
                    first.append(_words(line))
        stored = listed.commit()
    return RowPlan(
        copy_at=copy_at,
        selection=selection,
        apply=apply,
        counts=counts.tables,
        applied=digest.value,
        rows=stored,
        first=first,
    )


def apply_rows(
    production: ServerAddress, copy: ServerAddress, catalog: Catalog, plan: RowPlan
) -> dict[str, int]:
    """Apply what was planned, all or nothing; returns how many rows of each table were written.

    :raises RecoveryRejected: the difference is another than the one that was approved.
    :raises RecoveryError: production's constraints refuse a row; nothing was applied.
    :raises OperationRunning: somebody holds the tables; nothing was applied.
    """
    _, rows = settings_of(catalog.policy)
    changed = "changed" in APPLIED[plan.apply]
    with (
        staged(production, copy, rows, plan.selection, changed=changed, lock=True) as stage,
        speaking_of(production, rows.table, where="documents.rows"),
        _constraints(),
    ):
        digest = _Digest(plan.apply)
        for line in lines(stage):
            digest.take(line)
        if digest.count == 0:
            return {}
        if digest.value != plan.applied:
            raise RecoveryRejected(
                "the rows that would be applied are not those that were approved: production "
                "was changed since",
                hint="start the recovery again, so that the present difference is approved",
            )
        written = _apply(stage, plan.apply)
        stage.connection.execute("COMMIT")
        return written


def try_documents(
    production: ServerAddress, bucket: Bucket, catalog: Catalog, plan: RowPlan
) -> Tried:
    """Look for the object of every document whose row was applied, and compare its content.

    :raises DatabaseError, StorageError:
    """
    _, table = settings_of(catalog.policy)
    contents = ContentReader(bucket, read_limit=_EVERYTHING)
    number = bad = 0
    first: list[str] = []
    for batch in _documents(catalog, plan):
        for key, rows in find_rows(production, table, batch).items():
            for row in rows:
                number += 1
                words = _why_unusable(contents, key, row)
                if words:
                    bad += 1
                    first += [f"row {row.id} {key!r}: {words}"][: _NAMED - len(first)]
    return Tried(documents=number, unusable=first, unusable_count=bad)


class _Digest:
    """SHA-256 over the differences that will be applied."""

    def __init__(self, apply: Apply) -> None:
        self._kinds = APPLIED[apply]
        self._digest = hashlib.sha256()
        self.count = 0

    def take(self, line: RowLine) -> None:
        if line.kind in self._kinds:
            self._digest.update(json.dumps(line.as_list()).encode() + b"\n")
            self.count += 1

    @property
    def value(self) -> str:
        return self._digest.hexdigest()


class _Counts:
    def __init__(self) -> None:
        self.tables: dict[str, dict[str, int]] = {}

    def take(self, line: RowLine) -> None:
        of_table = self.tables.setdefault(line.table, {})
        of_table[line.kind] = of_table.get(line.kind, 0) + 1


def _apply(stage: Staged, apply: Apply) -> dict[str, int]:
    kinds, written = APPLIED[apply], Counter[str]()
    for table in stage.tables:
        written[str(table)] += _insert(stage, table)
        if "changed" in kinds and table.family:
            written[str(table)] += _update(stage, table)
    if "removed" in kinds:
        for table in reversed(stage.tables):
            written[str(table)] += _delete(stage, table)
    for table in stage.tables:
        _move_sequences(stage, table)
    return {name: count for name, count in written.items() if count}


def _insert(stage: Staged, table: Table) -> int:
    return stage.connection.execute(
        sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE {}").format(
            table.identifier, columns_of(table.columns), missing_rows(stage, table)
        )
    ).rowcount


def _update(stage: Staged, table: Table) -> int:
    values = [column for column in table.columns if column not in table.key]
    if not values:
        return 0
    return stage.connection.execute(
        sql.SQL("UPDATE {} p SET {} FROM {} s WHERE {} AND {}").format(
            table.identifier,
            sql.SQL(", ").join(
                sql.SQL("{0} = s.{0}").format(sql.Identifier(column)) for column in values
            ),
            stage.stage_of(table),
            stage.key_join(table),
            differs(table),
        )
    ).rowcount


def _delete(stage: Staged, table: Table) -> int:
    return stage.connection.execute(
        sql.SQL("DELETE FROM {} p WHERE {}").format(table.identifier, not_in_copy(stage, table))
    ).rowcount


def _move_sequences(stage: Staged, table: Table) -> None:
    """Behind the greatest value in the table, and never back."""
    for column, sequence in table.sequences:
        stage.connection.execute(
            sql.SQL(
                "SELECT setval({name}::regclass, greatest.value) FROM (SELECT max({column}) AS "
                "value FROM {table}) greatest, (SELECT last_value FROM {sequence}) now "
                "WHERE greatest.value > now.last_value"
            ).format(
                name=sql.Literal(sequence),
                column=sql.Identifier(column),
                table=table.identifier,
                sequence=sql.SQL(sequence),  # quoted by the server
            )
        )


@contextmanager
def _constraints() -> Iterator[None]:
    """Tell what production's constraints refuse, for a block."""
    try:
        yield
    except psycopg.errors.IntegrityError as problem:
        said = problem.diag.message_primary or " ".join(str(problem).split())
        detail = f" ({problem.diag.message_detail})" if problem.diag.message_detail else ""
        raise RecoveryError(
            f"production refuses a row of the copy: {said}{detail}; nothing was applied",
            hint="leave the row out by naming the documents that are to be recovered, or settle "
            "it by hand first",
        ) from problem


def _documents(catalog: Catalog, plan: RowPlan) -> Iterator[list[str]]:
    """Object keys of the document rows that were written, in batches."""
    kinds = {kind for kind in APPLIED[plan.apply] if kind != "removed"}
    found = (
        line[3]
        for line in read_lines(catalog.store, plan.rows)
        if line[0] in kinds and line[3] is not None
    )
    while batch := list(islice(found, _BATCH)):
        yield batch


def _why_unusable(contents: ContentReader, key: str, row: DocumentRow) -> str:
    newest = newest_version(contents.bucket, key)
    if newest is None:
        return "there is no object"
    if newest.is_delete_marker:
        return "its object is deleted: bring it back with document_recovery"
    found = contents.content(newest)
    if found.sha256 is None:
        return "its object lies in cold storage and was not compared"
    if (found.sha256, newest.size) != (row.sha256, row.size):
        return f"its object has the SHA-256 {found.sha256}, the row says {row.sha256}"
    return ""


def _words(line: RowLine) -> str:
    about = f" {line.object_key!r}" if line.object_key is not None else ""
    columns = f" ({', '.join(line.columns)})" if line.columns else ""
    return f"{line.kind}: {line.table} {line.key}{about}{columns}"
