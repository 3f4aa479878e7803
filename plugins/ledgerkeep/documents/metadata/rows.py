"""The document rows of a database, as one stream in the order of the object store's listing.

A listing comes in the order of the keys' UTF-8 bytes. So the server sorts the rows the same way
(`COLLATE "C"`), whatever the collation of the column, and a cursor on the server hands them over a
few thousand at a time. All come from one snapshot: what is changed while they are read is not seen.

What the columns hold is taken as it is, also where it makes no sense: a NULL, a checksum of the
wrong length, a key that is no text. Judging that is not this module's business.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import (
    DatabaseAccessDenied,
    DatabaseError,
    DatabaseUnavailable,
    LedgerkeepError,
    OperationRunning,
    PolicyError,
)
from ledgerkeep.policy.documents import DocumentTable

_AT_ONCE = 5_000
"""Rows per fetch of the cursor."""
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET client_encoding = 'UTF8'",
    # The listing may take its time between two fetches.
    "SET idle_in_transaction_session_timeout = 0",
    "SET statement_timeout = 0",
    # Rows that a policy hides would make their objects orphans: better no answer than a wrong one.
    "SET row_security = off",
)


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One row, as far as documents are concerned."""

    key: str | None
    """None: NULL. Bytes that are no UTF-8 are kept as Python's surrogates."""
    id: str
    sha256: str | None
    """In lower case; whatever the column holds."""
    size: int | None
    recorded_at: str | None
    """As PostgreSQL writes it, in UTC."""

    @property
    def sort(self) -> tuple[bytes, bytes]:
        """Where it stands in the stream: by the key's bytes, then by the id's."""
        return key_bytes(self.key or ""), self.id.encode()


def key_bytes(key: str) -> bytes:
    """A key's bytes, by which everything here is ordered."""
    return key.encode(errors="surrogateescape")


def stream_rows(address: ServerAddress, table: DocumentTable) -> Iterator[DocumentRow]:
    """Every row, ordered by the key's bytes and then the id; rows without a key first.

    :raises PolicyError: the policy names a table or a column that is not there.
    :raises DatabaseAccessDenied: the role may not read it.
    :raises DatabaseUnavailable: the connection was lost; nothing is known of the rest.
    """
    with session(address, table) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        with connection.cursor(name="ledgerkeep_documents") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(
                sql.SQL("{} ORDER BY {} NULLS FIRST, {}").format(
                    _select(table),
                    _in_byte_order(connection, table.key),
                    _in_byte_order(connection, table.id),
                )
            )
            for row in cursor:
                yield _row(row)


def find_rows(
    address: ServerAddress, table: DocumentTable, keys: Sequence[str]
) -> dict[str, list[DocumentRow]]:
    """The rows of some keys as they are now: key → its rows, of which there may be none.

    :raises PolicyError, DatabaseAccessDenied, DatabaseUnavailable: as `stream_rows`.
    """
    found: dict[str, list[DocumentRow]] = {key: [] for key in keys}
    with session(address, table) as connection:
        query = sql.SQL("{} WHERE {}::text = ANY(%s)").format(_select(table), _name(table.key))
        # What is no UTF-8 or holds a NUL cannot be a parameter, nor another database's text.
        askable = [key for key in keys if "\0" not in key and _is_utf8(key)]
        for row in map(_row, connection.execute(query, [askable])):
            if row.key in found:
                found[row.key].append(row)
    return found


def name_of(table: str) -> sql.Identifier:
    """A table's name from the policy, with or without its schema."""
    return sql.Identifier(*table.split("."))


@contextmanager
def speaking_of(address: ServerAddress, table: str, *, where: str) -> Iterator[None]:
    """Turn the client library's errors into ours, for a block.

    :param where: the policy's field that names the table.
    """
    try:
        yield
    except psycopg.Error as problem:
        raise _told(problem, address, table, where) from problem


@contextmanager
def session(address: ServerAddress, table: DocumentTable) -> Iterator[psycopg.Connection]:
    """A connection to the rows' database, with everything pinned that changes what text comes.

    :raises PolicyError, DatabaseAccessDenied, DatabaseUnavailable: of whatever is asked in it.
    """
    there = address.to(table.database).lasting()
    with speaking_of(there, table.table, where="documents.rows"):
        connection = connect(there)
        try:
            for setting in _SETTINGS:
                connection.execute(setting.encode())
            yield connection
        finally:
            connection.close()


def _select(table: DocumentTable) -> sql.Composed:
    return sql.SQL(
        "SELECT convert_to({key}::text, 'UTF8'), {id}::text, lower({sha256}::text), "
        "{size}::bigint, {recorded_at}::text FROM {table}"
    ).format(
        key=_name(table.key),
        id=_name(table.id),
        sha256=_name(table.sha256),
        size=_name(table.size),
        recorded_at=_name(table.recorded_at),
        table=name_of(table.table),
    )


def _in_byte_order(connection: psycopg.Connection, column: str) -> sql.Composed:
    """The order of the UTF-8 bytes, which an index of the collation "C" has already."""
    encoding = connection.info.parameter_status("server_encoding")
    form = '{}::text COLLATE "C"' if encoding == "UTF8" else "convert_to({}::text, 'UTF8')"
    return sql.SQL(form).format(_name(column))


def _name(column: str) -> sql.Identifier:
    return sql.Identifier(column)


def _row(row: Sequence[object]) -> DocumentRow:
    key, identity, sha256, size, recorded_at = row
    return DocumentRow(
        key=None if key is None else bytes(key).decode(errors="surrogateescape"),  # type: ignore[call-overload]
        id=str(identity),
        sha256=None if sha256 is None else str(sha256).removeprefix("\\x").strip(),
        size=None if size is None else int(size),  # type: ignore[call-overload]
        recorded_at=None if recorded_at is None else str(recorded_at),
    )


def _is_utf8(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _told(
    problem: psycopg.Error, address: ServerAddress, table: str, where: str
) -> LedgerkeepError:
    said = (problem.diag.message_primary or " ".join(str(problem).split())).strip()
    if isinstance(
        problem,
        psycopg.errors.UndefinedTable
        | psycopg.errors.UndefinedColumn
        | psycopg.errors.InvalidSchemaName
        | psycopg.errors.WrongObjectType,
    ):
        return PolicyError(
            f"the document rows of {table} in {address} cannot be read: {said}",
            hint=f"correct {where} in the policy: table with its schema, and its columns",
        )
    if isinstance(problem, psycopg.errors.InsufficientPrivilege):
        return DatabaseAccessDenied(
            f"{address} may not read {table}: {said}",
            hint=f'GRANT SELECT ON {table} TO "{address.user}", and BYPASSRLS to that role where '
            "the table has row-level security",
        )
    if isinstance(problem, psycopg.errors.LockNotAvailable):
        return OperationRunning(
            f"the table {table} in {address} stayed locked by somebody else",
            hint="look who holds it: SELECT * FROM pg_locks WHERE NOT granted; then run again",
        )
    if isinstance(problem, psycopg.errors.DataError):
        return PolicyError(
            f"a column of {table} in {address} does not hold what the policy says: {said}",
            hint=f"correct {where} in the policy: the size is a number of bytes",
        )
    if isinstance(problem, psycopg.OperationalError):
        return DatabaseUnavailable(
            f"reading {table} in {address} was interrupted: {said}",
            hint="nothing was recorded; the run may simply be repeated",
        )
    return DatabaseError(f"{table} in {address} failed: {said}", hint="look at the server's log")
