"""A restored copy's document rows against production's: what is missing, changed, or too much.

    missing    in the copy, not in production
    changed    in both, different; the columns are named
    removed    in production, not in the copy: written since, or wrong
    conflict   missing, but another row of production has the same object key: left to a person

Both are tables of one session (see `staging`), and the server compares them as text, so every type
can be. A difference names its row and the hashes of both sides, never their contents.

Public: `lines(stage) -> Iterator[RowLine]`, `APPLIED`, and the conditions that applying shares.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql

from ledgerkeep.documents.metadata.relations import Table
from ledgerkeep.documents.metadata.staging import Staged, all_of, columns_of

Kind = Literal["missing", "changed", "removed", "conflict"]
Apply = Literal["missing", "changed", "removed"]
APPLIED: dict[Apply, tuple[Kind, ...]] = {
    "missing": ("missing",),
    "changed": ("missing", "changed"),
    "removed": ("missing", "changed", "removed"),
}
"""What the form's choice includes."""
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class RowLine:
    """One difference."""

    kind: Kind
    table: str
    key: str
    """The primary key's values, as PostgreSQL writes a row of them."""
    object_key: str | None
    """Of a document; None: the row is another table's."""
    columns: tuple[str, ...]
    """Which differ, of a changed row."""
    copy_md5: str | None
    """Of the copy's row as text: the rows themselves stay in the databases."""
    production_md5: str | None

    def as_list(self) -> list[Any]:
        """For a line of JSON."""
        return [
            self.kind,
            self.table,
            self.key,
            self.object_key,
            list(self.columns),
            self.copy_md5,
            self.production_md5,
        ]


def lines(stage: Staged) -> Iterator[RowLine]:
    """Every difference, table by table, in the order in which rows can be added."""
    for number, table in enumerate(stage.tables):
        name = f"ledgerkeep_difference_{number}"
        with stage.connection.cursor(name=name) as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(_difference(stage, table))
            for kind, key, object_key, columns, copy_md5, production_md5 in cursor:
                yield RowLine(
                    kind, str(table), key, object_key, tuple(columns), copy_md5, production_md5
                )


def missing_rows(stage: Staged, table: Table) -> sql.Composed:
    """A query of the staged rows that are to be added; a conflict is none."""
    return sql.SQL(
        "SELECT {columns} FROM {stage} s WHERE NOT EXISTS (SELECT FROM {table} p WHERE {same}) "
        "AND NOT {conflict}"
    ).format(
        columns=columns_of(table.columns, "s"),
        stage=stage.stage_of(table),
        table=table.identifier,
        same=stage.key_join(table),
        conflict=_conflict(stage, table),
    )


def differs(table: Table) -> sql.Composed:
    """`s` and `p` have different contents."""
    return sql.SQL("ROW({})::text IS DISTINCT FROM ROW({})::text").format(
        columns_of(table.columns, "s"), columns_of(table.columns, "p")
    )


def not_in_copy(stage: Staged, table: Table) -> sql.Composable:
    """`p` is meant by the selection, and not among the staged rows."""
    if not _is_whole(stage, table):
        return sql.SQL("false")
    return sql.SQL("{meant} AND NOT EXISTS (SELECT FROM {stage} s WHERE {same})").format(
        meant=stage.meant("p") if table == stage.documents else sql.SQL("true"),
        stage=stage.stage_of(table),
        same=stage.key_join(table),
    )


def _difference(stage: Staged, table: Table) -> sql.Composed:
    """Kind, key, object key, columns and the hashes of both sides, ordered by the key."""
    is_document = table == stage.documents
    object_key = sql.SQL("coalesce(s.{0}, p.{0})::text" if is_document else "NULL::text").format(
        sql.Identifier(stage.rows.key)
    )
    changed = sql.SQL("s.ctid IS NOT NULL AND p.ctid IS NOT NULL AND {}").format(differs(table))
    return sql.SQL(
        "SELECT CASE WHEN p.ctid IS NULL THEN CASE WHEN {conflict} THEN 'conflict' ELSE 'missing' "
        "END WHEN s.ctid IS NULL THEN 'removed' ELSE 'changed' END, "
        "ROW({key})::text, {object_key}, "
        "CASE WHEN s.ctid IS NULL OR p.ctid IS NULL THEN ARRAY[]::text[] ELSE "
        "array_remove(ARRAY[{columns}]::text[], NULL) END, "
        "CASE WHEN s.ctid IS NOT NULL THEN md5(ROW({ours})::text) END, "
        "CASE WHEN p.ctid IS NOT NULL THEN md5(ROW({theirs})::text) END "
        "FROM {stage} s {join} JOIN {table} p ON {same} "
        "WHERE p.ctid IS NULL OR ({changed}) OR (s.ctid IS NULL AND {removed}) ORDER BY 2, 1"
    ).format(
        conflict=_conflict(stage, table),
        key=sql.SQL(", ").join(
            sql.SQL("coalesce(s.{0}, p.{0})").format(sql.Identifier(column)) for column in table.key
        ),
        object_key=object_key,
        columns=sql.SQL(", ").join(
            sql.SQL("CASE WHEN s.{0}::text IS DISTINCT FROM p.{0}::text THEN {1} END").format(
                sql.Identifier(column), sql.Literal(column)
            )
            for column in table.columns
        ),
        ours=columns_of(table.columns, "s"),
        theirs=columns_of(table.columns, "p"),
        stage=stage.stage_of(table),
        table=table.identifier,
        same=stage.key_join(table),
        changed=changed,
        # Without this a table that is only referenced would be read from end to end.
        join=sql.SQL("FULL" if _is_whole(stage, table) else "LEFT"),
        removed=not_in_copy(stage, table),
    )


def _conflict(stage: Staged, table: Table) -> sql.Composable:
    """Another document of production has the staged row's object key."""
    if table != stage.documents:
        return sql.SQL("false")
    return sql.SQL("EXISTS (SELECT FROM {} o WHERE o.{} = s.{} AND NOT ({}))").format(
        table.identifier,
        sql.Identifier(stage.rows.key),
        sql.Identifier(stage.rows.key),
        all_of(sql.SQL("o.{0} = s.{0}").format(sql.Identifier(column)) for column in table.key),
    )


def _is_whole(stage: Staged, table: Table) -> bool:
    """Whether the staged rows of a table are all that were asked for, and not just some needed."""
    return table == stage.documents or (table.family and stage.selection.all)
