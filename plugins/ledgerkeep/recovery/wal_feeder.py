"""WAL for a recovering server, fetched ahead of it by the process that watches it.

PostgreSQL runs `restore_command` once per segment and waits for it. A Python with a client library
would take a third of a second to start each time, so the command is a tiny shell script
(`fetch_wal.sh`) that asks us over a named pipe: we have downloaded, decompressed and verified the
next segments already, and it only moves a file. Requests and replies carry the asker's process id:

    requests   <pid> <file name>
    replies    <pid> ok | <pid> missing | <pid> failed <why>

`missing` ends the WAL and `failed` ends the recovery; PostgreSQL would take one for the other if
the exit code did not tell them apart. Nothing is `missing` that the plan counted on.
"""

import hashlib
import os
import select
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import zstandard

from ledgerkeep.catalog import keys
from ledgerkeep.catalog.lsn import is_segment_name, parse_segment_name
from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.errors import LedgerkeepError, ObjectCorrupt, ObjectMissing, RestoreFailed
from ledgerkeep.recovery.plan import RecoveryPlan
from ledgerkeep.recovery.wal_index import segment_on
from ledgerkeep.storage.port import ObjectStore

_AHEAD = 8
_WORKERS = 3
_LONGEST_REASON = 800
"""Bytes; a reply must fit into PIPE_BUF to be written in one piece."""


class WalFeeder:
    """Serves the segments of a plan into `spool` while its block runs."""

    def __init__(
        self, store: ObjectStore, plan: RecoveryPlan, spool: Path, account: Account
    ) -> None:
        self._store = store
        self._plan = plan
        self._spool = spool
        self._account = account
        size = plan.segment_size
        self._first = plan.first_number
        self._end = max(self._first, plan.available_until // size)
        self._needed_end = self._first + plan.segment_count
        self._fetched: dict[int, Future[None]] = {}
        self.served = 0
        """Segments handed over."""
        self.served_until = 0
        """Position in the WAL up to which they reach."""
        self.failure: LedgerkeepError | None = None
        """Why a request failed: the server has been told to stop."""
        self.asked_beyond = 0
        """How often the server has asked for what comes after the last segment there is."""

    def __enter__(self) -> "WalFeeder":
        self._clear_spool()
        self._requests = self._pipe("requests")
        self._replies = self._pipe("replies")
        self._wake, self._waker = os.pipe()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="fetch WAL")
        self._thread = threading.Thread(target=self._serve, name="feed WAL", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._waker)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._thread.join()
        for descriptor in (self._requests, self._replies, self._wake):
            os.close(descriptor)
        self._clear_spool()

    def _pipe(self, name: str) -> int:
        """A named pipe, open at both ends, so that no client waits for us to open it."""
        path = self._spool / name
        os.mkfifo(path, 0o600)
        self._account.own(path)
        return os.open(path, os.O_RDWR)

    def _clear_spool(self) -> None:
        for left in self._spool.iterdir():
            left.unlink()

    # -- the conversation

    def _serve(self) -> None:
        received = b""
        while True:
            ready, _, _ = select.select([self._requests, self._wake], [], [])
            if self._wake in ready:
                return
            received += os.read(self._requests, 4096)
            *lines, received = received.split(b"\n")
            for line in lines:
                asker, _, name = line.decode(errors="replace").partition(" ")
                os.write(self._replies, f"{asker} {self._answer(name)}\n".encode())

    def _answer(self, name: str) -> str:
        try:
            if is_segment_name(name):
                return self._segment(name)
            if name.endswith(".history"):
                return self._history(name)
        except LedgerkeepError as problem:
            self.failure = problem
        except OSError as problem:
            self.failure = RestoreFailed(
                f"{name} could not be written below {self._spool}: {problem.strerror}",
                hint="free space on that file system, or restore to another directory",
            )
        else:
            return "missing"
        reason = " ".join(self.failure.message.split())
        return f"failed {reason[:_LONGEST_REASON]}"

    def _segment(self, name: str) -> str:
        _, number = parse_segment_name(name, self._plan.segment_size)
        if number >= self._end:
            self.asked_beyond += 1
            return "missing"
        if number < self._first or name != self._name(number):
            # The backup brought it, or it is of a timeline that was left before.
            return "missing"
        self._fetch_ahead(number)
        self._fetched.pop(number).result()
        self.served += 1
        self.served_until = max(self.served_until, (number + 1) * self._plan.segment_size)
        return "ok"

    def _history(self, name: str) -> str:
        timeline = int(name[:8], 16)
        key = keys.wal_history(self._plan.environment, self._plan.system_identifier, timeline)
        if self._store.head(key) is None:
            return "missing"
        self._place(name, self._store.get(key))
        return "ok"

    # -- fetching

    def _name(self, number: int) -> str:
        return segment_on(self._plan.lineage, number, self._plan.segment_size)

    def _fetch_ahead(self, number: int) -> None:
        """Have `number` and the next needed ones under way, and nothing else in the spool."""
        window = range(number, max(number + 1, min(number + _AHEAD, self._needed_end)))
        for other in [one for one in self._fetched if one not in window]:
            left = self._fetched.pop(other)
            if not left.cancel():
                left.exception()
                (self._spool / self._name(other)).unlink(missing_ok=True)
        for wanted in window:
            if wanted not in self._fetched:
                self._fetched[wanted] = self._pool.submit(self._fetch, self._name(wanted))

    def _fetch(self, name: str) -> None:
        """Download, decompress and verify one segment."""
        plan = self._plan
        key = keys.wal_segment(plan.environment, plan.system_identifier, name)
        head = self._store.head(key)
        if head is None:
            raise ObjectMissing(
                f"WAL segment {name} is gone from {self._store.location}",
                hint="it was there when the recovery was planned: find out who removes WAL, "
                "and plan again",
            )
        body = self._store.get(key, sha256=head.metadata.get("sha256"))
        raw = _decompress(name, body, plan.segment_size)
        recorded = head.metadata.get("raw-sha256")
        if recorded is not None and hashlib.sha256(raw).hexdigest() != recorded:
            raise _corrupt(name, "its content does not have the SHA-256 recorded with it")
        self._place(name, raw)

    def _place(self, name: str, content: bytes) -> None:
        path = self._spool / name
        path.write_bytes(content)
        path.chmod(0o600)
        self._account.own(path)


def _decompress(name: str, body: bytes, size: int) -> bytes:
    try:
        raw = zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
    except zstandard.ZstdError as problem:
        raise _corrupt(name, f"its zstd frame is broken ({problem})") from problem
    if len(raw) != size:
        raise _corrupt(name, f"it holds {len(raw)} bytes instead of {size}")
    return raw


def _corrupt(name: str, what: str) -> ObjectCorrupt:
    return ObjectCorrupt(
        f"WAL segment {name} is damaged: {what}",
        hint="recover to a target before it, or from a base backup after it; "
        "an earlier version of the object may be whole",
    )
