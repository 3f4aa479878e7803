"""The lender's tenants at Auth0, DocuSign, SendGrid and GitHub, and who enters them.

Each environment has one of its own, and one for tests, on one stand-in that speaks all these APIs.
Its repositories on GitHub are the same for all. It keeps nothing on disk either; ids and
secrets of what it holds follow from the seed, so a restart makes the same again.

`python -m include.sandbox.lender.saas --port 5001`, with these in the environment variables
SANDBOX_ACCOUNT_SEED, SANDBOX_SAAS_SECRET and SANDBOX_DOCUSIGN_KEY.
"""

import argparse
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from ledgerkeep.configuration.sources.repositories.github import slug_of
from ledgerkeep.policy.load import load_policies
from ledgerkeep.policy.model import Policy

SERVICES = ("auth0", "docusign", "sendgrid")
_PROTECTION: dict[str, Any] = {
    "required_status_checks": {"strict": True, "contexts": ["plan", "lint"]},
    "enforce_admins": True,
    "required_pull_request_reviews": {
        "dismiss_stale_reviews": True,
        "required_approving_review_count": 1,
    },
    "restrictions": None,
}
SECRET, DOCUSIGN_KEY = "SANDBOX_SAAS_SECRET", "SANDBOX_DOCUSIGN_KEY"
_SEED = "SANDBOX_ACCOUNT_SEED"
_PEM = "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n"


class Keys(Protocol):
    """The secrets of a sandbox that open its tenants."""

    @property
    def saas_secret(self) -> str:
        """Of every one of them but DocuSign's."""

    @property
    def docusign_key(self) -> str:
        """Base64 of an RSA key's DER."""


@dataclass(frozen=True)
class SaasLogin:
    """What a connection to one of them holds."""

    service: str
    connection_id: str
    environment: str
    is_test: bool
    login: str
    password: str = field(repr=False)
    extra: dict[str, str] = field(default_factory=dict)


def logins(policies: Iterable[Policy], keys: Keys) -> list[SaasLogin]:
    """Of every tenant that the policies name."""
    found = []
    for policy in policies:
        sources = policy.configuration and policy.configuration.sources
        for service in SERVICES:
            settings: Any = getattr(sources, service, None)
            for connection, is_test in (
                (settings and settings.connection_id, False),
                (settings and settings.test_connection_id, True),
            ):
                if connection:
                    named = (service, connection, policy.environment, is_test)
                    found.append(_login(keys, *named))
        found += [
            SaasLogin("github", connection, policy.environment, False, "", keys.saas_secret)
            for connection in {token for _, token in repositories(policy)}
        ]
    return found


def repositories(policy: Policy) -> list[tuple[str, str]]:
    """Repositories on GitHub that a policy names: `owner/name`, and the connection with a token."""
    wanted = policy.configuration and policy.configuration.sources.repositories
    if not wanted:
        return []
    return [
        (slug_of(one.url), one.connection_id or wanted.connection_id or "")
        for one in wanted.repositories
        if one.host == "github"
    ]


def serve() -> None:
    """Serve as the command line says, until it is killed."""
    from include.sandbox import environment
    from include.sandbox.saas.server import SaasServer

    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--policies", type=Path, default=environment.POLICIES)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    seed, policies = os.environ[_SEED], load_policies(asked.policies)
    known = logins(policies, _FromEnvironment())
    slugs = {slug for policy in policies for slug, _ in repositories(policy)}
    with _chance_from(seed):
        services = (*_stocked(known), _github(known, slugs))
    SaasServer(*services, host=asked.host, port=asked.port).serve()


class _FromEnvironment:
    saas_secret = property(lambda self: os.environ[SECRET])
    docusign_key = property(lambda self: os.environ[DOCUSIGN_KEY])


def _login(keys: Keys, service: str, connection: str, environment: str, is_test: bool) -> SaasLogin:
    """Ids follow from the connection's name: they are no secrets."""
    about = (service, connection, environment, is_test)
    if service == "auth0":
        domain = f"{environment}{'-test' if is_test else ''}.auth0.example"
        audience = {"audience": f"https://{domain}/api/v2/"}
        return SaasLogin(*about, connection, keys.saas_secret, audience)
    if service == "docusign":
        user, account, integration = (
            str(uuid.uuid5(uuid.NAMESPACE_URL, f"{connection}/{one}"))
            for one in ("user", "account", "integration")
        )
        ids = {"user_id": user, "account_id": account}
        return SaasLogin(*about, integration, _PEM.format(keys.docusign_key), ids)
    return SaasLogin(*about, "apikey", f"SG.{connection}.{keys.saas_secret}")


@contextmanager
def _chance_from(seed: str) -> Iterator[None]:
    """Whatever ids and secrets the services make up while they are stocked follow from the seed."""
    chance = random.Random(seed)
    with (
        patch("uuid.uuid4", lambda: uuid.UUID(int=chance.getrandbits(128), version=4)),
        patch("secrets.choice", chance.choice),
        patch("secrets.token_hex", lambda size: chance.randbytes(size).hex()),
        patch("secrets.token_urlsafe", lambda size: chance.randbytes(size).hex()),
    ):
        yield


def _stocked(known: list[SaasLogin]) -> list[Any]:
    from include.sandbox.saas.auth0 import Auth0
    from include.sandbox.saas.docusign import DocuSign
    from include.sandbox.saas.sendgrid import SendGrid

    tenants: dict[str, tuple[type[Any], Callable[[SaasLogin], Any]]] = {
        "auth0": (Auth0, _tenant),
        "docusign": (DocuSign, _integration),
        "sendgrid": (SendGrid, _account),
    }
    return [
        kind(*(make(one) for one in known if one.service == service))
        for service, (kind, make) in tenants.items()
    ]


def _tenant(one: SaasLogin) -> Any:
    from include.sandbox.saas import stock_auth0

    make = stock_auth0.tenant if one.is_test else stock_auth0.lender
    return make(one.extra["audience"].split("/")[2], one.login, one.password)


def _integration(one: SaasLogin) -> Any:
    from include.sandbox.saas import stock_docusign
    from include.sandbox.saas.docusign import Integration

    make = stock_docusign.account if one.is_test else stock_docusign.lender
    made = make(one.extra["account_id"])
    return Integration(one.login, one.extra["user_id"], made, one.password)


def _account(one: SaasLogin) -> Any:
    from include.sandbox.saas import stock_sendgrid

    make = stock_sendgrid.account if one.is_test else stock_sendgrid.lender
    return make(f"lender-{one.environment}{'-test' if one.is_test else ''}", one.password)


def _github(known: list[SaasLogin], slugs: set[str]) -> Any:
    from include.sandbox.saas.github import GitHub, Repository

    made = GitHub({one.password: "write" for one in known if one.service == "github"})
    for slug in slugs:
        made.repositories[slug] = Repository(protections={"main": _PROTECTION})
    return made


if __name__ == "__main__":
    serve()
