"""How a PostgreSQL server is reached, and the connections made to it.

The password stays inside this process: it goes to libpq in memory, never into argv, a log or a
record; `repr` masks it. libpq's errors become ours here, so that nothing above has to read them.
"""

from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from ledgerkeep.errors import DatabaseAccessDenied, DatabaseError, DatabaseUnavailable

_DENIED = (
    "authentication failed",
    "no pg_hba.conf entry",
    "must be superuser or replication",
    "permission denied to start WAL sender",
)
_NOT_TRUSTED = ("certificate verify failed", "does not match host name", "root certificate file")


@dataclass(frozen=True)
class ServerAddress:
    """Host (or socket directory), port, role and database of a server."""

    host: str
    port: int = 5432
    user: str = "postgres"
    password: str | None = field(default=None, repr=False)
    database: str = "postgres"
    options: dict[str, str] = field(default_factory=dict)
    """Further libpq parameters (sslmode, sslrootcert …)."""

    @classmethod
    def from_url(cls, url: str) -> "ServerAddress":
        """Parse `postgresql://user:password@host:port/database?sslmode=…`."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        host = options.pop("host", None) or unquote(parts.hostname or "localhost")
        return cls(
            host=host,
            port=int(options.pop("port", None) or parts.port or 5432),
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password) if parts.password else None,
            database=unquote(parts.path.lstrip("/")) or "postgres",
            options=options,
        )

    def lasting(self) -> "ServerAddress":
        """The same server, for connections that may idle for hours but notice a dead peer."""
        options = {"keepalives_idle": "60", "keepalives_interval": "10", "keepalives_count": "6"}
        options |= self.options
        options["options"] = f"{options.get('options', '')} -c idle_session_timeout=0".strip()
        return replace(self, options=options)

    def to(self, database: str) -> "ServerAddress":
        """The same server, another database."""
        return replace(self, database=database)

    def conninfo(self, **more: str) -> str:
        """A libpq connection string; it holds the password, so it is for libpq only."""
        values: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.database,
            "connect_timeout": 10,
            "application_name": "ledgerkeep",
            **self.options,
            **more,
        }
        return make_conninfo(**{name: value for name, value in values.items() if value is not None})

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


def connect(address: ServerAddress, *, autocommit: bool = True) -> psycopg.Connection:
    """An ordinary connection.

    :raises DatabaseUnavailable, DatabaseAccessDenied:
    """
    try:
        return psycopg.connect(address.conninfo(), autocommit=autocommit)
    except psycopg.OperationalError as problem:
        raise connection_error(address, str(problem)) from problem


def connect_replication(address: ServerAddress, *, logical: bool = False) -> PGconn:
    """A connection that speaks the replication protocol
    (PostgreSQL: "Streaming Replication Protocol").

    :param logical: also allow SQL and logical slots of the address's database.
    :raises DatabaseUnavailable, DatabaseAccessDenied:
    """
    conninfo = address.conninfo(replication="database" if logical else "true")
    connection = pq.PGconn.connect(conninfo.encode())
    if connection.status != pq.ConnStatus.OK:
        message = connection.error_message.decode(errors="replace")
        connection.finish()
        raise connection_error(address, message)
    return connection


def connection_error(address: ServerAddress, words: str) -> DatabaseError:
    """Libpq's words about a failed connection as one of our errors."""
    said = " ".join(words.split())
    if any(word in said for word in _DENIED):
        return DatabaseAccessDenied(
            f"the server refused {address}: {said}",
            hint="check the connection's role and password, that the role has REPLICATION, "
            "and that pg_hba.conf admits it for replication from this worker",
        )
    if any(word in said for word in _NOT_TRUSTED):
        return DatabaseError(
            f"the server at {address} cannot be trusted: {said}",
            hint="sslrootcert must hold the authority that signed the server's certificate, and "
            "the connection's host must be a name in that certificate",
        )
    return DatabaseUnavailable(
        f"no connection to {address}: {said}",
        hint="is the server up, and reachable from this worker? the run may simply be repeated",
    )
