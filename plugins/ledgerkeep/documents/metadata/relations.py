"""The document tables and everything that they reference, as the database's catalog tells it.

A document row means nothing without the package that it belongs to, nor that without its loan. So
what is recovered is read from the foreign keys: the policy's tables (the family), and outwards from
them every table that a row may need to exist. They come in the order in which rows can be inserted:
what is referenced before what references it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import psycopg
from psycopg import sql

from ledgerkeep.documents.metadata.rows import name_of
from ledgerkeep.errors import RecoveryError
from ledgerkeep.policy.documents import DocumentTable


@dataclass(frozen=True, slots=True)
class Reference:
    """One foreign key."""

    columns: tuple[str, ...]
    target: int
    """Oid of the table that is referenced."""
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table, as far as its rows can be carried over."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    """Without those that the server computes."""
    key: tuple[str, ...]
    """The primary key's columns."""
    sequences: tuple[tuple[str, str], ...]
    """Column → the sequence that it takes its values from."""
    references: tuple[Reference, ...]
    family: bool
    """Whether it is one of the policy's, whose rows are compared; of others rows are only added."""

    @property
    def identifier(self) -> sql.Identifier:
        """Its name, quoted."""
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def document_tables(connection: psycopg.Connection, rows: DocumentTable) -> list[Table]:
    """The family and what it references, referenced tables first.

    :raises RecoveryError: a table has no primary key, or tables reference each other in a circle.
    :raises psycopg.errors.UndefinedTable: the policy names one that is not there.
    """
    family = [oid_of(connection, name) for name in (rows.table, *rows.related)]
    found: dict[int, Table] = {}
    todo = list(family)
    while todo:
        oid = todo.pop()
        if oid not in found:
            found[oid] = _table(connection, oid, family=oid in family)
            todo += [one.target for one in found[oid].references]
    graph = {
        oid: {one.target for one in table.references if one.target != oid}
        for oid, table in found.items()
    }
    try:
        return [found[oid] for oid in TopologicalSorter(graph).static_order()]
    except CycleError as problem:
        names = ", ".join(str(found[oid]) for oid in problem.args[1])
        raise RecoveryError(
            f"the document tables reference each other in a circle: {names}",
            hint="their rows cannot be added one table after the other; recover the whole "
            "database, or take the rows over by hand",
        ) from problem


def oid_of(connection: psycopg.Connection, name: str) -> int:
    """The oid of a table that the policy names.

    :raises psycopg.errors.UndefinedTable:
    """
    quoted = name_of(name).as_string(connection)
    row = connection.execute("SELECT %s::regclass::oid", [quoted]).fetchone()
    return int(row[0]) if row else 0


def _table(connection: psycopg.Connection, oid: int, *, family: bool) -> Table:
    row = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE c.oid = %s",
        [oid],
    ).fetchone()
    schema, name = row or ("", "")
    columns = tuple(
        column
        for (column,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attnum > 0 "
            "AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            [oid],
        )
    )
    key = _key(connection, oid)
    if not key:
        raise RecoveryError(
            f"table {schema}.{name} has no primary key, so its rows cannot be told apart",
            hint="give it one, or leave it out of documents.rows.related in the policy",
        )
    sequences = connection.execute(
        "SELECT a.attname, pg_get_serial_sequence(%s, a.attname) FROM pg_attribute a "
        "WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped "
        "AND pg_get_serial_sequence(%s, a.attname) IS NOT NULL",
        [(quoted := sql.Identifier(schema, name).as_string(connection)), oid, quoted],
    ).fetchall()
    return Table(
        oid, schema, name, columns, key, tuple(sequences), _references(connection, oid), family
    )


def _key(connection: psycopg.Connection, oid: int) -> tuple[str, ...]:
    found = connection.execute(
        "SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) "
        "WITH ORDINALITY AS k (number, place) JOIN pg_attribute a "
        "ON a.attrelid = i.indrelid AND a.attnum = k.number "
        "WHERE i.indrelid = %s AND i.indisprimary ORDER BY k.place",
        [oid],
    )
    return tuple(column for (column,) in found)


def _references(connection: psycopg.Connection, oid: int) -> tuple[Reference, ...]:
    names = (
        "(SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest({numbers}) "
        "WITH ORDINALITY AS k (number, place) JOIN pg_attribute a "
        "ON a.attrelid = {table} AND a.attnum = k.number)"
    )
    found: Sequence[tuple[int, list[str], list[str]]] = connection.execute(
        f"SELECT c.confrelid, {names.format(numbers='c.conkey', table='c.conrelid')}, "  # noqa: S608
        f"{names.format(numbers='c.confkey', table='c.confrelid')} "
        "FROM pg_constraint c WHERE c.conrelid = %s AND c.contype = 'f' ORDER BY c.oid".encode(),
        [oid],
    ).fetchall()
    return tuple(
        Reference(tuple(columns), target, tuple(target_columns))
        for target, columns, target_columns in found
    )
