"""The lender's tenants at Auth0, DocuSign, SendGrid and GitHub, and who enters them.

Each environment has one of its own, and one for tests, on one stand-in that speaks all these APIs.
Its repositories on GitHub are the same for all. It keeps nothing on disk either; logins and the
applications' secrets follow from the seed.

`python -m include.sandbox.lender.saas --port 5001`, with the seed in the environment variable
SANDBOX_ACCOUNT_SEED and DocuSign's key in SANDBOX_DOCUSIGN_KEY: base64 of the DER.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.sandbox.lender.seed import key_id, secret_value
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
DOCUSIGN_KEY = "SANDBOX_DOCUSIGN_KEY"
_SEED = "SANDBOX_ACCOUNT_SEED"
_PEM = "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n"


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


def logins(policies: Iterable[Policy], seed: str, docusign_key: str) -> list[SaasLogin]:
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
                    found.append(_login(seed, docusign_key, *named))
        for connection in {token for _, token in repositories(policy)}:
            token = secret_value(seed, connection)
            found.append(SaasLogin("github", connection, policy.environment, False, "", token))
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
    seed = os.environ[_SEED]
    policies = load_policies(asked.policies)
    known = logins(policies, seed, os.environ[DOCUSIGN_KEY])
    slugs = {slug for policy in policies for slug, _ in repositories(policy)}
    services = (*_stocked(known, seed), _github(known, slugs))
    SaasServer(*services, host=asked.host, port=asked.port).serve()


def _login(
    seed: str, docusign_key: str, service: str, connection: str, environment: str, is_test: bool
) -> SaasLogin:
    about = (service, connection, environment, is_test)
    secret = secret_value(seed, connection)
    place = f"lender-{environment}{'-test' if is_test else ''}"
    if service == "auth0":
        return SaasLogin(
            *about,
            f"{place}-ledgerkeep",
            secret,
            {"audience": f"https://{place}.auth0.example/api/v2/"},
        )
    if service == "docusign":
        user, account = key_id(seed, connection, "user"), key_id(seed, connection, "account")
        return SaasLogin(
            *about,
            key_id(seed, connection, "integration"),
            _PEM.format(docusign_key),
            {"user_id": user, "account_id": account},
        )
    return SaasLogin(*about, "apikey", f"SG.{secret[:16]}.{secret[16:]}")


def _stocked(known: list[SaasLogin], seed: str) -> Iterator[Any]:
    from include.sandbox.saas.auth0 import Auth0
    from include.sandbox.saas.docusign import DocuSign
    from include.sandbox.saas.sendgrid import SendGrid

    tenants: dict[str, tuple[type[Any], Callable[[SaasLogin, str], Any]]] = {
        "auth0": (Auth0, _tenant),
        "docusign": (DocuSign, _integration),
        "sendgrid": (SendGrid, _account),
    }
    for service, (kind, make) in tenants.items():
        yield kind(*(make(one, seed) for one in known if one.service == service))


def _tenant(one: SaasLogin, seed: str) -> Any:
    from include.sandbox.saas import stock_auth0

    make = stock_auth0.tenant if one.is_test else stock_auth0.lender
    domain = one.extra["audience"].split("/")[2]
    made = make(domain, one.login, one.password)
    for client in made.of("/clients").values():
        if client["client_id"] != one.login and "client_secret" in client:
            client["client_secret"] = secret_value(seed, domain, client["name"])
    return made


def _integration(one: SaasLogin, _: str) -> Any:
    from include.sandbox.saas import stock_docusign
    from include.sandbox.saas.docusign import Integration

    make = stock_docusign.account if one.is_test else stock_docusign.lender
    user, account = one.extra["user_id"], one.extra["account_id"]
    return Integration(one.login, user, make(account), one.password)


def _account(one: SaasLogin, _: str) -> Any:
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
