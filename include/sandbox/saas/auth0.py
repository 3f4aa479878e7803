"""Auth0's Management API v2, as far as a lender's tenants need it.

Tenants are told apart by the audience of the token, as at Auth0 by the host. Read-only members are
refused as there ("Additional properties not allowed"), names are unique where they are there, and
what Auth0 hides (secrets of actions, credentials of the e-mail provider) is hidden.
"""

import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import unquote

from include.sandbox.saas.server import Refused, Reply, Request, Service, moment

_LETTERS = string.ascii_letters + string.digits
_MOST = 100
Thing = dict[str, Any]


@dataclass(frozen=True)
class Collection:
    """How one collection behaves."""

    path: str
    scope: str
    start: str = ""
    """Of ids."""
    key: str = "id"
    member: str = ""
    unique: str = "name"
    required: tuple[str, ...] = ("name",)
    read_only: tuple[str, ...] = ()
    """Refused in any body."""
    fixed: tuple[str, ...] = ()
    """Refused in a PATCH."""
    replies: Mapping[str, int] = field(default_factory=dict)

    @property
    def listed(self) -> str:
        """The member of a page that holds the list."""
        return self.member or self.path.rsplit("/", 1)[-1].replace("-", "_")


COLLECTIONS = (
    Collection(
        "/clients",
        "clients",
        key="client_id",
        unique="",
        read_only=("tenant", "global", "signing_keys", "client_id", "callback_url_template"),
    ),
    Collection(
        "/client-grants",
        "client_grants",
        "cgr_",
        unique="",
        required=("client_id", "audience", "scope"),
        read_only=("id", "is_system"),
        fixed=("client_id", "audience", "subject_type"),
    ),
    Collection(
        "/resource-servers",
        "resource_servers",
        unique="identifier",
        required=("identifier",),
        read_only=("id", "is_system"),
        fixed=("identifier",),
    ),
    Collection(
        "/connections",
        "connections",
        "con_",
        required=("name", "strategy"),
        read_only=("id", "provisioning_ticket_url"),
        fixed=("name", "strategy"),
        replies={"DELETE": 202},
    ),
    Collection("/roles", "roles", "rol_", read_only=("id", "type"), replies={"DELETE": 200}),
    Collection("/organizations", "organizations", "org_", read_only=("id",)),
    Collection(
        "/rules",
        "rules",
        "rul_",
        required=("name", "script"),
        read_only=("id",),
        fixed=("stage",),
    ),
    Collection(
        "/actions/actions",
        "actions",
        required=("name", "supported_triggers"),
        read_only=("id", "created_at", "updated_at", "status", "all_changes_deployed", "deployed"),
        replies={"POST": 201},
    ),
    Collection(
        "/log-streams",
        "log_streams",
        "lst_",
        required=("type", "sink"),
        read_only=("id",),
        fixed=("type",),
    ),
)
_CHECKPOINTS = ("/clients", "/client-grants", "/connections", "/organizations")
_FACTORS = ("sms", "push-notification", "otp", "email", "duo", "webauthn-roaming", "recovery-code")
_TRIGGERS = ("post-login", "credentials-exchange", "pre-user-registration", "send-phone-message")
_FLAGS_READ_ONLY = ("cannot_change_enforce_client_authentication_on_passwordless_start",)


@dataclass
class Tenant:
    """What a tenant holds."""

    domain: str
    things: dict[str, dict[str, Thing]] = field(default_factory=dict)
    """Path → id → thing."""
    settings: Thing = field(default_factory=dict)
    branding: Thing = field(default_factory=dict)
    login_page: str | None = None
    email_provider: Thing | None = None
    email_templates: dict[str, Thing] = field(default_factory=dict)
    factors: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(_FACTORS, False))
    policies: list[str] = field(default_factory=list)
    domains: list[Thing] = field(default_factory=list)
    rule_settings: dict[str, str] = field(default_factory=dict)
    bindings: dict[str, list[Thing]] = field(default_factory=dict)
    enabled: dict[str, set[str]] = field(default_factory=dict)
    """Connection → clients."""
    permissions: dict[str, list[Thing]] = field(default_factory=dict)
    organization_connections: dict[str, dict[str, Thing]] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """Scopes that no token has, whatever was granted."""

    @property
    def audience(self) -> str:
        """Its Management API."""
        return f"https://{self.domain}/api/v2/"

    def of(self, path: str) -> dict[str, Thing]:
        """A collection."""
        return self.things.setdefault(path, {})


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
        return _error(
            429, "Too Many Requests", "Global limit has been reached", "too_many_requests"
        )

    def expire_tokens(self) -> None:
        """All of them."""
        self._tokens.clear()

    def answer(self, request: Request) -> Reply:
        """A token, or what the tenant's API says."""
        if request.path == "/oauth/token":
            return self._token(request)
        tenant, ends = self._tokens.get(request.bearer, (None, 0.0))
        if tenant is None or monotonic() >= ends:
            raise Refused(Reply(401, _error(401, "Unauthorized", "Invalid token", "invalid_token")))
        path = request.path.removeprefix("/api/v2")
        for method, pattern, scope, handle in self._routes:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                if scope in tenant.denied:
                    said = f"Insufficient scope, expected any of: {scope}"
                    raise Refused(Reply(403, _error(403, "Forbidden", said, "insufficient_scope")))
                return handle(tenant, request, *map(unquote, found.groups()))
        raise Refused(Reply(404, _error(404, "Not Found", "Not Found", "")))

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


def add(tenant: Tenant, path: str, **thing: Any) -> Thing:
    """Make a thing as the service does; for stocking."""
    collection = next(one for one in COLLECTIONS if one.path == path)
    return _made(tenant, collection, thing)


def _owns(tenant: Tenant, body: Mapping[str, str]) -> bool:
    client = tenant.of("/clients").get(body["client_id"], {})
    return bool(client) and client["client_secret"] == body["client_secret"]


def _has_api(tenant: Tenant, audience: str) -> bool:
    known = {one["identifier"] for one in tenant.of("/resource-servers").values()}
    return audience == tenant.audience or audience in known


def _made(tenant: Tenant, collection: Collection, thing: Thing) -> Thing:
    id_ = collection.start + "".join(secrets.choice(_LETTERS) for _ in range(16))
    if collection.path == "/clients":
        id_ = "".join(secrets.choice(_LETTERS) for _ in range(32))
        made = {
            "tenant": tenant.domain.split(".")[0],
            "global": False,
            "client_secret": secrets.token_urlsafe(48),
            "signing_keys": [{"cert": "-----BEGIN CERTIFICATE-----", "subject": "/CN=stand-in"}],
            "callback_url_template": False,
            "is_first_party": True,
            **thing,
        }
    elif collection.path == "/actions/actions":
        made = _action(thing)
    else:
        made = dict(thing)
    made[collection.key] = id_
    tenant.of(collection.path)[id_] = made
    return made


def _action(thing: Thing) -> Thing:
    now = moment()
    hidden = [{"name": one["name"], "updated_at": now} for one in thing.get("secrets", [])]
    return {
        "dependencies": [],
        "runtime": "node22",
        **thing,
        "secrets": hidden,
        "status": "pending",
        "all_changes_deployed": False,
        "created_at": now,
        "updated_at": now,
    }


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
        ("GET", "/tenants/settings", "read:tenant_settings", _settings),
        ("PATCH", "/tenants/settings", "update:tenant_settings", _settings),
        ("GET", "/branding", "read:branding", _branding),
        ("PATCH", "/branding", "update:branding", _branding),
        ("GET", "/branding/templates/universal-login", "read:branding", _login_page),
        ("PUT", "/branding/templates/universal-login", "update:branding", _login_page),
        ("DELETE", "/branding/templates/universal-login", "delete:branding", _login_page),
        ("GET", "/emails/provider", "read:email_provider", _email_provider),
        ("PATCH", "/emails/provider", "update:email_provider", _email_provider),
        ("DELETE", "/emails/provider", "delete:email_provider", _email_provider),
        ("POST", "/email-templates", "create:email_templates", _email_template),
        ("GET", "/email-templates" + _ID, "read:email_templates", _email_template),
        ("PATCH", "/email-templates" + _ID, "update:email_templates", _email_template),
        ("GET", "/guardian/factors", "read:guardian_factors", _factors),
        ("PUT", "/guardian/factors" + _ID, "update:guardian_factors", _factors),
        ("GET", "/guardian/policies", "read:mfa_policies", _policies),
        ("PUT", "/guardian/policies", "update:mfa_policies", _policies),
        ("GET", "/custom-domains", "read:custom_domains", lambda t, _r: Reply(200, t.domains)),
        ("GET", "/rules-configs", "read:rules_configs", _rule_settings),
        ("DELETE", "/rules-configs" + _ID, "delete:rules_configs", _rule_settings),
        ("POST", "/actions/actions" + _ID + "/deploy", "update:actions", _deploy),
        ("GET", "/actions/triggers", "read:actions", _triggers),
        ("GET", "/actions/triggers" + _ID + "/bindings", "read:actions", _bindings),
        ("PATCH", "/actions/triggers" + _ID + "/bindings", "update:actions", _bindings),
        ("GET", "/connections" + _ID + "/clients", "read:connections", _connection_clients),
        ("PATCH", "/connections" + _ID + "/clients", "update:connections", _connection_clients),
        ("GET", "/roles" + _ID + "/permissions", "read:roles", _permissions),
        ("POST", "/roles" + _ID + "/permissions", "update:roles", _permissions),
        ("DELETE", "/roles" + _ID + "/permissions", "update:roles", _permissions),
        *(
            (
                method,
                "/organizations" + _ID + "/enabled_connections" + more,
                f"{verb}:organization_connections",
                _organization_connections,
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


def _error(status: int, error: str, message: str, code: str) -> Thing:
    return {"statusCode": status, "error": error, "message": message, "errorCode": code}


def _invalid(message: str) -> Refused:
    said = f"Payload validation error: '{message}'"
    return Refused(Reply(400, _error(400, "Bad Request", said, "invalid_body")))


def _list(tenant: Tenant, request: Request, collection: Collection) -> Reply:
    rows = [_told(collection, one) for one in tenant.of(collection.path).values()]
    if collection.path == "/log-streams":
        return Reply(200, rows)
    if collection.path in _CHECKPOINTS and "take" in request.query:
        return _from_checkpoint(request, collection.listed, rows, collection.key)
    return _paged(request, collection.listed, rows)


def _paged(request: Request, member: str, rows: list[Thing]) -> Reply:
    page, size = int(request.query.get("page", 0)), int(request.query.get("per_page", 50))
    if size > _MOST:
        raise _invalid(f"Value {size} is greater than maximum 100 on property per_page")
    if (page + 1) * size > 1000:
        raise _invalid("You can only page through the first 1000 records")
    start = page * size
    total = {"total": len(rows), "start": start, "limit": size}
    return Reply(200, {member: rows[start : start + size], **total})


def _from_checkpoint(request: Request, member: str, rows: list[Thing], key: str) -> Reply:
    size = int(request.query["take"])
    if size > _MOST:
        raise _invalid(f"Value {size} is greater than maximum 100 on property take")
    ids = [one[key] for one in rows]
    start = ids.index(request.query["from"]) if "from" in request.query else 0
    end = start + size
    more = {"next": ids[end]} if end < len(rows) else {}
    return Reply(200, {member: rows[start:end], **more})


def _told(collection: Collection, thing: Thing) -> Thing:
    if collection.path == "/actions/actions" and thing["status"] == "pending":
        # A build takes a moment: it is done when it has been asked after once.
        told = dict(thing)
        thing["status"] = "built"
        return told
    return dict(thing)


def _found(tenant: Tenant, collection: Collection, id_: str) -> Thing:
    thing = tenant.of(collection.path).get(id_)
    if thing is None:
        raise Refused(Reply(404, _error(404, "Not Found", "Not Found", "inexistent_resource")))
    return thing


def _get(tenant: Tenant, _request: Request, collection: Collection, id_: str) -> Reply:
    return Reply(200, _told(collection, _found(tenant, collection, id_)))


def _checked(body: Thing, refused: tuple[str, ...]) -> None:
    for name in refused:
        if name in body:
            raise _invalid(f"Additional properties not allowed: {name}")


def _create(tenant: Tenant, request: Request, collection: Collection) -> Reply:
    body = request.json()
    _checked(body, collection.read_only)
    for name in collection.required:
        if name not in body:
            raise _invalid(f"Missing required property: {name}")
    taken = {one.get(collection.unique) for one in tenant.of(collection.path).values()}
    if collection.unique and body.get(collection.unique) in taken:
        said = f"A thing with the same {collection.unique} already exists"
        raise Refused(Reply(409, _error(409, "Conflict", said, "conflict")))
    made = _made(tenant, collection, {k: one for k, one in body.items() if one is not None})
    return Reply(collection.replies.get("POST", 201), dict(made))


def _patch(tenant: Tenant, request: Request, collection: Collection, id_: str) -> Reply:
    body, thing = request.json(), _found(tenant, collection, id_)
    _checked(body, (*collection.read_only, *collection.fixed))
    if collection.path == "/clients" and isinstance(body.get("client_metadata"), dict):
        kept = {**thing.get("client_metadata", {}), **body["client_metadata"]}
        body["client_metadata"] = {k: one for k, one in kept.items() if one is not None}
    if collection.path == "/actions/actions":
        thing |= {"status": "pending", "all_changes_deployed": False, "updated_at": moment()}
    for name, one in body.items():
        if one is None:
            thing.pop(name, None)
        else:
            thing[name] = one
    return Reply(200, dict(thing))


def _delete(tenant: Tenant, _request: Request, collection: Collection, id_: str) -> Reply:
    _found(tenant, collection, id_)
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


def _merged(thing: Thing, body: Thing) -> Thing:
    for name, one in body.items():
        if one is None:
            thing.pop(name, None)
        else:
            thing[name] = one
    return thing


def _settings(tenant: Tenant, request: Request) -> Reply:
    if request.method == "PATCH":
        body = request.json()
        _checked(body, ("sandbox_versions_available",))
        _checked(body.get("flags", {}), _FLAGS_READ_ONLY)
        _merged(tenant.settings, body)
    told = {**tenant.settings, "sandbox_versions_available": ["18", "22"]}
    told["flags"] = {**dict.fromkeys(_FLAGS_READ_ONLY, True), **told.get("flags", {})}
    return Reply(200, told)


def _branding(tenant: Tenant, request: Request) -> Reply:
    if request.method == "PATCH":
        _merged(tenant.branding, request.json())
    return Reply(200, dict(tenant.branding))


def _login_page(tenant: Tenant, request: Request) -> Reply:
    if request.method == "PUT":
        tenant.login_page = request.json()["template"]
        return Reply(204)
    if request.method == "DELETE":
        tenant.login_page = None
        return Reply(204)
    if tenant.login_page is None:
        return Reply(404, _error(404, "Not Found", "No template", "inexistent_template"))
    return Reply(200, {"body": tenant.login_page})


def _email_provider(tenant: Tenant, request: Request) -> Reply:
    if request.method == "DELETE":
        tenant.email_provider = None
        return Reply(204)
    if tenant.email_provider is None:
        return Reply(404, _error(404, "Not Found", "No provider", "inexistent_email_provider"))
    if request.method == "PATCH":
        _merged(tenant.email_provider, request.json())
    told = dict(tenant.email_provider)
    hidden = {"api_key", "smtp_pass", "secretAccessKey"}
    credentials = told.get("credentials", {})
    told["credentials"] = {k: one for k, one in credentials.items() if k not in hidden}
    return Reply(200, told)


def _email_template(tenant: Tenant, request: Request, name: str = "") -> Reply:
    if request.method == "POST":
        body = request.json()
        tenant.email_templates[body["template"]] = body
        return Reply(200, body)
    if name not in tenant.email_templates:
        said = "The template does not exist."
        return Reply(404, _error(404, "Not Found", said, "inexistent_email_template"))
    if request.method == "PATCH":
        _merged(tenant.email_templates[name], request.json())
    return Reply(200, dict(tenant.email_templates[name]))


def _factors(tenant: Tenant, request: Request, name: str = "") -> Reply:
    if request.method == "PUT":
        tenant.factors[name] = request.json()["enabled"]
        return Reply(200, {"enabled": tenant.factors[name]})
    rows = [
        {"name": one, "enabled": on, "trial_expired": False} for one, on in tenant.factors.items()
    ]
    return Reply(200, rows)


def _policies(tenant: Tenant, request: Request) -> Reply:
    if request.method == "PUT":
        tenant.policies = request.json()
    return Reply(200, tenant.policies)


def _rule_settings(tenant: Tenant, request: Request, key: str = "") -> Reply:
    if request.method == "DELETE":
        tenant.rule_settings.pop(key, None)
        return Reply(204)
    return Reply(200, [{"key": one} for one in tenant.rule_settings])


def _deploy(tenant: Tenant, _request: Request, id_: str) -> Reply:
    collection = next(one for one in COLLECTIONS if one.path == "/actions/actions")
    thing = _found(tenant, collection, id_)
    if thing["status"] != "built":
        said = "A draft must be in the 'built' state"
        raise Refused(Reply(400, _error(400, "Bad Request", said, "draft_not_built")))
    thing |= {"all_changes_deployed": True, "updated_at": moment()}
    return Reply(202, dict(thing))


def _triggers(_tenant: Tenant, _request: Request) -> Reply:
    return Reply(200, {"triggers": [{"id": one, "version": "v3"} for one in _TRIGGERS]})


def _bindings(tenant: Tenant, request: Request, trigger: str) -> Reply:
    if request.method == "PATCH":
        by_name = {one["name"]: one for one in tenant.of("/actions/actions").values()}
        made = []
        for one in request.json()["bindings"]:
            action = by_name.get(one["ref"]["value"])
            if action is None or not action["all_changes_deployed"]:
                raise _invalid("An action must exist and be deployed before it is bound")
            told = {"id": action["id"], "name": action["name"]}
            made.append({"id": secrets.token_hex(8), "trigger_id": trigger, "action": told})
            made[-1] |= {"display_name": one["display_name"], "created_at": moment()}
        tenant.bindings[trigger] = made
    return _paged(request, "bindings", tenant.bindings.get(trigger, []))


def _connection_clients(tenant: Tenant, request: Request, id_: str) -> Reply:
    enabled = tenant.enabled.setdefault(id_, set())
    if request.method == "PATCH":
        body = request.json()
        if len(body) > 50:
            raise _invalid("Array is too long (51), maximum 50")
        for one in body:
            (enabled.add if one["status"] else enabled.discard)(one["client_id"])
        return Reply(204)
    rows = [{"client_id": one} for one in sorted(enabled)]
    return _from_checkpoint(request, "clients", rows, "client_id")


def _permissions(tenant: Tenant, request: Request, id_: str) -> Reply:
    held = tenant.permissions.setdefault(id_, [])
    if request.method == "GET":
        return _paged(request, "permissions", held)
    apis = {one["identifier"]: one for one in tenant.of("/resource-servers").values()}
    for one in request.json()["permissions"]:
        api = apis.get(one["resource_server_identifier"])
        if api is None or one["permission_name"] not in {x["value"] for x in api["scopes"]}:
            raise _invalid("No permission of that name at that API")
        held[:] = [
            x
            for x in held
            if (x["permission_name"], x["resource_server_identifier"])
            != (one["permission_name"], one["resource_server_identifier"])
        ]
        if request.method == "POST":
            held.append({**one, "resource_server_name": api.get("name", "")})
    return Reply(201 if request.method == "POST" else 204)


def _organization_connections(
    tenant: Tenant, request: Request, id_: str, connection: str = ""
) -> Reply:
    held = tenant.organization_connections.setdefault(id_, {})
    if request.method == "GET":
        return _paged(request, "enabled_connections", list(held.values()))
    if request.method == "DELETE":
        held.pop(connection, None)
        return Reply(204)
    body = request.json()
    connection = connection or body["connection_id"]
    told = tenant.of("/connections")[connection]
    shown = {"name": told["name"], "strategy": told["strategy"]}
    before = held.get(connection, {"assign_membership_on_login": False})
    held[connection] = {**before, **body, "connection_id": connection, "connection": shown}
    return Reply(201 if request.method == "POST" else 200, held[connection])
