"""What a tenant of the Auth0 stand-in holds, and how its collections behave."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.saas.server import Refused, Reply, Request, moment

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
_FACTORS = ("sms", "push-notification", "otp", "email", "duo", "webauthn-roaming", "recovery-code")


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


def add(tenant: Tenant, path: str, **thing: Any) -> Thing:
    """Make a thing as the service does; for stocking."""
    collection = next(one for one in COLLECTIONS if one.path == path)
    return made_thing(tenant, collection, thing)


def made_thing(tenant: Tenant, collection: Collection, thing: Thing) -> Thing:
    """Make a thing, with what the service adds."""
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


def error(status: int, title: str, message: str, code: str) -> Thing:
    """The body of a refusal."""
    return {"statusCode": status, "error": title, "message": message, "errorCode": code}


def invalid(message: str) -> Refused:
    """A payload is refused."""
    said = f"Payload validation error: '{message}'"
    return Refused(Reply(400, error(400, "Bad Request", said, "invalid_body")))


def paged(request: Request, member: str, rows: list[Thing]) -> Reply:
    """A page by its number."""
    page, size = int(request.query.get("page", 0)), int(request.query.get("per_page", 50))
    if size > _MOST:
        raise invalid(f"Value {size} is greater than maximum 100 on property per_page")
    if (page + 1) * size > 1000:
        raise invalid("You can only page through the first 1000 records")
    start = page * size
    total = {"total": len(rows), "start": start, "limit": size}
    return Reply(200, {member: rows[start : start + size], **total})


def from_checkpoint(request: Request, member: str, rows: list[Thing], key: str) -> Reply:
    """A page from a checkpoint."""
    size = int(request.query["take"])
    if size > _MOST:
        raise invalid(f"Value {size} is greater than maximum 100 on property take")
    ids = [one[key] for one in rows]
    start = ids.index(request.query["from"]) if "from" in request.query else 0
    end = start + size
    more = {"next": ids[end]} if end < len(rows) else {}
    return Reply(200, {member: rows[start:end], **more})


def found_thing(tenant: Tenant, collection: Collection, id_: str) -> Thing:
    """What has that id.

    :raises Refused: nothing has.
    """
    thing = tenant.of(collection.path).get(id_)
    if thing is None:
        raise Refused(Reply(404, error(404, "Not Found", "Not Found", "inexistent_resource")))
    return thing


def merged(thing: Thing, body: Thing) -> Thing:
    """Set what is sent, and take away what is null."""
    for name, one in body.items():
        if one is None:
            thing.pop(name, None)
        else:
            thing[name] = one
    return thing


def checked(body: Thing, refused: tuple[str, ...]) -> None:
    """See that nothing is sent that is the service's own.

    :raises Refused:
    """
    for name in refused:
        if name in body:
            raise invalid(f"Additional properties not allowed: {name}")
