"""The stand-ins of the sandbox, each in a process of its own, and the lender's account."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from include.sandbox import environment, processes
from include.sandbox.lender import saas
from include.sandbox.lender.account import LenderAccount
from include.sandbox.ports import free_ports
from include.sandbox.servers import answers
from include.sandbox.state import Secrets
from ledgerkeep.configuration.access import Access, Login
from ledgerkeep.policy.load import load_environment, load_policies

SEED = "the seed of a test"
KEYS = Secrets()


@contextmanager
def serving(home: Path, seed: str = SEED) -> Iterator[str]:
    """AWS as the sandbox starts it; its address."""
    with _serving("include.sandbox.aws_server", "/moto-api/", home, seed) as url:
        yield url


@contextmanager
def serving_saas(home: Path, seed: str = SEED) -> Iterator[str]:
    """Auth0, DocuSign, SendGrid and GitHub as the sandbox starts them; their address."""
    with _serving("include.sandbox.lender.saas", "", home, seed) as url:
        yield url


def saas_logins(url: str) -> dict[str, Login]:
    """Connection → what it holds, as the sandbox makes it."""
    known = saas.logins(load_policies(environment.POLICIES), KEYS)
    return {one.connection_id: Login(url, one.login, one.password, one.extra) for one in known}


@contextmanager
def _serving(module: str, path: str, home: Path, seed: str) -> Iterator[str]:
    (port,) = free_ports(1)
    log = home / f"{module}.log"
    daemon = processes.start(
        [sys.executable, "-m", module, f"--port={port}"],
        home=home,
        log=log,
        directory=environment.ROOT,
        environment={
            **processes.inherited_environment(),
            environment.ACCOUNT_SEED: seed,
            saas.SECRET: KEYS.saas_secret,
            saas.DOCUSIGN_KEY: KEYS.docusign_key,
        },
    )
    try:
        url = f"http://127.0.0.1:{port}"
        processes.wait_until(
            lambda: answers(f"{url}{path}"), daemon, name=module, log=log, timeout=60
        )
        yield url
    finally:
        processes.end([psutil.Process(daemon.pid)], first=signal.SIGKILL, grace=5)


def account(url: str, name: str = "production", seed: str = SEED) -> LenderAccount:
    """The account of an environment."""
    return LenderAccount.of(load_environment(name, environment.POLICIES), url, seed)


def access(held: LenderAccount, logins: dict[str, Login] | None = None) -> Access:
    """How sources reach the account, whatever their connections are called."""
    return Access(
        client=lambda service, _connection, region: held.client(service, region),
        login=lambda connection: (logins or {})[connection],
    )
