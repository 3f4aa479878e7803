"""Shared servers for the integration tests: one PostgreSQL and one object store per test process.

Each test that needs a database or a bucket gets one of its own on them. Unit tests need none of
this and start nothing.
"""

import contextlib
import gc
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).resolve().parents[1]
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# Thousands of machine images, made anew with every account of a test, and needed by none.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

from include.sandbox import objectstore  # noqa: E402
from include.sandbox.place import Place, prepare_place  # noqa: E402
from ledgerkeep.database.postgres.address import ServerAddress, connect  # noqa: E402
from ledgerkeep.database.postgres.postmaster import Postmaster, init_cluster  # noqa: E402
from tests.support.ground import make_ground  # noqa: E402


class FilesSideBySide(LoadFileScheduling):
    """A file's tests stay in one process, and so do those of all end-to-end files: one Airflow."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return str(Path(file).parent) if "end_to_end" in file else file


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: the end-to-end tests mostly wait for Airflow."""
    return min(4, len(os.sched_getaffinity(0)) + 1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesSideBySide:
    """How the tests are shared out among the processes of a run."""
    return FilesSideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and mostly waits: one process does, the others the rest."""
    items.sort(key=lambda item: "end_to_end" not in item.nodeid)


_MUCH = 500_000
"""Objects made and not yet gone, after which garbage is looked for."""


@pytest.fixture(scope="module", autouse=True)
def tidied_up() -> Iterator[None]:
    """Garbage is collected between files only, and where there may be much of it.

    A fifth of the time goes into looking for it else: Airflow, moto and what AWS describes are
    millions of objects, which never go.
    """
    gc.disable()
    yield
    if gc.get_count()[0] > _MUCH:
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the caller's cloud account or database."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PG", "LEDGERKEEP_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def run_directory() -> Iterator[Path]:
    """A directory for this run's servers; removed at its end."""
    directory = make_ground("lk-")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def place(run_directory: Path) -> Place:
    """PostgreSQL programs, their account, and directories that it can reach."""
    return prepare_place(run_directory)


@dataclass
class Cluster:
    """A real PostgreSQL cluster of this test run; it can be stopped and started."""

    place: Place
    data: Path
    port: int
    settings: dict[str, str]
    server: Postmaster

    @property
    def address(self) -> ServerAddress:
        """The superuser's address, over TCP with a password, as in production."""
        return ServerAddress(
            host="127.0.0.1", port=self.port, user="postgres", password="sandbox-password"
        )

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server."""
        self.server.stop(immediate=immediate)

    def start(self) -> None:
        """Start it again, on the same port."""
        self.server = _start(self.place, self.data, self.port, self.settings)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Run one statement in a connection of its own and return its rows."""
        with connect(self.address.to(database)) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def release_slots(self, which: str = "true") -> None:
        """End the sessions that hold the slots for which a condition is true; they are gone then.

        A client that has closed its connection, or was killed, leaves its session to the server to
        end: until then the slot cannot be dropped, nor its database, and FORCE does not wait.
        """
        self.execute(
            "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots "
            f"WHERE active AND {which}"
        )

    def drop_slots(self, which: str = "true") -> None:
        """Drop the slots for which a condition is true, whoever holds them."""
        self.release_slots(which)
        self.execute(
            f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE {which}"
        )


def make_cluster(
    place: Place, data: Path, *, initdb: tuple[str, ...] = (), **settings: str
) -> Cluster:
    """initdb and start a cluster with a password for the superuser over TCP."""
    from include.sandbox.ports import free_ports

    init_cluster(place.programs, place.account, data, *initdb)
    with (data / "pg_hba.conf").open("w") as rules:
        rules.write("local all all trust\nlocal replication all trust\n")
        rules.write("host all all 127.0.0.1/32 scram-sha-256\n")
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    all_settings = {
        "wal_level": "logical",
        "fsync": "off",
        "max_wal_senders": "10",
        "max_replication_slots": "20",
        "shared_buffers": "64MB",
        "max_wal_size": "256MB",
        "log_min_messages": "warning",
        **({"summarize_wal": "on"} if place.programs.major >= 17 else {}),
        # A password that is known to everybody needs no rounds against guessing.
        **({"scram_iterations": "1"} if place.programs.major >= 16 else {}),
        **settings,
    }
    port = free_ports(1)[0]
    cluster = Cluster(place, data, port, all_settings, _start(place, data, port, all_settings))
    with connect(cluster.server.address) as connection:
        connection.execute("ALTER ROLE postgres PASSWORD 'sandbox-password'")
    return cluster


def _start(place: Place, data: Path, port: int, settings: dict[str, str]) -> Postmaster:
    sockets = data.parent / f"{data.name}.s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    place.account.own(sockets)
    server = Postmaster.start(
        place.programs,
        place.account,
        data,
        sockets=sockets,
        log=data.parent / f"{data.name}.log",
        port=port,
        listen="127.0.0.1",
        settings=settings,
    )
    server.wait_until_ready()
    return server


@pytest.fixture(scope="session")
def cluster(place: Place) -> Iterator[Cluster]:
    """The shared PostgreSQL; tests make databases and slots of their own and drop them.

    Do not stop it and do not switch its timeline: use `fresh_cluster` for that.
    """
    made = make_cluster(place, place.servers / "shared")
    yield made
    made.stop(immediate=True)


@pytest.fixture
def fresh_cluster(place: Place) -> Iterator[Cluster]:
    """A small cluster of the test's own (about 40 MB, 2 s): stop, break, clone it at will."""
    data = place.servers / f"c{secrets.token_hex(4)}"
    made = make_cluster(place, data)
    yield made
    made.stop(immediate=True)
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """An empty database on the shared cluster."""
    name = f"t_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    yield name
    cluster.release_slots(f"database = '{name}'")
    cluster.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def room(place: Place) -> Iterator[Path]:
    """An empty directory, reachable for the servers' account, for a restored copy."""
    directory = place.rooms / f"r{secrets.token_hex(4)}"
    directory.mkdir(mode=0o700)
    place.account.own(directory)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def s3(run_directory: Path) -> Iterator[objectstore.ObjectStoreServer]:
    """The shared SeaweedFS."""
    server = objectstore.start(
        run_directory / "weed",
        user=objectstore.Credentials("ledgerkeep", secrets.token_hex(16)),
        admin=objectstore.Credentials("admin", secrets.token_hex(16)),
    )
    yield server
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
def bucket(s3: objectstore.ObjectStoreServer) -> str:
    """A bucket with versions and Object Lock, of the test's own."""
    name = f"b-{secrets.token_hex(6)}"
    objectstore.make_bucket(s3, name)
    return name
