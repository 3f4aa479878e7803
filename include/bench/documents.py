"""Bulk recovery of documents: ours, the procedures' own loop, and s5cmd, on the same store.

Every document of a prefix was overwritten, and all of them go back to the moment before. Ours
plans, copies, proves each copy and writes a report of every key. The loop is the procedures' script
with boto3 in place of the command line (which starts a Python for each call): current keys, one
listing per key, one copy after the other, nothing checked; it is run on a part of the documents,
since its time is theirs times their number. s5cmd knows nothing of moments: it copies as many
current objects over as many others, which is the least that any recovery has to do.

    python -m include.bench.documents [--documents N]
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from include.bench.measure import Measured, Row, compared, measure_apart
from include.sandbox import objectstore
from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.documents.recovery.carry_out import carry_out
from ledgerkeep.documents.recovery.plan import make_plan
from ledgerkeep.documents.recovery.report import write_report
from ledgerkeep.documents.recovery.request import DocumentRequest, ToMoment
from ledgerkeep.documents.recovery.route import Route
from ledgerkeep.model import utc_now
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.load import load_policy
from ledgerkeep.storage.bucket import Bucket
from ledgerkeep.storage.open import open_documents, open_store
from ledgerkeep.storage.versions import list_versions
from ledgerkeep.worker import WorkerSettings

DOCUMENTS = 10_000
_SIZE = 2_000
_LOOP = 10
"""The loop is given one document in so many."""
_BUCKET, _BACKUPS = "documents", "backups"
_AT_ONCE = 16


def document_rows(documents: int = DOCUMENTS) -> list[Row]:
    """The rows of the table; takes some minutes, most of them to put the documents there."""
    with _served() as there:
        then = there.fill("ours/", documents)
        there.fill("loop/", documents // _LOOP)
        there.damage("ours/", documents)
        there.damage("loop/", documents // _LOOP)
        ours = there.run("ours", "ours/", then.isoformat())
        loop = there.run("loop", "loop/", then.isoformat())
        loop = Measured(loop.seconds * _LOOP, loop.peak_mb)
        what = f"bulk recovery of {documents} documents"
        rows = [
            compared(f"{what} / one by one (of {documents // _LOOP}, times {_LOOP})", ours, loop),
            (f"{what}: peak memory", f"{ours.peak_mb:.0f} MB", f"{loop.peak_mb:.0f} MB", ""),
        ]
        if program := shutil.which("s5cmd"):
            # Over documents with as many versions: to a new key the store copies faster.
            there.fill("s5cmd/", documents)
            there.damage("s5cmd/", documents)
            copied = there.s5cmd(program, "ours/")
            rows.insert(0, compared(f"{what} / s5cmd copying as many", ours, copied))
    return rows


@dataclass(frozen=True)
class _Served:
    home: Path
    server: objectstore.ObjectStoreServer
    client: Any

    def fill(self, prefix: str, documents: int) -> datetime:
        """Put documents there; the moment when they were."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda n: self._put(f"{prefix}{n:06}.pdf", b"\0"), range(documents)))
        last = max(one.modified_at for one in list_versions(_opened(_BUCKET), prefix))
        # What is written within the second of the moment counts as written before it.
        while (utc_now() - last).total_seconds() <= 1:
            time.sleep(0.05)
        return utc_now()

    def damage(self, prefix: str, documents: int) -> None:
        """Overwrite all of them."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda n: self._put(f"{prefix}{n:06}.pdf", b"\1"), range(documents)))

    def run(self, what: str, prefix: str, then: str) -> Measured:
        """Measure a process of this module."""
        command = [sys.executable, "-m", "include.bench.documents", what, prefix, then]
        return measure_apart(command, log=self.home / "bench.log", environment=dict(os.environ))

    def s5cmd(self, program: str, prefix: str) -> Measured:
        """Measure s5cmd, with its own number of workers."""
        source, target = f"s3://{_BUCKET}/{prefix}*", f"s3://{_BUCKET}/s5cmd/"
        return measure_apart(
            [program, "--endpoint-url", self.server.endpoint, "cp", source, target],
            log=self.home / "s5cmd.log",
            environment={**os.environ, "AWS_REGION": objectstore.REGION},
        )

    def _put(self, key: str, mark: bytes) -> None:
        body = mark + secrets.token_bytes(_SIZE)
        self.client.put_object(Bucket=_BUCKET, Key=key, Body=body)


@contextmanager
def _served() -> Iterator[_Served]:
    home = Path(tempfile.mkdtemp(prefix="lkd-", dir="/var/tmp"))
    server = objectstore.start(
        home / "weed",
        user=objectstore.Credentials("ledgerkeep", secrets.token_hex(16)),
        admin=objectstore.Credentials("admin", secrets.token_hex(16)),
    )
    try:
        objectstore.make_bucket(server, _BUCKET, object_lock=False)
        objectstore.make_bucket(server, _BACKUPS, object_lock=False)
        objectstore.admin_client(server).put_bucket_versioning(
            Bucket=_BUCKET, VersioningConfiguration={"Status": "Enabled"}
        )
        _point_at(server)
        yield _Served(home, server, _plain_client())
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        shutil.rmtree(home, ignore_errors=True)


def _point_at(server: objectstore.ObjectStoreServer) -> None:
    """Of this process and those that it measures; credentials never on a command line."""
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.user.access_key,
        "AWS_SECRET_ACCESS_KEY": server.user.secret_key,
        "AWS_DEFAULT_REGION": objectstore.REGION,
        "LEDGERKEEP_STORE_ENCRYPTION": "none",
    }


def _plain_client() -> Any:
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}))


def _opened(name: str) -> Bucket:
    policy = load_policy(WorkerSettings().policies / "staging.yaml")
    documents = Documents(connection_id="bench", bucket=name, region=objectstore.REGION)
    return open_documents(documents, policy.storage, WorkerSettings())


def _recover(prefix: str, then: str) -> None:
    policy = load_policy(WorkerSettings().policies / "staging.yaml")
    storage = policy.storage.model_copy(update={"bucket": _BACKUPS, "object_lock": None})
    policy = policy.model_copy(update={"storage": storage})
    catalog = Catalog(open_store(storage, WorkerSettings()), policy)
    bucket = _opened(_BUCKET)
    route = Route(bucket, bucket)
    request = DocumentRequest(prefix=prefix, goal=ToMoment(at=datetime.fromisoformat(then)))
    began = time.monotonic()
    plan = make_plan(catalog, request, route)
    planned = time.monotonic()
    done = carry_out(catalog, plan, route, concurrency=_AT_ONCE)
    copied = time.monotonic()
    report = write_report(catalog, plan, route, concurrency=_AT_ONCE)
    ended = time.monotonic()
    told = {
        "plan": round(planned - began, 2),
        "copy": round(copied - planned, 2),
        "report": round(ended - copied, 2),
        **done.outcomes,
        **report.proofs,
    }
    print(json.dumps(told))


def _one_by_one(prefix: str, then: str) -> None:
    """The bulk restore script of the procedures, call by call."""
    client, target = _plain_client(), datetime.fromisoformat(then)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET, Prefix=prefix)
    for key in [row["Key"] for page in pages for row in page.get("Contents", [])]:
        versions = client.list_object_versions(Bucket=_BUCKET, Prefix=key).get("Versions", [])
        before = [one for one in versions if one["LastModified"] <= target]
        if before:
            wanted = max(before, key=lambda one: one["LastModified"])["VersionId"]
            source = {"Bucket": _BUCKET, "Key": key, "VersionId": wanted}
            client.copy_object(Bucket=_BUCKET, Key=key, CopySource=source)


def main() -> None:
    """Print the rows; or be one of the processes that are measured."""
    if len(sys.argv) == 4 and sys.argv[1] in _PROCESSES:
        _PROCESSES[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m include.bench.documents")
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    for row in document_rows(parser.parse_args().documents):
        print(*row, sep="  |  ")


_PROCESSES = {"ours": _recover, "loop": _one_by_one}

if __name__ == "__main__":
    main()
