"""Auth0's Management API v2, as far as a lender's tenants need it.

Tenants are told apart by the audience of the token, as at Auth0 by the host. Read-only members are
refused as there ("Additional properties not allowed"), names are unique where they are there, and
what Auth0 hides (secrets of actions, credentials of the e-mail provider) is hidden.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import unquote

from include.sandbox.saas.auth0_parts import (
    bindings,
    connection_clients,
    deploy,
    organization_connections,
    permissions,
    triggers,
)
from include.sandbox.saas.auth0_settings import (
    branding,
    email_provider,
    email_template,
    factors,
    login_page,
    policies,
    rule_settings,
    settings,
)
from include.sandbox.saas.auth0_tenant import (
    COLLECTIONS,
    Collection,
    Tenant,
    Thing,
    checked,
    error,
    found_thing,
    from_checkpoint,
    invalid,
    made_thing,
    merged,
    paged,
)
from include.sandbox.saas.server import Refused, Reply, Request, Service, moment

_CHECKPOINTS = ("/clients", "/client-grants", "/connections", "/organizations")


class Auth0(Service):
    """Some tenants."""

    name = "auth0"

    def __init__(self, *tenants: Tenant, token_lifetime: float = 86400) -> None:
        """:param token_lifetime: seconds."""
        self.tenants = {one.audience: one for one in tenants}
        self.token_lifetime = token_lifetime
        self._tokens: dict[str, tuple[Tenant, float]] = {}
        self._routes = _routes()

    def concerns(self, request: Request) -> bool:
        """The Management API, and tokens for it."""
        asks = request.path == "/oauth/token" and b"client_credentials" in request.body
        return asks or request.path.startswith("/api/v2/")

    def busy(self) -> Any:
        """As documented for 429."""
        return error(429, "Too Many Requests", "Global limit has been reached", "too_many_requests")

    def expire_tokens(self) -> None:
        """All of them."""
        self._tokens.clear()

    def answer(self, request: Request) -> Reply:
        """A token, or what the tenant's API says."""
        if request.path == "/oauth/token":
            return self._token(request)
        tenant, ends = self._tokens.get(request.bearer, (None, 0.0))
        if tenant is None or monotonic() >= ends:
            raise Refused(Reply(401, error(401, "Unauthorized", "Invalid token", "invalid_token")))
        path = request.path.removeprefix("/api/v2")
        for method, pattern, scope, handle in self._routes:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                if scope in tenant.denied:
                    said = f"Insufficient scope, expected any of: {scope}"
                    raise Refused(Reply(403, error(403, "Forbidden", said, "insufficient_scope")))
                return handle(tenant, request, *map(unquote, found.groups()))
        raise Refused(Reply(404, error(404, "Not Found", "Not Found", "")))

    def _token(self, request: Request) -> Reply:
        body = request.json()
        tenant = self.tenants.get(body["audience"]) or next(
            (one for one in self.tenants.values() if body["client_id"] in one.of("/clients")), None
        )
        if tenant is None or not _has_api(tenant, body["audience"]):
            said = f"Service not found: {body['audience']}"
            return Reply(403, {"error": "access_denied", "error_description": said})
        if not _owns(tenant, body):
            return Reply(401, {"error": "access_denied", "error_description": "Unauthorized"})
        token = secrets.token_urlsafe(48)
        if body["audience"] == tenant.audience:
            self._tokens[token] = (tenant, monotonic() + self.token_lifetime)
        lives = int(self.token_lifetime)
        return Reply(200, {"access_token": token, "expires_in": lives, "token_type": "Bearer"})


def _owns(tenant: Tenant, body: Mapping[str, str]) -> bool:
    client = tenant.of("/clients").get(body["client_id"], {})
    return bool(client) and client["client_secret"] == body["client_secret"]


def _has_api(tenant: Tenant, audience: str) -> bool:
    known = {one["identifier"] for one in tenant.of("/resource-servers").values()}
    return audience == tenant.audience or audience in known


Handler = Callable[..., Reply]
_ID = "/([^/]+)"


def _routes() -> list[tuple[str, str, str, Handler]]:
    found: list[tuple[str, str, str, Handler]] = []
    for one in COLLECTIONS:
        found += [
            ("GET", one.path, f"read:{one.scope}", _bound(_list, one)),
            ("POST", one.path, f"create:{one.scope}", _bound(_create, one)),
            ("GET", one.path + _ID, f"read:{one.scope}", _bound(_get, one)),
            ("PATCH", one.path + _ID, f"update:{one.scope}", _bound(_patch, one)),
            ("DELETE", one.path + _ID, f"delete:{one.scope}", _bound(_delete, one)),
        ]
    return [
        *found,
        ("GET", "/tenants/settings", "read:tenant_settings", settings),
        ("PATCH", "/tenants/settings", "update:tenant_settings", settings),
        ("GET", "/branding", "read:branding", branding),
        ("PATCH", "/branding", "update:branding", branding),
        ("GET", "/branding/templates/universal-login", "read:branding", login_page),
        ("PUT", "/branding/templates/universal-login", "update:branding", login_page),
        ("DELETE", "/branding/templates/universal-login", "delete:branding", login_page),
        ("GET", "/emails/provider", "read:email_provider", email_provider),
        ("PATCH", "/emails/provider", "update:email_provider", email_provider),
        ("DELETE", "/emails/provider", "delete:email_provider", email_provider),
        ("POST", "/email-templates", "create:email_templates", email_template),
        ("GET", "/email-templates" + _ID, "read:email_templates", email_template),
        ("PATCH", "/email-templates" + _ID, "update:email_templates", email_template),
        ("GET", "/guardian/factors", "read:guardian_factors", factors),
        ("PUT", "/guardian/factors" + _ID, "update:guardian_factors", factors),
        ("GET", "/guardian/policies", "read:mfa_policies", policies),
        ("PUT", "/guardian/policies", "update:mfa_policies", policies),
        ("GET", "/custom-domains", "read:custom_domains", lambda t, _r: Reply(200, t.domains)),
        ("GET", "/rules-configs", "read:rules_configs", rule_settings),
        ("DELETE", "/rules-configs" + _ID, "delete:rules_configs", rule_settings),
        ("POST", "/actions/actions" + _ID + "/deploy", "update:actions", deploy),
        ("GET", "/actions/triggers", "read:actions", triggers),
        ("GET", "/actions/triggers" + _ID + "/bindings", "read:actions", bindings),
        ("PATCH", "/actions/triggers" + _ID + "/bindings", "update:actions", bindings),
        ("GET", "/connections" + _ID + "/clients", "read:connections", connection_clients),
        ("PATCH", "/connections" + _ID + "/clients", "update:connections", connection_clients),
        ("GET", "/roles" + _ID + "/permissions", "read:roles", permissions),
        ("POST", "/roles" + _ID + "/permissions", "update:roles", permissions),
        ("DELETE", "/roles" + _ID + "/permissions", "update:roles", permissions),
        *(
            (
                method,
                "/organizations" + _ID + "/enabled_connections" + more,
                f"{verb}:organization_connections",
                organization_connections,
            )
            for method, verb, more in (
                ("GET", "read", ""),
                ("POST", "create", ""),
                ("PATCH", "update", _ID),
                ("DELETE", "delete", _ID),
            )
        ),
    ]


def _bound(handle: Handler, collection: Collection) -> Handler:
    return lambda tenant, request, *ids: handle(tenant, request, collection, *ids)


def _list(tenant: Tenant, request: Request, collection: Collection) -> Reply:
    rows = [_told(collection, one) for one in tenant.of(collection.path).values()]
    if collection.path == "/log-streams":
        return Reply(200, rows)
    if collection.path in _CHECKPOINTS and "take" in request.query:
        return from_checkpoint(request, collection.listed, rows, collection.key)
    return paged(request, collection.listed, rows)


def _told(collection: Collection, thing: Thing) -> Thing:
    if collection.path == "/actions/actions" and thing["status"] == "pending":
        # A build takes a moment: it is done when it has been asked after once.
        told = dict(thing)
        thing["status"] = "built"
        return told
    return dict(thing)


def _get(tenant: Tenant, _request: Request, collection: Collection, id_: str) -> Reply:
    return Reply(200, _told(collection, found_thing(tenant, collection, id_)))


def _create(tenant: Tenant, request: Request, collection: Collection) -> Reply:
    body = request.json()
    checked(body, collection.read_only)
    for name in collection.required:
        if name not in body:
            raise invalid(f"Missing required property: {name}")
    taken = {one.get(collection.unique) for one in tenant.of(collection.path).values()}
    if collection.unique and body.get(collection.unique) in taken:
        said = f"A thing with the same {collection.unique} already exists"
        raise Refused(Reply(409, error(409, "Conflict", said, "conflict")))
    made = made_thing(tenant, collection, {k: one for k, one in body.items() if one is not None})
    return Reply(collection.replies.get("POST", 201), dict(made))


def _patch(tenant: Tenant, request: Request, collection: Collection, id_: str) -> Reply:
    body, thing = request.json(), found_thing(tenant, collection, id_)
    checked(body, (*collection.read_only, *collection.fixed))
    if collection.path == "/clients" and isinstance(body.get("client_metadata"), dict):
        kept = {**thing.get("client_metadata", {}), **body["client_metadata"]}
        body["client_metadata"] = {k: one for k, one in kept.items() if one is not None}
    if collection.path == "/actions/actions":
        thing |= {"status": "pending", "all_changes_deployed": False, "updated_at": moment()}
    merged(thing, body)
    return Reply(200, dict(thing))


def _delete(tenant: Tenant, _request: Request, collection: Collection, id_: str) -> Reply:
    found_thing(tenant, collection, id_)
    del tenant.of(collection.path)[id_]
    if collection.path == "/clients":
        grants = tenant.of("/client-grants")
        for key in [key for key, one in grants.items() if one["client_id"] == id_]:
            del grants[key]
        for clients in tenant.enabled.values():
            clients.discard(id_)
    for bound in tenant.bindings.values():
        bound[:] = [one for one in bound if one["action"]["id"] != id_]
    return Reply(collection.replies.get("DELETE", 204))
