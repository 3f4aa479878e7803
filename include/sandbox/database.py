"""The sandbox's two PostgreSQL servers: the one under protection, and Airflow's own.

They are apart because Ledgerkeep restores and compares whole clusters: Airflow's metadata must not
be in what it protects. Both admit their superuser over TCP with a password only, as a real server
would; the Unix socket, in a directory that only their account may enter, is for making them.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq, sql

from include.sandbox import processes
from include.sandbox.place import Place
from include.sandbox.processes import Daemon
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.postmaster import init_cluster

PROTECTED_SETTINGS = {
    # A fingerprint at an exact LSN needs a logical slot's exported snapshot.
    "wal_level": "logical",
    # An incremental backup is made of the server's summaries of its WAL.
    "summarize_wal": "on",
    "max_wal_senders": "10",
    "max_replication_slots": "20",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
}
METADATA_SETTINGS = {
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "synchronous_commit": "off",
}

_ACCESS = """\
local all all trust
local replication all trust
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class DatabaseServer:
    """A cluster of the sandbox: where it lies and how it is reached."""

    name: str
    place: Place
    port: int
    password: str
    settings: Mapping[str, str]

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.place.servers / self.name

    @property
    def sockets(self) -> Path:
        """Directory of its Unix socket."""
        return self.place.servers / f"{self.name}.s"

    @property
    def log(self) -> Path:
        """Its log, where its account can write it."""
        return self.place.servers / f"{self.name}.log"

    @property
    def address(self) -> ServerAddress:
        """The superuser over TCP."""
        return ServerAddress(
            host="127.0.0.1", port=self.port, user="postgres", password=self.password
        )

    @property
    def local(self) -> ServerAddress:
        """The superuser over the Unix socket."""
        return ServerAddress(host=str(self.sockets), port=self.port, user="postgres")


def start(server: DatabaseServer, home: Path) -> Daemon:
    """Make the cluster if it is not there yet, start it, and return when it answers."""
    _make(server)
    _configure(server)
    server.log.touch()
    server.place.account.own(server.log)
    running = processes.start(
        [server.place.programs.path("postgres"), "-D", str(server.data)],
        home=home,
        log=server.log,
        directory=server.data,
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        account=server.place.account,
    )
    processes.wait_until(
        lambda: pq.PGconn.ping(server.local.conninfo().encode()) == pq.Ping.OK,
        running,
        name=f"PostgreSQL ({server.name})",
        log=server.log,
        timeout=60,
    )
    with connect(server.local) as connection:
        connection.execute(
            sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(server.password))
        )
    return running


def exists(server: ServerAddress, name: str) -> bool:
    """Whether the server has a database of that name."""
    with connect(server) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        return found.fetchone() is not None


def make_database(server: ServerAddress, name: str) -> None:
    """Make an empty database; one of that name is replaced."""
    with connect(server) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def rename_database(server: ServerAddress, name: str, new_name: str) -> None:
    """Give a database its final name."""
    with connect(server) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(name), sql.Identifier(new_name)
            )
        )


def _make(server: DatabaseServer) -> None:
    """`initdb` beside its place and move it there, so that an interrupted one does not count."""
    if server.data.exists():
        return
    unfinished = server.place.servers / f"{server.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    init_cluster(server.place.programs, server.place.account, unfinished)
    unfinished.rename(server.data)


def _configure(server: DatabaseServer) -> None:
    server.sockets.mkdir(mode=0o700, exist_ok=True)
    server.place.account.own(server.sockets)
    settings = {
        **server.settings,
        "listen_addresses": "127.0.0.1",
        "port": str(server.port),
        "unix_socket_directories": str(server.sockets),
        "password_encryption": "scram-sha-256",
    }
    lines = [f"{name} = '{value}'\n" for name, value in settings.items()]
    for name, text in (("postgresql.conf", "".join(lines)), ("pg_hba.conf", _ACCESS)):
        (server.data / name).write_text(text)
        server.place.account.own(server.data / name)
    # A crash or a reboot leaves this file, and the id in it may be somebody else's by now.
    (server.data / "postmaster.pid").unlink(missing_ok=True)
