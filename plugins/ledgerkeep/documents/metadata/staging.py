"""A restored copy's document rows in temporary tables of production, to be compared there.

The copy's rows are carried over, as a stream, into temporary tables of one session in production:
there the server itself compares, with its own types and its own keys, and nothing has to fit into
a worker. Temporary tables are seen by nobody else and are gone with the transaction.

Of the family (the policy's tables) all rows are carried over, or those that belong to the keys that
were asked for. Of tables that are only referenced, such as loans, a row is carried over when it is
needed and missing: what the application did to existing ones since is none of our business.

Public: `staged(production, copy, rows, selection, …)`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.documents.metadata.relations import Reference, Table, document_tables, oid_of
from ledgerkeep.documents.metadata.rows import name_of, session, speaking_of
from ledgerkeep.errors import RecoveryError
from ledgerkeep.model import Record
from ledgerkeep.policy.documents import DocumentTable

LOCK_TIMEOUT = "60s"
"""How long other writers of the tables are waited for."""
_AT_ONCE = 5_000


class Selection(Record):
    """Which documents are meant: some keys, a prefix, or neither: all."""

    keys: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def all(self) -> bool:
        """Whether every row is meant."""
        return not self.keys and not self.prefix

    def __str__(self) -> str:
        if self.keys:
            return f"{len(self.keys)} named documents"
        return (
            f"documents whose key begins with {self.prefix!r}" if self.prefix else "all documents"
        )


@dataclass(frozen=True)
class Staged:
    """A transaction in production that holds the copy's rows in temporary tables."""

    connection: psycopg.Connection
    tables: list[Table]
    """Referenced tables first; the columns are those that both sides have."""
    documents: Table
    rows: DocumentTable
    selection: Selection

    def stage_of(self, table: Table) -> sql.Identifier:
        """The temporary table with the copy's rows of a table."""
        return sql.Identifier("pg_temp", f"ledgerkeep_{table.oid}")

    def meant(self, alias: str = "") -> sql.Composable:
        """A document row is one of those that were asked for."""
        key = self.rows.key
        column = sql.Identifier(alias, key) if alias else sql.Identifier(key)
        if self.selection.keys:
            return sql.SQL("{}::text = ANY({})").format(
                column, sql.Literal(list(self.selection.keys))
            )
        if self.selection.prefix:
            return sql.SQL("starts_with({}::text, {})").format(
                column, sql.Literal(self.selection.prefix)
            )
        return sql.SQL("true")

    def key_join(self, table: Table) -> sql.Composed:
        """`s` and `p` are the same row."""
        return all_of(
            sql.SQL("s.{0} = p.{0}").format(sql.Identifier(column)) for column in table.key
        )


@contextmanager
def staged(
    production: ServerAddress,
    copy: ServerAddress,
    rows: DocumentTable,
    selection: Selection,
    *,
    changed: bool,
    lock: bool = False,
) -> Iterator[Staged]:
    """Carry the copy's rows over for a block; the transaction is rolled back at its end.

    :param production: address of the server that is to be compared with.
    :param copy: address of the restored copy.
    :param changed: whether changed rows will be applied: what they reference is needed, too.
    :param lock: keep everybody else from writing to the family until the end.
    :raises PolicyError, RecoveryError, DatabaseError:
    """
    with session(production, rows) as here, session(copy, rows) as there:
        here.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        there.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if lock:
            _lock(here, rows)
        tables = _common(document_tables(here, rows), document_tables(there, rows))
        documents = next(table for table in tables if table.oid == oid_of(here, rows.table))
        stage = Staged(here, tables, documents, rows, selection)
        with speaking_of(production, rows.table, where="documents.rows"):
            _carry_over(stage, there, changed=changed)
        try:
            yield stage
        finally:
            if not here.closed:
                here.execute("ROLLBACK")


# -- carrying over


def _carry_over(stage: Staged, there: psycopg.Connection, *, changed: bool) -> None:
    for table in stage.tables:
        stage.connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
            ).format(
                sql.Identifier(f"ledgerkeep_{table.oid}"),
                columns_of(table.columns),
                table.identifier,
            )
        )
    # What references comes first here: only then is it known what is needed.
    for table in reversed(stage.tables):
        if table == stage.documents:
            _copy_rows(stage, there, table, stage.meant())
        elif table.family and stage.selection.all:
            _copy_rows(stage, there, table, sql.SQL("true"))
        _finish(stage, table)
        for reference in table.references:
            target = next(one for one in stage.tables if one.oid == reference.target)
            if target != table and not (target.family and stage.selection.all):
                _copy_needed(stage, there, table, reference, target, changed=changed)


def _finish(stage: Staged, table: Table) -> None:
    """Each row once, and statistics for the joins."""
    place = stage.stage_of(table)
    stage.connection.execute(
        sql.SQL("DELETE FROM {0} a USING {0} b WHERE a.ctid > b.ctid AND ({1}) = ({2})").format(
            place, columns_of(table.key, "a"), columns_of(table.key, "b")
        )
    )
    stage.connection.execute(
        sql.SQL("CREATE UNIQUE INDEX ON {} ({})").format(place, columns_of(table.key))
    )
    stage.connection.execute(sql.SQL("ANALYZE {}").format(place))


def _copy_rows(
    stage: Staged, there: psycopg.Connection, table: Table, condition: sql.Composable
) -> None:
    """Stream rows of the copy into their temporary table."""
    columns = columns_of(table.columns)
    out = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT").format(
        columns, table.identifier, condition
    )
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(stage.stage_of(table), columns)
    with (
        there.cursor() as source,
        stage.connection.cursor() as sink,
        source.copy(out) as read,
        sink.copy(into) as write,
    ):
        for chunk in read:
            write.write(chunk)


def _copy_needed(
    stage: Staged,
    there: psycopg.Connection,
    table: Table,
    reference: Reference,
    target: Table,
    *,
    changed: bool,
) -> None:
    """Rows of `target` that staged rows reference: all of the family, else those missing here."""
    wanted = _referenced(stage, table, reference, target, changed=changed)
    with stage.connection.cursor(name="ledgerkeep_needed") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(wanted)
        for batch in _batches(cursor):
            values = sql.SQL(", ").join(
                sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, row))) for row in batch
            )
            condition = sql.SQL("({}) IN ({})").format(
                sql.SQL(", ").join(
                    sql.SQL("{}::text").format(sql.Identifier(column))
                    for column in reference.target_columns
                ),
                values,
            )
            _copy_rows(stage, there, target, condition)


def _referenced(
    stage: Staged, table: Table, reference: Reference, target: Table, *, changed: bool
) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("s.{}::text").format(sql.Identifier(column)) for column in reference.columns
    )
    given = all_of(
        sql.SQL("s.{} IS NOT NULL").format(sql.Identifier(column)) for column in reference.columns
    )
    absent: sql.Composable = sql.SQL("true")
    if not target.family:
        same = all_of(
            sql.SQL("t.{} = s.{}").format(sql.Identifier(theirs), sql.Identifier(ours))
            for ours, theirs in zip(reference.columns, reference.target_columns, strict=True)
        )
        absent = sql.SQL("NOT EXISTS (SELECT FROM {} t WHERE {})").format(target.identifier, same)
    # A row that is not going to be applied needs nothing.
    due = sql.SQL("p.ctid IS NULL") if not changed else sql.SQL("true")
    return sql.SQL(
        "SELECT DISTINCT {columns} FROM {stage} s LEFT JOIN {table} p ON {same} "
        "WHERE {given} AND {absent} AND {due}"
    ).format(
        columns=columns,
        stage=stage.stage_of(table),
        table=table.identifier,
        same=stage.key_join(table),
        given=given,
        absent=absent,
        due=due,
    )


def _common(here: Sequence[Table], there: Sequence[Table]) -> list[Table]:
    """Production's tables with the columns that the copy has, too.

    :raises RecoveryError: the copy lacks a table, or its primary key is another.
    """
    by_name = {str(table): table for table in there}
    common = []
    for table in here:
        other = by_name.get(str(table))
        if other is None or other.key != table.key:
            what = "is not in" if other is None else "has another primary key in"
            raise RecoveryError(
                f"table {table} {what} the restored copy",
                hint="the schema was changed since; restore a later moment, or take the rows over "
                "by hand",
            )
        columns = tuple(column for column in table.columns if column in other.columns)
        common.append(replace(table, columns=columns))
    return common


def _lock(connection: psycopg.Connection, rows: DocumentTable) -> None:
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
    names = sql.SQL(", ").join(name_of(name) for name in (rows.table, *rows.related))
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))


def columns_of(names: Iterable[str], alias: str = "") -> sql.Composed:
    """Columns, quoted, with a comma between them."""
    return sql.SQL(", ").join(
        sql.Identifier(alias, name) if alias else sql.Identifier(name) for name in names
    )


def all_of(conditions: Iterable[sql.Composable]) -> sql.Composed:
    """Conditions that all hold."""
    return sql.SQL(" AND ").join(conditions)


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(rows)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch
