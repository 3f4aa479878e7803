"""One table's content as three numbers that do not depend on the order of its rows.

Each row is written out as bytes and hashed once with PostgreSQL's 64-bit hash; the table's hash is
the sum and the exclusive or of those, and the number of rows. Sum and exclusive or miss different
things: two equal rows cancel in the one and double in the other. The hash is taken over the whole
row, never column by column, because a sum of column hashes does not change when two rows swap a
value.

A row is written by `record_send`, the wire format: exact to the last bit of a float, independent
of every output setting, and without a look at the catalogs, which would see past the snapshot. On
text-heavy tables it is also twice as fast as text. Where a column's type may lack a wire format,
or the server would recode text for the client, `record_out` is used, with the settings pinned.
The choice follows from the table's columns alone, so the source and its copy make the same one.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from ledgerkeep.catalog.models import TableFingerprint

METHOD = "rows-1: hashtextextended or hash_array_extended of each whole row, sum and xor of 64 bits"
"""Change its number when anything here changes what comes out."""

_SEED = 4_919_131_752_989_213_764
_SAMPLE_SEED = 20_011

PINNED = {
    # What could change the text of a value.
    "search_path": "pg_catalog",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "xmloption": "content",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "array_nulls": "on",
    # Rows hidden from the role are an error, not a smaller table.
    "row_security": "off",
    # The source has other work to do, and must not be left hashing for nobody.
    "jit": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "client_connection_check_interval": "5s",
}
"""Session settings every reading connection has; one the server does not know is left out."""


@dataclass(frozen=True)
class Column:
    """A column as a query of the table would return it."""

    number: int
    name: str
    type_oid: int
    """0 for a domain: a query's answer names only the type below it."""


@dataclass(frozen=True)
class Relation:
    """Something with rows: a table, a leaf partition, a materialized view."""

    oid: int
    schema: str
    name: str
    filenode: int
    size: int
    """Bytes by the server's last count, as a measure of the work."""
    columns: tuple[Column, ...]
    sendable: bool
    """Whether every column's type surely has a wire format."""
    derived: bool = False
    """A materialized view: its rows can be made again."""

    @property
    def full_name(self) -> str:
        """`schema.name`, as policies and reports write it."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Composed:
        """The quoted name."""
        return sql.Identifier(self.schema, self.name)  # type: ignore[return-value]


def pin_settings(connection: psycopg.Connection, *, gather: int) -> None:
    """Fix everything about the session that could change a hash.

    :param gather: parallel server processes that one statement may use.
    """
    connection.execute(
        "SELECT set_config(known.name, pinned.wanted, false) FROM pg_settings AS known "
        "JOIN unnest(%s::text[], %s::text[]) AS pinned (name, wanted) "
        "ON lower(known.name) = lower(pinned.name)",
        [list(PINNED), list(PINNED.values())],
    )
    connection.execute(f"SET max_parallel_workers_per_gather = {int(gather)}".encode())


def hash_relation(
    connection: psycopg.Connection, relation: Relation, percent: float | None
) -> TableFingerprint:
    """Hash a table in the connection's transaction.

    :param percent: of its pages; the same pages are chosen on a physical copy.
    """
    row = "record_send(t.*)" if relation.sendable else "record_out(t.*)"
    query = sql.SQL("SELECT {hash} AS h FROM ONLY {table} AS t{sample}").format(
        hash=sql.SQL(_hash_of(row)), table=relation.identifier, sample=sql.SQL(_sample(percent))
    )
    rows, content_hash = _aggregate(connection, query)
    return TableFingerprint(
        schema_name=relation.schema,
        name=relation.name,
        rows=rows,
        content_hash=content_hash,
        sampled_percent=percent,
    )


def hash_large_objects(connection: psycopg.Connection) -> TableFingerprint:
    """All large objects as one entry: their pages, and their numbers (an empty one has no page).

    Owners and privileges are left out: they are no content.
    """
    query = sql.SQL(
        "SELECT {pages} AS h FROM pg_largeobject "
        "UNION ALL SELECT {numbers} FROM pg_largeobject_metadata"
    ).format(
        pages=sql.SQL(_hash_of("record_send(ROW(loid, pageno, data))")),
        numbers=sql.SQL(_hash_of("record_send(ROW(oid))")),
    )
    rows, content_hash = _aggregate(connection, query)
    return TableFingerprint(
        schema_name="pg_catalog", name="pg_largeobject", rows=rows, content_hash=content_hash
    )


def _hash_of(row: str) -> str:
    if row.startswith("record_out"):
        return f'hashtextextended(textin({row}) COLLATE "C", {_SEED})'
    # There is no hash function for bytea that SQL may call in every version, but one for arrays.
    return f"hash_array_extended(ARRAY[{row}], {_SEED})"


def _sample(percent: float | None) -> str:
    if percent is None:
        return ""
    return f" TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE ({_SAMPLE_SEED})"


def _aggregate(connection: psycopg.Connection, query: sql.Composable) -> tuple[int, str]:
    found = connection.execute(
        sql.SQL(
            "SELECT count(*), coalesce(sum(h), 0)::text, coalesce(bit_xor(h), 0) "
            "FROM ({}) AS hashes"
        ).format(query)
    ).fetchone()
    rows, total, mixed = found or (0, "0", 0)
    return rows, f"{int(total) % 2**64:016x}{mixed % 2**64:016x}"
