"""Commands on a replication connection, without holding the interpreter lock while waiting.

psycopg calls libpq with Python's interpreter lock held. A libpq call that blocks (a spread
checkpoint takes minutes) would stop every other thread of the worker, heartbeat and uploads among
them. So libpq is only ever asked for what it has already, and the waiting is done in `poll`.
"""

import select
from collections.abc import Iterable, Iterator

from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError

_INSUFFICIENT_PRIVILEGE = "42501"
_CONFIGURATION_LIMIT = "53400"
_TOO_MANY_CONNECTIONS = "53300"
_COPYING = (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_IN)
_MESSAGE_BYTES = 65_536

Rows = list[list[str | None]]


class CommandRefused(Exception):
    """The server answered a command with an error; for the caller to put into our words."""

    def __init__(self, result: PGresult) -> None:
        super().__init__(error_words(result))
        self.words = error_words(result)
        self.sqlstate = sqlstate(result)
        self.detail = _words(result, pq.DiagnosticField.MESSAGE_DETAIL)

    def as_database_error(self, what: str) -> DatabaseError:
        """The refusal of `what` (such as `a base backup of …`) as one of our errors."""
        if self.sqlstate == _INSUFFICIENT_PRIVILEGE:
            return DatabaseAccessDenied(
                f"the server refused {what}: {self.words}",
                hint="give the role REPLICATION, or connect with another role",
            )
        if self.sqlstate in (_CONFIGURATION_LIMIT, _TOO_MANY_CONNECTIONS):
            return DatabaseError(
                f"the server has no room for {what}: {self.words}",
                hint="raise max_replication_slots and max_wal_senders: a base backup takes one "
                "slot and two senders while it runs",
            )
        return DatabaseError(
            f"the server refused {what}: {self.words}", hint="see the server's log"
        )


def run(connection: PGconn, command: str) -> Rows:
    """Run a command that ends by itself; its rows.

    :raises CommandRefused:
    :raises psycopg.OperationalError: the connection broke.
    """
    connection.send_query(command.encode())
    rows: Rows = []
    for result in results(connection):
        rows += rows_of(result)
    return rows


def results(connection: PGconn) -> Iterator[PGresult]:
    """The results of what was sent, until the server is done or a COPY begins.

    :raises psycopg.OperationalError: the connection broke.
    """
    while (result := _next_result(connection)) is not None:
        yield result
        if result.status in _COPYING:
            return


def copy_messages(connection: PGconn) -> Iterator[memoryview]:
    """The messages of a COPY, each whole, until it ends or fails: the next result says which.

    :raises psycopg.OperationalError: the connection broke.
    """
    poller = _poller(connection)
    while True:
        size, message = connection.get_copy_data(1)
        if size > 0:
            yield message
        elif size < 0:
            return
        else:
            poller.poll()
            connection.consume_input()


def copy_in(connection: PGconn, command: str, pieces: Iterable[memoryview]) -> None:
    """Run a command that takes data, with that data; returns when the server has accepted all.

    :param pieces: when it raises, the connection is of no more use: what was sent has no end.
    :raises CommandRefused:
    :raises psycopg.OperationalError: the connection broke.
    """
    connection.send_query(command.encode())
    for result in results(connection):
        rows_of(result)
    connection.nonblocking = 1
    try:
        for piece in pieces:
            for start in range(0, len(piece), _MESSAGE_BYTES):
                connection.put_copy_data(piece[start : start + _MESSAGE_BYTES])
                _flush(connection)
        connection.put_copy_end()
        _flush(connection)
    finally:
        connection.nonblocking = 0
    for result in results(connection):
        rows_of(result)


def rows_of(result: PGresult) -> Rows:
    """A result's rows.

    :raises CommandRefused: it is an error.
    """
    if result.status == pq.ExecStatus.FATAL_ERROR:
        raise CommandRefused(result)
    return [
        [_text(result.get_value(row, column)) for column in range(result.nfields)]
        for row in range(result.ntuples)
    ]


def sqlstate(result: PGresult) -> str | None:
    """The five-letter code of an error or a warning."""
    return _text(result.error_field(pq.DiagnosticField.SQLSTATE))


def error_words(result: PGresult) -> str:
    """What the server said, on one line."""
    words = _words(result, pq.DiagnosticField.MESSAGE_PRIMARY)
    return words or " ".join((_text(result.error_message) or "(no words)").split())


def _words(result: PGresult, field: pq.DiagnosticField) -> str:
    return " ".join((_text(result.error_field(field)) or "").split())


def _next_result(connection: PGconn) -> PGresult | None:
    poller = _poller(connection)
    while connection.is_busy():
        poller.poll()
        connection.consume_input()
    return connection.get_result()


def _flush(connection: PGconn) -> None:
    poller = _poller(connection, select.POLLIN | select.POLLOUT)
    while connection.flush():
        poller.poll()
        # A server that has something to say may not read on before it has been heard.
        connection.consume_input()


def _poller(connection: PGconn, events: int = select.POLLIN) -> select.poll:
    poller = select.poll()
    poller.register(connection.socket, events)
    return poller


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
