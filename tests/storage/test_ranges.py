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
threading.Thread(target=RangeReader(client).fetch, args=("key", 0, 1), daemon=True).start()
sys.stdin.readline()
"""


def _reader() -> RangeReader:
    store = MemoryStore()
    store.put("key", BODY)
    return RangeReader(store)


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
