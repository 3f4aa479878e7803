"""The stage of a benchmark: one cluster of poorly compressible rows, one store over TLS.

Everything lies in one temporary directory and is removed at the end. The policy is production's
own; only the connections differ, as they do between two deployments.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from include.bench.measure import Measured, measure
from include.bench.store import TlsStore
from include.bench.store import start as start_store
from include.bench.task import TaskParent, task_parent
from include.sandbox import objectstore
from include.sandbox.place import Place, prepare_place
from include.sandbox.ports import free_ports
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.postmaster import Postmaster, init_cluster
from ledgerkeep.policy.load import load_policy
from ledgerkeep.worker import WorkerSettings

_ROW = " || ".join("md5(random()::text)" for _ in range(8))


@dataclass
class Stage:
    """Servers that are up, and where they are."""

    home: Path
    place: Place
    data: Path
    server: Postmaster
    port: int
    store: TlsStore
    bucket: str
    tasks: TaskParent = field(init=False, repr=False)
    """What forks for the measured operations."""

    @property
    def address(self) -> ServerAddress:
        """The measured cluster."""
        return self.server.address

    def environment(self) -> dict[str, str]:
        """What a measured process of ours gets; credentials by environment, never argv."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL_S3": self.store.endpoint,
            "AWS_ACCESS_KEY_ID": self.store.user.access_key,
            "AWS_SECRET_ACCESS_KEY": self.store.user.secret_key,
            "AWS_DEFAULT_REGION": objectstore.REGION,
            "AWS_CA_BUNDLE": str(self.store.authority),
            "SSL_CERT_FILE": str(self.store.authority),
            "LEDGERKEEP_STORE_ENCRYPTION": "none",
            "LEDGERKEEP_POSTGRES_PROGRAMS": str(self.place.programs.directory),
            "LEDGERKEEP_ROOMS": str(self.place.rooms),
            "BENCH_STAGE": json.dumps({"sockets": self.address.host, "port": self.port}),
        }

    def ours(self, log: Path, *arguments: str) -> Measured:
        """Measure one operation of ours, as `include.bench.ours` takes it, begun as a task is."""
        return self.tasks.measure(log, *arguments)

    def ours_anew(self, log: Path, *arguments: str) -> Measured:
        """Measure one operation in a Python of its own, as the command line is."""
        command = [sys.executable, "-m", "include.bench.ours", *arguments]
        return measure(command, log=log, environment=self.environment())

    def execute(self, statement: str) -> list[tuple]:
        """Run one statement on the measured cluster."""
        with connect(self.address) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def stage(size_mb: int) -> Iterator[Stage]:
    """Servers for a block, with a cluster of about `size_mb`."""
    with ExitStack() as leave:
        home = Path(tempfile.mkdtemp(prefix="lkb-", dir="/var/tmp"))
        home.chmod(0o755)
        leave.callback(shutil.rmtree, home, ignore_errors=True)
        place = prepare_place(home)
        leave.callback(shutil.rmtree, place.servers, ignore_errors=True)
        store = start_store(home / "weed")
        leave.callback(os.killpg, store.process.pid, signal.SIGKILL)
        bucket = load_policy(WorkerSettings().policies / "production.yaml").storage.bucket
        store.make_bucket(bucket, object_lock=True)
        store.make_bucket("pgbackrest", object_lock=False)
        data, port = place.servers / "bench", free_ports(1)[0]
        server = _start_cluster(place, data, port)
        leave.callback(server.stop, immediate=True)
        made = Stage(home, place, data, server, port, store, bucket)
        made.tasks = leave.enter_context(task_parent(made.environment()))
        _fill(made, size_mb)
        yield made


def _start_cluster(place: Place, data: Path, port: int) -> Postmaster:
    init_cluster(place.programs, place.account, data)
    sockets = place.servers / "s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    place.account.own(sockets)
    server = Postmaster.start(
        place.programs,
        place.account,
        data,
        sockets=sockets,
        log=place.servers / "bench.log",
        port=port,
        settings={
            "wal_level": "logical",
            "summarize_wal": "on",
            "archive_mode": "on",
            "shared_buffers": "512MB",
            "max_wal_size": "4GB",
            "wal_keep_size": "2GB",
            "max_wal_senders": "10",
        },
    )
    server.wait_until_ready()
    return server


def _fill(made: Stage, size_mb: int) -> None:
    """Rows of hexadecimal noise, about half of which any compressor can take away."""
    rows = size_mb * 1_000_000 // 300
    # Not on the command line, where nothing could change it later.
    made.execute("ALTER SYSTEM SET archive_command = '/bin/true'")
    made.execute("SELECT pg_reload_conf()")
    made.execute("CREATE TABLE noise (id bigint, payload text)")
    step = 200_000
    for first in range(0, rows, step):
        made.execute(
            f"INSERT INTO noise SELECT g, {_ROW} "
            f"FROM generate_series({first}, {min(first + step, rows) - 1}) g"
        )
    made.execute("ALTER TABLE noise ADD PRIMARY KEY (id)")
    made.execute("VACUUM (FREEZE, ANALYZE) noise")
    made.execute("CHECKPOINT")
