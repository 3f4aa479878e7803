"""The feeder and its client: what the server is told, by exit code, and what lies where."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import zstandard

from ledgerkeep.catalog import keys
from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.recovery import wal_feeder
from ledgerkeep.recovery.plan import RecoveryPlan, plan_recovery
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.wal_feeder import WalFeeder
from tests.recovery.samples import (
    NOW,
    SEGMENT,
    SYSTEM,
    backup,
    listed,
    name,
    snapshot,
    stretch,
)
from tests.support.memory_store import MemoryStore

CLIENT = Path(wal_feeder.__file__).with_name("fetch_wal.sh")
US = Account("us", os.geteuid(), os.getegid())
CATALOG = snapshot(backup("monday", stop=3, at=0), stretch(3, 20, until=10))


@pytest.fixture
def plan() -> RecoveryPlan:
    """Segments 4 to 20; the target lies in 15."""
    return plan_recovery(CATALOG, listed(CATALOG), RecoveryTarget(lsn=15 * SEGMENT + 9), now=NOW)


@pytest.fixture
def store() -> MemoryStore:
    """All of them, each full of its own number."""
    made = MemoryStore()
    for number in range(3, 21):
        put(made, number, bytes([number]) * SEGMENT)
    return made


def put(store: MemoryStore, number: int, raw: bytes, *, recorded: bytes | None = None) -> None:
    """Store a segment's content, with the hash of what it should be."""
    key = keys.wal_segment("production", SYSTEM, name(number))
    store.objects.pop(key, None)
    content_hash = hashlib.sha256(recorded or raw).hexdigest()
    body = zstandard.ZstdCompressor(level=1).compress(raw)
    store.put(key, body, metadata={"raw-sha256": content_hash})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A room as the client sees it from the data directory."""
    for part in ("wal-spool", "data"):
        (tmp_path / part).mkdir()
    return tmp_path / "data"


def fetch(data: Path, wanted: str) -> subprocess.CompletedProcess:
    """What the server's startup process does."""
    return subprocess.run(
        ["/bin/sh", CLIENT, wanted, "RECOVERYXLOG"],
        cwd=data,
        capture_output=True,
        text=True,
        timeout=20,
    )


def feeder(store: MemoryStore, plan: RecoveryPlan, data: Path) -> WalFeeder:
    return WalFeeder(store, plan, data.parent / "wal-spool", US)


def test_segment_is_moved_into_place(store, plan, data):
    with feeder(store, plan, data) as running:
        for number in (4, 5, 6):
            assert fetch(data, name(number)).returncode == 0
            assert (data / "RECOVERYXLOG").read_bytes() == bytes([number]) * SEGMENT
        assert (running.served, running.served_until) == (3, 7 * SEGMENT)
    assert list((data.parent / "wal-spool").iterdir()) == []


def test_what_comes_ahead_is_bounded_and_stops_at_the_last_segment_needed(store, plan, data):
    with feeder(store, plan, data) as running:
        fetch(data, name(4))
        assert sorted(running._fetched) == [5, 6, 7, 8, 9, 10, 11]
        fetch(data, name(14))
        assert sorted(running._fetched) == [15]
        assert fetch(data, name(20)).returncode == 0


def test_restarted_server_may_ask_for_earlier_segments_again(store, plan, data):
    with feeder(store, plan, data):
        for number in (8, 9, 4, 4, 9):
            assert fetch(data, name(number)).returncode == 0
            assert (data / "RECOVERYXLOG").read_bytes()[0] == number


@pytest.mark.parametrize("wanted", [name(3), name(21), name(5, timeline=2), "00000002.history"])
def test_what_is_not_there_ends_the_wal(store, plan, data, wanted):
    with feeder(store, plan, data) as running:
        assert fetch(data, wanted).returncode == 1
        assert running.failure is None
        assert running.asked_beyond == (1 if wanted == name(21) else 0)


def test_history_is_handed_over(store, plan, data):
    store.put(keys.wal_history("production", SYSTEM, 2), b"1\t0/6000000\tno reason\n")
    with feeder(store, plan, data):
        assert fetch(data, "00000002.history").returncode == 0
    assert (data / "RECOVERYXLOG").read_bytes() == b"1\t0/6000000\tno reason\n"


def test_segment_that_the_plan_counts_on_is_never_the_end_of_the_wal(store, plan, data):
    del store.objects[keys.wal_segment("production", SYSTEM, name(5))]
    with feeder(store, plan, data) as running:
        assert fetch(data, name(4)).returncode == 0
        answer = fetch(data, name(5))
        assert answer.returncode == 200
        assert answer.stderr == f"fetch-wal: WAL segment {name(5)} is gone from s3://memory\n"
        assert running.failure.message == f"WAL segment {name(5)} is gone from s3://memory"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"x" * SEGMENT, "its content does not have the SHA-256 recorded with it"),
        (b"x" * 100, "it holds 100 bytes instead of 16777216"),
    ],
)
def test_damaged_segment_fails_the_recovery(store, plan, data, raw, what):
    put(store, 4, raw, recorded=bytes([4]) * SEGMENT)
    with feeder(store, plan, data) as running:
        assert fetch(data, name(4)).returncode == 200
        assert running.failure.message == f"WAL segment {name(4)} is damaged: {what}"
    assert not (data / "RECOVERYXLOG").exists()


def test_reply_to_an_interrupted_client_is_not_taken_by_the_next(store, plan, data):
    """A fast shutdown ends the client between its request and our reply."""
    with feeder(store, plan, data) as running:
        with (data.parent / "wal-spool" / "requests").open("w") as requests:
            requests.write(f"999999 {name(21)}\n")
        assert fetch(data, name(5)).returncode == 0
        assert (running.asked_beyond, running.served) == (1, 1)
    assert (data / "RECOVERYXLOG").read_bytes()[0] == 5
