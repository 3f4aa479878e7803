"""The sandbox's AWS stand-in in a process of its own, and the lender's account in it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from include.sandbox import environment, processes
from include.sandbox.lender.account import LenderAccount
from include.sandbox.ports import free_ports
from include.sandbox.servers import answers
from ledgerkeep.configuration.access import Access, Login
from ledgerkeep.policy.load import load_environment

SEED = "the seed of a test"


@contextmanager
def serving(home: Path, seed: str = SEED) -> Iterator[str]:
    """The stand-in as the sandbox starts it; its address."""
    (port,) = free_ports(1)
    log = home / "aws.log"
    daemon = processes.start(
        [sys.executable, "-m", "include.sandbox.aws_server", f"--port={port}"],
        home=home,
        log=log,
        directory=environment.ROOT,
        environment={**processes.inherited_environment(), environment.ACCOUNT_SEED: seed},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        processes.wait_until(
            lambda: answers(f"{url}/moto-api/"), daemon, name="AWS", log=log, timeout=60
        )
        yield url
    finally:
        processes.end([psutil.Process(daemon.pid)], grace=0)


def account(url: str, name: str = "production", seed: str = SEED) -> LenderAccount:
    """The account of an environment."""
    return LenderAccount.of(load_environment(name, environment.POLICIES), url, seed)


def access(held: LenderAccount, logins: dict[str, Login] | None = None) -> Access:
    """How sources reach the account, whatever their connections are called."""
    return Access(
        client=lambda service, _connection, region: held.client(service, region),
        login=lambda connection: (logins or {})[connection],
    )
