"""Tokens that management APIs take, by the two grants that servers use among themselves.

Client credentials: an id and a secret (RFC 6749, 4.4). JWT bearer: a statement signed with a
private key, in the name of a user who has consented once (RFC 7523, 2.1). Both go to the token
endpoint in a body, never in an address.
"""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from ledgerkeep.configuration.management_api import Exchange, Token
from ledgerkeep.errors import ServiceRefused

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_STATEMENT_LIVES = 600
_WHAT = "give a token"


class ClientCredentials(Token):
    """An application's own id and secret."""

    def __init__(self, url: str, client_id: str, secret: str, audience: str) -> None:
        """Nothing is sent yet.

        :param url: of the token endpoint.
        :param audience: the API that the token is for.
        """
        super().__init__()
        self._url = url
        self._audience = audience
        self._body = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
            "audience": audience,
        }

    def fetch(self, exchange: Exchange) -> Mapping[str, Any]:
        """A new token.

        :raises ServiceRefused: the tenant is another's, or the secret is wrong.
        """
        answer = exchange.send(
            _WHAT, lambda: exchange.build("POST", self._url, json=self._body), repeatable=True
        )
        if answer.is_success:
            return _granted(answer)
        said = _said(answer)
        # Auth0 says so when the audience is no API of the tenant.
        if answer.status_code == httpx.codes.NOT_FOUND or "service not found" in said.lower():
            raise ServiceRefused(
                f"{exchange.dialect.service} knows no tenant with the api {self._audience}",
                hint="correct the host, or the audience in the extra, of the connection "
                f"{exchange.dialect.connection}",
            )
        if answer.status_code == httpx.codes.FORBIDDEN and "not authorized to access" in said:
            raise ServiceRefused(
                f"{exchange.dialect.service} refused to {_WHAT} for {self._audience}",
                hint="authorize the application of the connection "
                f"{exchange.dialect.connection} for that api",
            )
        raise exchange.dialect.wrong_credentials(_WHAT)


class JwtGrant(Token):
    """A statement signed with a key, in a user's name."""

    def __init__(self, url: str, issuer: str, user: str, key: str, audience: str) -> None:
        """Nothing is sent yet.

        :param url: of the token endpoint.
        :param issuer: the integration's key, which is an id and no secret.
        :param user: in whose name.
        :param key: RSA private key, PEM.
        :param audience: the authorization server's host.
        """
        super().__init__()
        self._url, self._issuer, self._user = url, issuer, user
        # A connection that was written in one line has its line ends escaped.
        self._key, self._audience = key.replace("\\n", "\n"), audience

    def fetch(self, exchange: Exchange) -> Mapping[str, Any]:
        """A new token.

        :raises ServiceRefused: the key is none, or fits not, or the user has not consented.
        """
        statement = self._statement(exchange)
        body = {"grant_type": _JWT_BEARER, "assertion": statement}
        answer = exchange.send(
            _WHAT, lambda: exchange.build("POST", self._url, data=body), repeatable=True
        )
        if answer.is_success:
            return _granted(answer)
        raise self._refusal(exchange, answer)

    def _statement(self, exchange: Exchange) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": self._user,
            "aud": self._audience,
            "iat": now,
            "exp": now + _STATEMENT_LIVES,
            "scope": "signature impersonation",
        }
        try:
            return jwt.encode(claims, self._key, algorithm="RS256")
        except (ValueError, TypeError, jwt.InvalidKeyError):
            # What the library says could quote the key.
            raise ServiceRefused(
                f"the password of the connection {exchange.dialect.connection} is no RSA key",
                hint="enter the integration's private key, in PEM, as the password",
            ) from None

    def _refusal(self, exchange: Exchange, answer: httpx.Response) -> ServiceRefused:
        service, connection = exchange.dialect.service, exchange.dialect.connection
        said = _said(answer)
        if "consent_required" in said:
            return ServiceRefused(
                f"{service} refused to {_WHAT}: the user has not consented",
                hint=f"let the user in the extra of the connection {connection} consent to "
                "signature and impersonation for the integration",
            )
        if "user_not_found" in said:
            return ServiceRefused(
                f"{service} refused to {_WHAT}: it knows no such user",
                hint=f"correct user_id in the extra of the connection {connection}",
            )
        return exchange.dialect.wrong_credentials(_WHAT)


def _granted(answer: httpx.Response) -> Mapping[str, Any]:
    found: Mapping[str, Any] = answer.json()
    return found


def _said(answer: httpx.Response) -> str:
    try:
        found = answer.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return f"{found.get('error', '')} {found.get('error_description', '')}"
