"""Ports are chosen once, whoever chooses, and by however many processes."""

import random
import socket
import subprocess
import sys

import pytest

from include.sandbox import ports
from tests.conftest import ROOT

CHOOSES = """
import random, sys
from include.sandbox import ports
random.randint = lambda *_, ports=iter(map(int, sys.argv[1:])): next(ports)
print(ports.free_ports(1)[0])
"""


def others_choice(*tried: int) -> int:
    """What another process chooses that tries these ports one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", CHOOSES, *map(str, tried)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": "."},
        check=True,
    )
    return int(done.stdout)


def test_port_that_one_process_has_chosen_is_no_others() -> None:
    mine, another = ports.free_ports(2)
    ports._claims.pop()  # as if nobody had chosen the second
    assert others_choice(mine, another) == another


def test_claim_ends_with_the_process() -> None:
    (mine,) = ports.free_ports(1)
    ports._claims.clear()
    assert others_choice(mine) == mine
    assert others_choice(mine) == mine


def test_port_that_somebody_listens_on_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    (free,) = ports.free_ports(1)
    ports._claims.pop()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tried = iter([taken.getsockname()[1], free])
        monkeypatch.setattr(random, "randint", lambda *_: next(tried))
        assert ports.free_ports(1) == [free]


def test_no_more_claims_are_held_than_may_be_waiting_for_their_server() -> None:
    for _ in range(10):
        ports.free_ports(10)
    assert len(ports._claims) == ports._claims.maxlen == 64
