"""What of a database has content to compare, as the transaction's snapshot sees it.

The catalogs are read as plain rows, so they show the database at the snapshot's LSN even when
somebody has changed it since. Whatever cannot be compared is named with the reason: unlogged and
temporary tables are empty in any restored copy, foreign ones have their rows elsewhere, and a
table the role may not read cannot be vouched for.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

from ledgerkeep.catalog.models import SequencePosition
from ledgerkeep.database.postgres.fingerprint.hashing import Column, Relation

_USER_SCHEMA = sql.SQL(
    "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'"
)
# A type surely has a wire format when PostgreSQL brought it along (oid below 16384) and says so,
# and, for an array, its elements do. An enum has one by its kind.
_SENDABLE = sql.SQL("""
NOT EXISTS (
    SELECT FROM pg_attribute AS a
    JOIN pg_type AS y ON y.oid = a.atttypid
    LEFT JOIN pg_type AS e ON e.oid = y.typelem AND y.typlen = -1
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND NOT (y.typtype = 'e'
               OR (y.typtype = 'b' AND y.oid < 16384 AND y.typsend <> 0
                   AND (e.oid IS NULL OR (e.typtype = 'b' AND e.typsend <> 0)))))
AND current_setting('server_encoding') = 'UTF8'
""")

_TABLES = sql.SQL("""
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relfilenode,
       greatest(c.relpages, 0) * current_setting('block_size')::bigint,
       coalesce(has_table_privilege(c.oid, 'SELECT')
                AND has_schema_privilege(n.oid, 'USAGE'), true),
       row_security_active(c.oid),
       ARRAY(SELECT ROW(a.attnum, a.attname, CASE y.typtype WHEN 'd' THEN 0 ELSE y.oid END)
             FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             ORDER BY a.attnum),
       {sendable}
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'f') AND {user_schema}
ORDER BY 7 DESC, 2, 3
""").format(sendable=_SENDABLE, user_schema=_USER_SCHEMA)

_SEQUENCES = sql.SQL("""
SELECT c.oid, n.nspname, c.relname, s.seqincrement, s.seqcycle,
       CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE')
            THEN pg_sequence_last_value(c.oid) END
FROM pg_sequence AS s
JOIN pg_class AS c ON c.oid = s.seqrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'p' AND {user_schema}
ORDER BY 2, 3
""").format(user_schema=_USER_SCHEMA)


@dataclass(frozen=True)
class Inventory:
    """What there is to hash, largest first, and what not, with the reason."""

    relations: list[Relation]
    left_out: dict[str, str]
    large_objects: bool
    """Whether the role may read them."""


def take_inventory(connection: psycopg.Connection) -> Inventory:
    """Everything with rows in the connection's database, as its transaction sees it."""
    relations, left_out = [], {}
    for row in connection.execute(_TABLES).fetchall():
        relation = _relation(row)
        reason = _why_left_out(kind=row[3], persistence=row[4], readable=row[7], hidden=row[8])
        if reason:
            left_out[relation.full_name] = reason
        else:
            relations.append(relation)
    large_objects = _reads_large_objects(connection)
    if not large_objects:
        left_out["pg_catalog.pg_largeobject"] = "the role may not read it"
    return Inventory(relations, left_out, large_objects)


def _relation(row: tuple) -> Relation:  # type: ignore[type-arg]
    return Relation(
        oid=row[0],
        schema=row[1],
        name=row[2],
        filenode=row[5],
        size=row[6],
        columns=tuple(Column(int(number), name, int(kind)) for number, name, kind in row[9]),
        sendable=row[10],
        derived=row[3] == "m",
    )


def _why_left_out(*, kind: str, persistence: str, readable: bool, hidden: bool) -> str:
    if kind == "f":
        return "foreign: its rows are in another server"
    if persistence == "u":
        return "unlogged: it is empty in every restored copy"
    if persistence == "t":
        return "temporary: it belongs to a session"
    if not readable:
        return "the role may not read it"
    if hidden:
        return "row level security hides rows from the role"
    return ""


def _reads_large_objects(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')"
    ).fetchone()
    return bool(row and row[0])


def read_sequences(connection: psycopg.Connection) -> dict[int, tuple[SequencePosition, str]]:
    """Where each sequence stands now, by oid, with the reason where no bound can be given.

    Sequences are not transactional. A value was logged before anybody was given it, so read
    before the snapshot's LSN was fixed, it is one that a copy at that LSN has reached too.
    """
    found = {}
    for oid, schema, name, increment, cycles, last_value in connection.execute(
        _SEQUENCES
    ).fetchall():
        position = SequencePosition(
            schema_name=schema,
            name=name,
            last_value=None if cycles else last_value,
            increment=increment,
        )
        found[oid] = (position, "it cycles: no value is ahead of another" if cycles else "")
    return found


def sequences_at(connection: psycopg.Connection) -> set[int]:
    """Oids of the sequences that exist for the connection's transaction."""
    return {row[0] for row in connection.execute("SELECT seqrelid FROM pg_sequence").fetchall()}
