"""A catalog of seven years: how long it is read, listed, and decided on by retention.

One recovery point an hour, a full one a day and incrementals on it, as they would lie there if
nothing were ever removed: about sixty thousand, five small objects each, in a real SeaweedFS with
versions. To put three hundred thousand objects there takes ten minutes or more, nearly all of it
the store's own processor time; with a directory that is kept, it is done once.

    python -m include.bench.catalog [--points N] [--keep DIR]

Reading is measured in this process; `ledgerkeep list` and `ledgerkeep retention plan` are
processes of their own, from their start to the last line, and their peak memory is told.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import obstore
from obstore.store import S3Store

from include.bench.measure import Measured, Row, measure_apart
from include.sandbox import objectstore, processes
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.index import refresh_indexes
from ledgerkeep.catalog.models import Archive, BaseBackup
from ledgerkeep.catalog.retention import Stored, plan_retention
from ledgerkeep.model import utc_now
from ledgerkeep.policy.load import load_policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.worker import WorkerSettings

T = TypeVar("T")

POINTS = 7 * 365 * 24
_SYSTEM = "7300000000000000001"
_IN_FLIGHT = 24
"""Requests; with more of them the store is no faster."""
_SEGMENT = 16 * 1024 * 1024


def catalog_rows(points: int = POINTS, keep: Path | None = None) -> list[Row]:
    """The rows of the table; takes some minutes, most of them to put the objects there.

    :param keep: a directory in which the filled store stays, and is found the next time.
    """
    home = keep or Path(tempfile.mkdtemp(prefix="lkc-", dir="/var/tmp"))
    try:
        with _Served(home) as served:
            last = _filled(served, home, points)
            backups = [_backup(number, points, last) for number in range(points)]
            return _measured(served, backups, last)
    finally:
        if keep is None:
            shutil.rmtree(home, ignore_errors=True)


def _filled(served: "_Served", home: Path, points: int) -> datetime:
    """Put the recovery points there, if they are not yet; when the last one was made."""
    note = home / "filled.json"
    if note.exists():
        told = json.loads(note.read_text())
        if told["points"] != points:
            raise SystemExit(f"{home} holds {told['points']} recovery points")
        return datetime.fromisoformat(told["last"])
    last = utc_now().replace(minute=0, second=0, microsecond=0)
    backups = [_backup(number, points, last) for number in range(points)]
    asyncio.run(_fill(served.client, backups))
    note.write_text(json.dumps({"points": points, "last": last.isoformat()}))
    return last


def _measured(served: "_Served", backups: list[BaseBackup], last: datetime) -> list[Row]:
    catalog, policy = served.catalog, served.catalog.policy.database
    # Without an index, every record is read by itself: that is how the first one is made.
    catalog.store.delete_prefix(keys.indexes(catalog.environment, _SYSTEM, "backups"))
    plain, _ = _timed(lambda: refresh_indexes(catalog, _SYSTEM))
    fast, found = _timed(lambda: catalog.snapshot(_SYSTEM))
    if found.backups != backups:
        raise AssertionError("the index changed what the catalog says")
    decided, plan = _timed(
        lambda: plan_retention(Stored(found), policy.retention, policy.pre_deployment, now=last)
    )
    what = f"{len(backups)} recovery points"
    commands = (["list"], ["list", "--json"], ["retention", "plan"])
    return [
        (f"retention of {what} decided", f"{decided:.1f} s", "", f"keeps {len(plan.kept)}"),
        (f"catalog of {what}, each record read, index made", f"{plain:.1f} s", "", ""),
        ("the same catalog, read with its index", f"{fast:.1f} s", "", f"{fast / plain:.2f}"),
        *(_command_row(command, served.command(*command)) for command in commands),
    ]


def _command_row(command: Sequence[str], taken: Measured) -> Row:
    words = f"ledgerkeep {' '.join(command)}, whole command"
    return words, f"{taken.seconds:.1f} s", "", f"{taken.peak_mb:.0f} MB at most"


class _Served:
    """A SeaweedFS of its own, with the bucket of the policy."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server = objectstore.start(
            home,
            user=objectstore.Credentials("ledgerkeep", token_hex(16)),
            admin=objectstore.Credentials("admin", token_hex(16)),
        )
        policy = load_policy(WorkerSettings().policies / "production.yaml")
        bucket, user = policy.storage.bucket, self._server.user
        objectstore.make_bucket(self._server, bucket)
        self.client = S3Store(
            bucket,
            endpoint=self._server.endpoint,
            region=objectstore.REGION,
            access_key_id=user.access_key,
            secret_access_key=user.secret_key,
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
        access = StoreAccess(
            endpoint_url=self._server.endpoint,
            access_key=user.access_key,
            secret_key=user.secret_key,
        )
        store = open_store(policy.storage, WorkerSettings(store_encryption="none"), access)
        self.catalog = Catalog(store, policy)

    def command(self, *arguments: str) -> Measured:
        """Measure one command of `ledgerkeep`, whose output goes to a file."""
        user = self._server.user
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL_S3": self._server.endpoint,
            "AWS_ACCESS_KEY_ID": user.access_key,
            "AWS_SECRET_ACCESS_KEY": user.secret_key,
            "AWS_DEFAULT_REGION": objectstore.REGION,
            "LEDGERKEEP_STORE_ENCRYPTION": "none",
        }
        command = [sys.executable, "-m", "ledgerkeep.cli.main", *arguments]
        log = self._home / "command.log"
        log.unlink(missing_ok=True)
        return measure_apart(
            [*command, "--environment", "production"], log=log, environment=environment
        )

    def __enter__(self) -> "_Served":
        return self

    def __exit__(self, *_: object) -> None:
        # A store that is kept is to be found whole: it is given a moment to close its files.
        process = self._server.daemon.process
        processes.end([process] if process else [], first=signal.SIGTERM, grace=10)


async def _fill(client: S3Store, backups: list[BaseBackup]) -> None:
    waiting = asyncio.Semaphore(_IN_FLIGHT)

    async def put(key: str, body: bytes) -> None:
        async with waiting:
            await obstore.put_async(client, key, body, use_multipart=False)

    for start in range(0, len(backups), 1_000):
        work = []
        for backup in backups[start : start + 1_000]:
            prefix = keys.backup("production", _SYSTEM, backup.id)
            parts = ("backup_manifest", "base.tar.zst.000", "begun.json", keys.STREAM)
            work += [put(prefix + part, b"{}") for part in parts]
            work.append(put(prefix + keys.RECOVERY_POINT, backup.to_json()))
        await asyncio.gather(*work)


def _backup(number: int, points: int, now: datetime) -> BaseBackup:
    at = now - timedelta(hours=points - number)
    full = number % 24 == 0
    name = _id(at, full=full)
    prefix = keys.backup("production", _SYSTEM, name)
    volume, manifest = (
        StoredObject(
            key=prefix + part, size=2, sha256=hashlib.sha256(f"{name}{part}".encode()).hexdigest()
        )
        for part in ("base.tar.zst.000", "backup_manifest")
    )
    return BaseBackup(
        id=name,
        environment="production",
        cluster="loan-management-production",
        system_identifier=_SYSTEM,
        created_at=at,
        made_by="ledgerkeep bench",
        method="full" if full else "incremental",
        parent_id=None if full else _id(at - timedelta(hours=1), full=number % 24 == 1),
        run=f"production_database_full_backup/scheduled__{at.isoformat()}",
        server_version=180006,
        timeline=1,
        start_lsn=number * _SEGMENT * 4,
        stop_lsn=number * _SEGMENT * 4 + 400,
        started_at=at - timedelta(minutes=1),
        stopped_at=at,
        next_xid=1000 + number,
        segment_size=_SEGMENT,
        wal_level="replica",
        data_checksums=True,
        archives=[Archive(tablespace_oid=None, location=None, raw_bytes=10, volumes=[volume])],
        manifest=manifest,
        file_count=1000,
        raw_bytes=10,
        stored_bytes=4,
        server_settings={"max_connections": "100", "max_wal_senders": "10"},
    )


def _id(at: datetime, *, full: bool) -> str:
    return f"{at:%Y%m%dT%H%M%SZ}-{'F' if full else 'I'}-{at:%d%H%M%S}"


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.monotonic()
    result = work()
    return time.monotonic() - started, result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m include.bench.catalog")
    parser.add_argument("--points", type=int, default=POINTS, help="recovery points")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the filled store stays")
    given = parser.parse_args()
    for row in catalog_rows(given.points, given.keep):
        print(*row, sep=" | ")


if __name__ == "__main__":
    main()
