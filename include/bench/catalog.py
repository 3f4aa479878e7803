"""A catalog of seven years: how long retention decides, and how long it is read.

One recovery point an hour, a full one a day and incrementals on it, as they would lie there if
nothing were ever removed: about sixty thousand, five small objects each, in a real SeaweedFS.

    python -m include.bench.catalog [POINTS]
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

import obstore
from obstore.store import S3Store

from include.bench.measure import Row
from include.sandbox import objectstore
from ledgerkeep.catalog import keys
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.index import refresh_indexes
from ledgerkeep.catalog.models import Archive, BaseBackup
from ledgerkeep.catalog.retention import Stored, plan_retention
from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.open import StoreAccess, open_store
from ledgerkeep.storage.port import StoredObject
from ledgerkeep.worker import WorkerSettings

T = TypeVar("T")

POINTS = 7 * 365 * 24
_SYSTEM = "7300000000000000001"
_BUCKET = "catalog"
_IN_FLIGHT = 64
_SEGMENT = 16 * 1024 * 1024


def catalog_rows(points: int = POINTS) -> list[Row]:
    """The rows of the table; takes some minutes, most of them to put the objects there."""
    now = datetime(2033, 1, 1, tzinfo=UTC)
    backups = [_backup(number, points, now) for number in range(points)]
    home = Path(tempfile.mkdtemp(prefix="lkc-", dir="/var/tmp"))
    try:
        with _Served(home) as served:
            asyncio.run(_fill(served.client, backups))
            catalog = served.catalog
            # Without an index, every record is read by itself: that is how the first one is made.
            plain, _ = _timed(lambda: refresh_indexes(catalog, _SYSTEM))
            fast, found = _timed(lambda: catalog.snapshot(_SYSTEM))
            if found.backups != backups:
                raise AssertionError("the index changed what the catalog says")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    policy = catalog.policy.database
    decided, plan = _timed(
        lambda: plan_retention(Stored(found), policy.retention, policy.pre_deployment, now=now)
    )
    what = f"{points} recovery points"
    kept = f"keeps {len(plan.kept)}"
    return [
        (f"retention of {what} decided", f"{decided:.1f} s", "goal: seconds", kept),
        (f"catalog of {what}, each record read, index made", f"{plain:.1f} s", "", ""),
        ("the same catalog, read with its index", f"{fast:.1f} s", "", f"{fast / plain:.2f}"),
    ]


class _Served:
    """A SeaweedFS of its own, with a bucket."""

    def __init__(self, home: Path) -> None:
        self._server = objectstore.start(
            home,
            user=objectstore.Credentials("ledgerkeep", token_hex(16)),
            admin=objectstore.Credentials("admin", token_hex(16)),
        )
        objectstore.make_bucket(self._server, _BUCKET)
        user = self._server.user
        self.client = S3Store(
            _BUCKET,
            endpoint=self._server.endpoint,
            region=objectstore.REGION,
            access_key_id=user.access_key,
            secret_access_key=user.secret_key,
            client_options={"allow_http": True},
            virtual_hosted_style_request=False,
        )
        policy = _policy()
        access = StoreAccess(
            endpoint_url=self._server.endpoint,
            access_key=user.access_key,
            secret_key=user.secret_key,
        )
        store = open_store(policy.storage, WorkerSettings(store_encryption="none"), access)
        self.catalog = Catalog(store, policy)

    def __enter__(self) -> "_Served":
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._server.pid, signal.SIGKILL)


def _policy() -> Policy:
    policy = load_policy(WorkerSettings().policies / "production.yaml")
    storage = policy.storage.model_copy(update={"bucket": _BUCKET, "object_lock": None})
    return policy.model_copy(update={"storage": storage})


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
    volume = StoredObject(key=f"{prefix}base.tar.zst.000", size=2, sha256=token_hex(32))
    manifest = StoredObject(key=f"{prefix}backup_manifest", size=2, sha256=token_hex(32))
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


if __name__ == "__main__":
    for row in catalog_rows(int(sys.argv[1]) if len(sys.argv) > 1 else POINTS):
        print(*row, sep=" | ")
