"""Rows of the documents' replica: how fast every version is compared, and in how much memory.

A million simulated versions on each side show the comparison alone; fifty thousand real ones, on
two SeaweedFS, show it with its listings. The peer is what is usually written for it: boto3's
paginator over both sides into two dictionaries. Each measured run is a process of its own.

`python -m include.bench.documents_replica` prints these rows alone; no database is needed.
"""

import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import obstore

from include.bench.measure import Measured, Row, measure_apart
from include.bench.simulated_versions import RULES, simulated
from include.sandbox import objectstore
from include.sandbox.objectstore import REGION, Credentials, ObjectStoreServer
from ledgerkeep.documents.replica.differences import Tally
from ledgerkeep.documents.replica.merge import merge
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.documents.replica.wanted import NEVER
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_environment
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import StoreAccess, open_documents
from ledgerkeep.storage.versions import list_versions
from ledgerkeep.worker import WorkerSettings

SIMULATED = 1_000_000
REAL = 50_000
_BUCKET = "documents"
_AT_ONCE = 32
_LACKING = 1_000
"""One version in so many is not in the replica."""


def replica_rows(simulated_versions: int, real_versions: int, log: Path) -> list[Row]:
    """Compare that many versions, simulated and real."""
    pure = _measured(log, "simulated", str(simulated_versions))
    with _two_stores(log, real_versions) as environment:
        ours = _measured(log, "listed", environment=environment)
        peer = _measured(log, "paginator", environment=environment)
    return [
        (
            f"replica comparison, {simulated_versions:,} simulated versions",
            _rate(pure, simulated_versions),
            f"peak {pure.peak_mb:.0f} MB",
            "",
        ),
        (
            f"replica comparison, {real_versions:,} versions / boto3 paginators",
            _rate(ours, real_versions),
            _rate(peer, real_versions),
            f"{ours.seconds / peer.seconds:.2f}",
        ),
        (
            "peak memory of it",
            f"{ours.peak_mb:.0f} MB",
            f"{peer.peak_mb:.0f} MB",
            "",
        ),
    ]


def _rate(run: Measured, versions: int) -> str:
    return f"{run.seconds:.1f} s, {versions / run.seconds:,.0f}/s"


def _measured(log: Path, *arguments: str, environment: dict[str, str] | None = None) -> Measured:
    command = [sys.executable, "-m", "include.bench.documents_replica", *arguments]
    return measure_apart(command, log=log, environment={**os.environ, **(environment or {})})


@contextmanager
def _two_stores(log: Path, versions: int) -> Iterator[dict[str, str]]:
    """Two stores with the same documents but a few; how a measured process finds them."""
    with ExitStack() as leave:
        home = Path(leave.enter_context(tempfile.TemporaryDirectory(prefix="lkb-", dir="/var/tmp")))
        user, admin = (Credentials(name, secrets.token_hex(16)) for name in ("user", "admin"))
        servers = []
        for name in ("here", "there"):
            server = objectstore.start(home / name, user=user, admin=admin)
            leave.callback(os.killpg, server.pid, signal.SIGKILL)
            objectstore.make_bucket(server, _BUCKET)
            servers.append(server)
        for server, lacking in zip(servers, (0, _LACKING), strict=True):
            asyncio.run(_fill(server, versions, lacking))
        yield {
            "BENCH_STORES": json.dumps([server.endpoint for server in servers]),
            "AWS_ACCESS_KEY_ID": user.access_key,
            "AWS_SECRET_ACCESS_KEY": user.secret_key,
        }


async def _fill(server: ObjectStoreServer, versions: int, lacking: int) -> None:
    """Two versions of each key, the second after the first."""
    client = _bucket(server.endpoint, server.user).ranges.client
    slots = asyncio.Semaphore(_AT_ONCE)

    async def write(number: int) -> None:
        async with slots:
            for turn in range(2):
                if not (lacking and (2 * number + turn) % lacking == lacking - 1):
                    body = f"{number}/{turn}".encode()
                    await obstore.put_async(client, f"{number % 97:02d}/{number}.pdf", body)

    await asyncio.gather(*(write(number) for number in range(versions // 2)))


def _bucket(endpoint: str, user: Credentials | None = None) -> Bucket:
    return open_documents(
        Documents(connection_id="documents", bucket=_BUCKET, region=REGION),
        load_environment("production").storage,
        WorkerSettings(store_encryption="none"),
        StoreAccess(
            endpoint_url=endpoint,
            access_key=user.access_key if user else None,
            secret_key=user.secret_key if user else None,
        ),
    )


# -- what a measured process does


def _compare_simulated(count: int) -> None:
    tally = Tally()
    for key in merge(simulated(count), simulated(count, replica=True), RULES, tally):
        for one in key.found:
            tally.note(one)
    print(tally)


def _compare_listed() -> None:
    ours, theirs = (_bucket(endpoint) for endpoint in json.loads(os.environ["BENCH_STORES"]))
    rules, tally = Rules(by_id=False, plain_etags=True, young_from=NEVER), Tally()
    for key in merge(list_versions(ours), list_versions(theirs), rules, tally):
        for one in key.found:
            tally.note(one)
    print(tally)


def _compare_with_paginators() -> None:
    sides = []
    for endpoint in json.loads(os.environ["BENCH_STORES"]):
        contents: dict[str, list[str]] = {}
        client = _bucket(endpoint).client
        for page in client.get_paginator("list_object_versions").paginate(Bucket=_BUCKET):
            for version in page.get("Versions", []):
                contents.setdefault(version["Key"], []).append(version["ETag"])
        sides.append(contents)
    ours, theirs = sides
    print(sum(theirs.get(key) != etags for key, etags in ours.items()), "keys differ")


def main(arguments: list[str]) -> None:
    """Do what a measured process does, or measure and print the rows."""
    if arguments[:1] == ["simulated"]:
        _compare_simulated(int(arguments[1]))
    elif arguments == ["listed"]:
        _compare_listed()
    elif arguments == ["paginator"]:
        _compare_with_paginators()
    else:
        with tempfile.NamedTemporaryFile(suffix=".log") as log:
            for row in replica_rows(SIMULATED, REAL, Path(log.name)):
                print(" | ".join(row))


if __name__ == "__main__":
    main(sys.argv[1:])
