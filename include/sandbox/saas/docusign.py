"""DocuSign's eSignature API v2.1, and the part of its account server that gives tokens.

A token is given for a statement that is signed with the integration's key (RS256), is for this
server, and names a user who has consented. Values are texts, as there.
"""

import re
import secrets
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from include.sandbox.saas import docusign_parts, docusign_templates
from include.sandbox.saas.docusign_account import Account, refused
from include.sandbox.saas.server import Reply, Request, Service

AUDIENCE = "account-d.docusign.com"
_SCOPES = {"signature", "impersonation"}


def new_key() -> str:
    """An RSA private key, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass(frozen=True)
class Integration:
    """Who may ask for tokens."""

    key: str
    """Its id."""
    user: str
    account: Account
    private_key: str = field(repr=False)
    consented: bool = True


class DocuSign(Service):
    """Some accounts, and integrations with them."""

    name = "docusign"

    def __init__(self, *integrations: Integration, token_lifetime: float = 3600) -> None:
        """:param token_lifetime: seconds."""
        self.integrations = integrations
        self.token_lifetime = token_lifetime
        self._tokens: dict[str, tuple[Account, float]] = {}

    def concerns(self, request: Request) -> bool:
        """The REST API, and tokens for it."""
        asks = request.path == "/oauth/token" and b"jwt-bearer" in request.body
        return asks or request.path == "/oauth/userinfo" or request.path.startswith("/restapi/")

    def busy(self) -> Any:
        """As documented for too many calls."""
        said = "The maximum number of hourly API invocations has been exceeded."
        return {"errorCode": "HOURLY_APIINVOCATION_LIMIT_EXCEEDED", "message": said}

    def expire_tokens(self) -> None:
        """All of them."""
        self._tokens.clear()

    def answer(self, request: Request) -> Reply:
        """A token, whose it is, or what the account's API says."""
        if request.path == "/oauth/token":
            return self._token(request)
        account, ends = self._tokens.get(request.bearer, (None, 0.0))
        if account is None or monotonic() >= ends:
            raise refused(401, "AUTHORIZATION_INVALID_TOKEN", "The access token is not valid.")
        if request.path == "/oauth/userinfo":
            told = {"account_id": account.id, "is_default": True, "account_name": "Lender"}
            told["base_uri"] = f"http://{request.headers['Host']}"
            return Reply(200, {"sub": "user", "accounts": [told]})
        start = f"/restapi/v2.1/accounts/{account.id}"
        if not request.path.startswith(f"{start}/"):
            said = "The user is not a member of the account."
            raise refused(401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT", said)
        path = request.path.removeprefix(start)
        if path.split("/")[1] in account.denied:
            said = "This user lacks sufficient permissions to access this resource."
            raise refused(400, "USER_LACKS_PERMISSIONS", said)
        for method, pattern, handle in (*docusign_parts.ROUTES, *docusign_templates.ROUTES):
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                return handle(account, request, *found.groups())
        raise refused(404, "RESOURCE_NOT_FOUND", "The URL provided does not resolve.")

    def _token(self, request: Request) -> Reply:
        statement = request.form()["assertion"]
        claims = jwt.decode(statement, options={"verify_signature": False})
        integration = next((one for one in self.integrations if one.key == claims["iss"]), None)
        if integration is None:
            return _no_grant("issuer_not_found")
        key = serialization.load_pem_private_key(integration.private_key.encode(), None)
        ours = [AUDIENCE, request.headers["Host"]]
        try:
            jwt.decode(statement, key.public_key(), algorithms=["RS256"], audience=ours)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return _no_grant("no_valid_keys_or_signatures")
        if claims["sub"] != integration.user:
            return _no_grant("user_not_found")
        if not integration.consented or set(claims["scope"].split()) != _SCOPES:
            return Reply(400, {"error": "consent_required"})
        token = secrets.token_urlsafe(64)
        self._tokens[token] = (integration.account, monotonic() + self.token_lifetime)
        lives = int(self.token_lifetime)
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": lives})


def _no_grant(said: str) -> Reply:
    return Reply(400, {"error": "invalid_grant", "error_description": said})
