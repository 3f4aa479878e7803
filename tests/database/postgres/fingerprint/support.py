"""What the fingerprint's tests share: a policy, a catalog in memory, reading at once, a copy."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import DatabaseFingerprint
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.fingerprint import fingerprint_copy
from ledgerkeep.database.postgres.postmaster import Postmaster
from ledgerkeep.policy.model import Policy
from tests.conftest import Cluster

_WHENEVER = {"rto": "1h", "rpo": "1h"}
NOTHING = DatabaseFingerprint(
    database="none",
    lsn=0,
    taken_at="2026-01-01T00:00:00Z",
    method="none",
    tables=[],
    structure_hash="",
)


def policy(databases: list[str], **fingerprint: Any) -> Policy:
    """A policy that protects these databases and asks for nothing else."""
    return Policy.model_validate(
        {
            "environment": "development",
            "criticality": "low",
            "owner": "tests",
            "storage": {"connection_id": "s3", "bucket": "b", "region": "eu-central-1"},
            "database": {
                "connection_id": "db",
                "cluster": "loans",
                "databases": databases,
                "fingerprint": fingerprint,
                "retention": {"schedule": None, "daily": "7d"},
            },
            "objectives": dict.fromkeys(
                (
                    "availability_zone_failure",
                    "database_failure",
                    "region_failure",
                    "accidental_deletion",
                    "security_incident",
                ),
                _WHENEVER,
            ),
            "alerts": {
                "backup_delay": "1h",
                "replication_lag": "1h",
                "size_deviation_percent": 50,
            },
        }
    )


class KeptStore:
    """The part of an object store that committing a record needs, in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, body: bytes, **_: Any) -> None:
        self.objects[key] = bytes(body)


def catalog_of(databases: list[str], **fingerprint: Any) -> Catalog:
    """A catalog that keeps what is committed in `store.objects`."""
    return Catalog(KeptStore(), policy(databases, **fingerprint))  # type: ignore[arg-type]


def read_now(cluster: Cluster, database: str, **sampled: float) -> DatabaseFingerprint:
    """The fingerprint of a database that nobody changes meanwhile."""
    tables = [
        {
            "schema_name": "public",
            "name": name,
            "rows": 0,
            "content_hash": "",
            "sampled_percent": percent,
        }
        for name, percent in sampled.items()
    ]
    expected = DatabaseFingerprint.model_validate(
        {**NOTHING.model_dump(mode="json"), "tables": tables}
    )
    return fingerprint_copy(cluster.address, database, expected, 2)


def content(fingerprint: DatabaseFingerprint) -> dict[str, tuple[int, str]]:
    """Table → rows and hash."""
    return {
        table.name if table.schema_name == "public" else f"{table.schema_name}.{table.name}": (
            table.rows,
            table.content_hash,
        )
        for table in fingerprint.tables
    }


def base_backup(cluster: Cluster, data: Path) -> None:
    """A plain physical copy of the cluster in `data`, not yet recovered."""
    data.mkdir(mode=0o700)
    cluster.place.account.own(data)
    subprocess.run(
        cluster.place.account.command(
            [
                cluster.place.programs.path("pg_basebackup"),
                *("-h", str(cluster.server.address.host), "-p", str(cluster.port)),
                *("-U", "postgres", "-D", str(data), "-c", "fast", "-X", "none"),
            ]
        ),
        check=True,
        capture_output=True,
        cwd="/",
    )


@contextmanager
def recovered_to(cluster: Cluster, data: Path, lsn: int) -> Iterator[ServerAddress]:
    """A copy made by `base_backup`, replayed to just before `lsn` and paused, for a block."""
    (data / "recovery.signal").touch()
    cluster.place.account.own(data / "recovery.signal")
    sockets = data.parent / f"{data.name}.s"
    sockets.mkdir(mode=0o700, exist_ok=True)
    cluster.place.account.own(sockets)
    server = Postmaster.start(
        cluster.place.programs,
        cluster.place.account,
        data,
        sockets=sockets,
        log=data.parent / f"{data.name}.log",
        settings={
            **cluster.settings,
            "archive_mode": "off",
            "restore_command": f'cp "{cluster.data}/pg_wal/%f" "%p"',
            "recovery_target_lsn": format_lsn(lsn),
            "recovery_target_inclusive": "off",
            "recovery_target_action": "pause",
        },
    )
    try:
        server.wait_until_ready()
        with connect(server.address) as connection:
            while connection.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != (
                "paused",
            ):
                assert server.alive
        yield server.address
    finally:
        server.stop()
