"""Ranges over one event loop: asked from many threads, and left behind by a process that ends."""

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.store import MemoryStore

from ledgerkeep.storage.ranges import RangeReader

BODY = bytes(range(256)) * 1024

LEAVES_ONE_UNDER_WAY = """
import sys, threading
from obstore.store import S3Store
from ledgerkeep.storage.ranges import RangeReader

client = S3Store(
    "bucket",
    config={"aws_endpoint_url_s3": sys.argv[1], "region": "eu-central-1", "skip_signature": True},
    client_options={"allow_http": True, "timeout": "1h"},
)
threading.Thread(target=RangeReader(lambda: client).fetch, args=("key", 0, 1), daemon=True).start()
sys.stdin.readline()
"""

COUNTS_ITS_THREADS = """
from pathlib import Path
from obstore.store import MemoryStore
from ledgerkeep.storage.ranges import RangeReader

store = MemoryStore()
reader = RangeReader(lambda: store)
reader.client.put("key", b"0123456789")
reader.fetch("key", 0, 1)
names = [(thread / "comm").read_text().strip() for thread in Path("/proc/self/task").iterdir()]
print(sum(name.startswith("tokio-rt") for name in names))
"""

FORKS = """
import os, signal, sys
from obstore.store import MemoryStore
from ledgerkeep.errors import WorkerError
from ledgerkeep.storage.ranges import RangeReader

def fill(store):
    store.put("key", b"0123456789")

inherited = MemoryStore()
has_read = sys.argv[1] == "after reading"
if has_read:
    fill(inherited)
    RangeReader(lambda: inherited).fetch("key", 0, 1)
child = os.fork()
if child == 0:
    signal.alarm(30)  # nobody waits for ever
    for store in (inherited, MemoryStore()):
        try:
            if not has_read:
                fill(store)
            print(bytes(RangeReader(lambda store=store: store).fetch("key", 2, 5)))
        except WorkerError as problem:
            print(str(problem).replace(str(os.getpid()), "C").replace(str(os.getppid()), "P"))
    sys.stdout.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
fill(inherited)
print(bytes(RangeReader(lambda: inherited).fetch("key", 5, 7)))
sys.stdout.flush()
os._exit(0)  # as Airflow's tasks end: nobody waits for a thread that has just given its answer
"""


def _reader() -> RangeReader:
    store = MemoryStore()
    store.put("key", BODY)
    return RangeReader(lambda: store)


def test_many_threads_each_get_their_own_range() -> None:
    """The loop is started once, by whoever comes first."""
    readers = [_reader(), _reader()]
    starts = range(0, len(BODY), 1000)
    with ThreadPoolExecutor(16) as pool:
        got = list(
            pool.map(lambda start: readers[start % 2].fetch("key", start, start + 1000), starts)
        )
    assert b"".join(got) == BODY
    loops = [thread for thread in threading.enumerate() if thread.name == "object ranges"]
    assert len(loops) == 1


def test_the_client_is_made_once_and_not_before_it_is_needed() -> None:
    """Making one costs what a small request does, and many a task reads no range."""
    made: list[MemoryStore] = []

    def make() -> MemoryStore:
        made.append(MemoryStore())
        made[-1].put("key", BODY)
        return made[-1]

    reader = RangeReader(make)
    assert made == []
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda start: reader.fetch("key", start, start + 10), range(8)))
    assert len(made) == 1


def test_a_missing_object_is_raised_where_it_was_asked_for() -> None:
    """Not in the loop's thread, where nobody would see it."""
    with pytest.raises(FileNotFoundError):
        _reader().fetch("other", 0, 1)


def test_a_process_ends_although_a_range_is_under_way() -> None:
    """The store never answers; the process is told to end and does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                LEAVES_ONE_UNDER_WAY,
                f"http://127.0.0.1:{silent.getsockname()[1]}",
            ],
            stdin=subprocess.PIPE,
            env={"PYTHONPATH": "plugins"},
        )
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(65536).startswith(b"GET /bucket/key")
            process.communicate(b"end\n", timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(("said", "receive"), [({}, 1), ({"TOKIO_WORKER_THREADS": "3"}, 3)])
def test_one_thread_receives_unless_the_worker_is_told_otherwise(
    said: dict[str, str], receive: int
) -> None:
    """Two would hand the same bytes to each other; one more is for what blocks."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTS_ITS_THREADS],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": "plugins", **said},
        timeout=60,
        check=True,
    )
    assert int(done.stdout) == receive + 1


def fork(when: str) -> list[str]:
    """What a child and then its parent say."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, when],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": "plugins"},
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_process_that_is_forked_before_the_first_range_reads_like_any_other() -> None:
    """As Airflow forks its tasks."""
    assert fork("before reading") == ["b'234'", "b'234'", "b'56'"]


def test_a_process_that_is_forked_after_a_range_is_told_and_does_not_hang() -> None:
    """Also over a store that it has opened itself; the parent goes on."""
    said = [
        "process C was forked from process P, which had read from an object store, and cannot read "
        "from one itself",
        "Hint: start a new program for this work instead of forking (multiprocessing: the start "
        "method spawn), or fork before the first reading",
    ]
    assert fork("after reading") == [*said, *said, "b'56'"]
