"""Work that is interrupted: workers in processes of their own, and faults that kill them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.conftest import ROOT, Cluster
from tests.support.faulty_proxy import Exchange

Worker = subprocess.Popen[bytes]


def until(
    condition: Callable[[], Any], what: str = "it did not happen", seconds: float = 60
) -> None:
    """Ask again and again until something is so.

    :param what: is wrong if it never is.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def start_worker(module: str, told: Mapping[str, Any]) -> Worker:
    """A module as a program; what it needs to know, passwords too, comes as JSON on its stdin."""
    worker = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}{os.pathsep}{ROOT}"},
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(told).encode())
    worker.stdin.close()
    return worker


def killing(worker: list[Worker], nth: int, *, acknowledged: bool) -> Callable[[Exchange], None]:
    """A fault that kills the worker at its nth request of a kind, before or after it is done."""
    lock = threading.Lock()
    seen = 0

    def fault(exchange: Exchange) -> None:
        nonlocal seen
        with lock:
            seen += 1
            now = seen == nth
        if now and not acknowledged:
            os.kill(worker[0].pid, signal.SIGKILL)
            exchange.hang_up()
            return
        answer = exchange.forward()
        if now:
            os.kill(worker[0].pid, signal.SIGKILL)
        exchange.answer(*answer)

    return fault


def wait_until_alone(cluster: Cluster) -> None:
    """Until the server has noticed that its client is gone."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ledgerkeep'"
    # The one that asks is one.
    until(lambda: cluster.execute(query) == [(1,)], "the killed worker's sessions are still there")
