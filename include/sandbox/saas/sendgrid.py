"""SendGrid's v3 API, as far as a lender's account needs it.

Accounts are told apart by their keys. Permissions are those of the key; what is missing is not
named, as there ("access forbidden").
"""

import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from include.sandbox.saas.server import Refused, Reply, Request, Service, moment

Thing = dict[str, Any]

MAIL = ("address_whitelist", "bounce_purge", "footer", "forward_bounce", "forward_spam", "template")
TRACKING = ("click", "google_analytics", "open", "subscription")


@dataclass
class Account:
    """What an account holds."""

    username: str
    key: str = field(repr=False)
    templates: dict[str, Thing] = field(default_factory=dict)
    groups: dict[str, Thing] = field(default_factory=dict)
    senders: dict[str, Thing] = field(default_factory=dict)
    webhooks: dict[str, Thing] = field(default_factory=dict)
    parses: dict[str, Thing] = field(default_factory=dict)
    keys: dict[str, Thing] = field(default_factory=dict)
    domains: list[Thing] = field(default_factory=list)
    settings: dict[str, Thing] = field(
        default_factory=lambda: {
            **{f"mail_settings/{one}": {"enabled": False} for one in MAIL},
            **{f"tracking_settings/{one}": {"enabled": False} for one in TRACKING},
        }
    )
    denied: set[str] = field(default_factory=set)
    """Scopes that the key has not."""
    _last: int = 10_000

    def number(self) -> int:
        """Ids of groups and senders count up."""
        self._last += 1
        return self._last


class SendGrid(Service):
    """Some accounts."""

    name = "sendgrid"

    def __init__(self, *accounts: Account) -> None:
        """Each with its key."""
        self.accounts = accounts

    def concerns(self, request: Request) -> bool:
        """Everything of version 3."""
        return request.path.startswith("/v3/")

    def busy(self) -> Any:
        """As documented for 429."""
        return {"errors": [{"field": None, "message": "too many requests"}]}

    def answer(self, request: Request) -> Reply:
        """What the key's account says."""
        account = next((one for one in self.accounts if one.key == request.bearer), None)
        if account is None:
            said = "The provided authorization grant is invalid, expired, or revoked"
            raise _refused(401, said)
        path = request.path.removeprefix("/v3")
        for method, pattern, scope, handle in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                if scope.format(*found.groups()) in account.denied:
                    raise _refused(403, "access forbidden")
                return handle(account, request, *found.groups())
        raise _refused(404, "not found")


def template(account: Account, name: str, *versions: Thing) -> Thing:
    """Make one as the service does; for stocking."""
    made: Thing = {"id": f"d-{secrets.token_hex(16)}", "name": name, "generation": "dynamic"}
    made |= {"updated_at": moment(), "versions": []}
    account.templates[made["id"]] = made
    for one in versions:
        _version(made, one)
    return made


def api_key(account: Account, name: str, scopes: list[str], key: str = "") -> Thing:
    """Make one as the service does; for stocking."""
    id_ = key.split(".")[1] if key else secrets.token_urlsafe(16)
    account.keys[id_] = {"api_key_id": id_, "name": name, "scopes": scopes}
    return account.keys[id_]


def _refused(status: int, said: str, named: str | None = None) -> Refused:
    return Refused(Reply(status, {"errors": [{"field": named, "message": said}]}))


def _version(made: Thing, said: Thing) -> Thing:
    version = {
        "id": str(uuid.uuid4()),
        "template_id": made["id"],
        "active": 0,
        "html_content": "",
        "plain_content": "",
        "generate_plain_content": True,
        "editor": "code",
        **said,
        "updated_at": moment(),
        "thumbnail_url": "//stand-in.example/thumbnail.png",
    }
    if version["active"]:
        for one in made["versions"]:
            one["active"] = 0
    made["versions"].append(version)
    made["updated_at"] = moment()
    return version


def _listed(made: Thing) -> Thing:
    told = ("id", "template_id", "active", "name", "subject", "updated_at", "editor")
    versions = [{name: one[name] for name in told if name in one} for one in made["versions"]]
    return {**made, "versions": versions}


def _found(things: dict[str, Thing], id_: str) -> Thing:
    if id_ not in things:
        raise _refused(404, "resource not found")
    return things[id_]


def _templates(account: Account, request: Request) -> Reply:
    if request.method == "POST":
        body = request.json()
        if len(body["name"]) > 100:
            raise _refused(400, "the name is too long", "name")
        made = template(account, body["name"])
        made["generation"] = body.get("generation", "legacy")
        return Reply(201, made)
    size = int(request.query.get("page_size", 0))
    if not 1 <= size <= 200:
        raise _refused(400, "page_size must be between 1 and 200", "page_size")
    wanted = request.query["generations"].split(",")
    rows = [_listed(one) for one in account.templates.values() if one["generation"] in wanted]
    start = int(request.query.get("page_token", 0))
    metadata: Thing = {"self": "https://api.sendgrid.example/v3/templates", "count": len(rows)}
    if start + size < len(rows):
        metadata["next"] = f"{metadata['self']}?page_size={size}&page_token={start + size}"
    return Reply(200, {"result": rows[start : start + size], "_metadata": metadata})


def _template(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_)
    if request.method == "DELETE":
        if made["versions"]:
            raise _refused(400, "You cannot delete a template with versions")
        del account.templates[id_]
        return Reply(204)
    return Reply(200, _listed(made))


def _versions(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_)
    body = request.json()
    for name in ("name", "subject"):
        if name not in body:
            raise _refused(400, f"{name} is required", name)
    return Reply(201, _version(made, body))


def _version_of(account: Account, request: Request, id_: str, version_id: str) -> Reply:
    made = _found(account.templates, id_)
    version = _found({one["id"]: one for one in made["versions"]}, version_id)
    if request.method == "DELETE":
        made["versions"].remove(version)
        return Reply(204)
    if request.method == "PATCH":
        version |= {**request.json(), "updated_at": moment()}
    return Reply(200, version)


def _activate(account: Account, _request: Request, id_: str, version_id: str) -> Reply:
    made = _found(account.templates, id_)
    for one in made["versions"]:
        one["active"] = int(one["id"] == version_id)
        one["updated_at"] = moment()
    return Reply(200, next(one for one in made["versions"] if one["active"]))


def _groups(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        return Reply(200, [{**one, "unsubscribes": 7} for one in account.groups.values()])
    if request.method == "DELETE":
        _found(account.groups, id_)
        del account.groups[id_]
        return Reply(204)
    body = request.json()
    if len(body.get("name", "")) > 30:
        raise _refused(400, "name cannot exceed 30 characters", "name")
    if "id" in body or "unsubscribes" in body:
        raise _refused(400, "unknown field")
    if request.method == "POST":
        id_ = str(account.number())
        account.groups[id_] = {"id": int(id_), "is_default": False, **body}
    else:
        _found(account.groups, id_).update(body)
    return Reply(201, account.groups[id_])


def _senders(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        rows = sorted(account.senders.values(), key=lambda one: int(one["id"]))
        rows = [one for one in rows if one["id"] > int(request.query.get("lastSeenID", 0))]
        return Reply(200, {"results": rows[: int(request.query.get("limit", 20))]})
    if request.method == "DELETE":
        _found(account.senders, id_)
        del account.senders[id_]
        return Reply(204)
    body = request.json()
    for name in ("nickname", "from_email", "reply_to"):
        if name not in body:
            raise _refused(400, f"{name} is required", name)
    if {"id", "verified", "locked"} & body.keys():
        raise _refused(400, "unknown field")
    if request.method == "POST":
        id_ = str(account.number())
        account.senders[id_] = {"id": int(id_), **body, "verified": False, "locked": False}
        return Reply(201, account.senders[id_])
    _found(account.senders, id_).update(body)
    return Reply(200, account.senders[id_])


def _webhooks(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        return Reply(200, {"max_allowed": 5, "webhooks": list(account.webhooks.values())})
    if request.method == "DELETE":
        _found(account.webhooks, id_)
        del account.webhooks[id_]
        return Reply(204)
    body = request.json()
    if "url" not in body:
        raise _refused(400, "url is required", "url")
    if {"id", "public_key", "created_date", "updated_date"} & body.keys():
        raise _refused(400, "unknown field")
    if request.method == "POST":
        id_ = str(uuid.uuid4())
        account.webhooks[id_] = {"id": id_, "created_date": moment(), **body}
    kept = {**account.webhooks[id_], **body, "updated_date": moment()}
    account.webhooks[id_] = {name: one for name, one in kept.items() if one is not None}
    return Reply(201 if request.method == "POST" else 200, account.webhooks[id_])


def _signed(account: Account, request: Request, id_: str) -> Reply:
    webhook = _found(account.webhooks, id_)
    webhook["public_key"] = secrets.token_urlsafe(64) if request.json()["enabled"] else ""
    return Reply(200, {"id": id_, "public_key": webhook["public_key"]})


def _parses(account: Account, request: Request, hostname: str = "") -> Reply:
    if request.method == "GET":
        return Reply(200, {"result": list(account.parses.values())})
    if request.method == "DELETE":
        account.parses.pop(hostname, None)
        return Reply(204)
    body = request.json()
    hostname = hostname or body["hostname"]
    if request.method == "POST" and hostname in account.parses:
        raise _refused(400, "hostname already exists", "hostname")
    account.parses[hostname] = {**account.parses.get(hostname, {}), **body}
    return Reply(201 if request.method == "POST" else 200, account.parses[hostname])


def _keys(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET" and not id_:
        told = ("api_key_id", "name")
        rows = [{name: one[name] for name in told} for one in account.keys.values()]
        return Reply(200, {"result": rows})
    key = _found(account.keys, id_)
    if request.method == "DELETE":
        del account.keys[id_]
        return Reply(204)
    if request.method == "PUT":
        key |= request.json()
        return Reply(200, {"api_key_id": id_, "name": key["name"]})
    return Reply(200, {"result": [key]})


def _domains(account: Account, request: Request) -> Reply:
    start, size = int(request.query.get("offset", 0)), int(request.query.get("limit", 50))
    return Reply(200, account.domains[start : start + size])


def _setting(account: Account, request: Request, family: str, name: str) -> Reply:
    setting = _found(account.settings, f"{family}/{name}")
    if request.method == "PATCH":
        if "enable_text" in request.json():
            raise _refused(400, "unknown field", "enable_text")
        setting |= request.json()
    return Reply(200, {**setting, "enable_text": True} if name == "click" else setting)


Handler = Callable[..., Reply]
_ID = "/([^/]+)"
_EVENT, _PARSE = "/user/webhooks/event/settings", "/user/webhooks/parse/settings"


def _crud(path: str, scope: str, handle: Handler, change: str = "PATCH") -> list[Any]:
    return [
        ("GET", path, f"{scope}.read", handle),
        ("POST", path, f"{scope}.create", handle),
        ("GET", path + _ID, f"{scope}.read", handle),
        (change, path + _ID, f"{scope}.update", handle),
        ("DELETE", path + _ID, f"{scope}.delete", handle),
    ]


_ROUTES: list[tuple[str, str, str, Handler]] = [
    (
        "GET",
        "/user/username",
        "user.username.read",
        lambda account, _r: Reply(200, {"username": account.username, "user_id": 1}),
    ),
    ("GET", "/templates", "templates.read", _templates),
    ("POST", "/templates", "templates.create", _templates),
    ("GET", "/templates" + _ID, "templates.read", _template),
    ("DELETE", "/templates" + _ID, "templates.delete", _template),
    ("POST", f"/templates{_ID}/versions", "templates.versions.create", _versions),
    ("GET", f"/templates{_ID}/versions{_ID}", "templates.versions.read", _version_of),
    ("PATCH", f"/templates{_ID}/versions{_ID}", "templates.versions.update", _version_of),
    ("DELETE", f"/templates{_ID}/versions{_ID}", "templates.versions.delete", _version_of),
    (
        "POST",
        f"/templates{_ID}/versions{_ID}/activate",
        "templates.versions.activate.create",
        _activate,
    ),
    *_crud("/asm/groups", "asm.groups", _groups),
    *_crud("/verified_senders", "verified_senders", _senders),
    ("GET", f"{_EVENT}/all", "user.webhooks.event.settings.read", _webhooks),
    ("PATCH", f"{_EVENT}/signed{_ID}", "user.webhooks.event.settings.update", _signed),
    *_crud(_EVENT, "user.webhooks.event.settings", _webhooks),
    *_crud(_PARSE, "user.webhooks.parse.settings", _parses),
    *_crud("/api_keys", "api_keys", _keys, change="PUT"),
    ("GET", "/whitelabel/domains", "whitelabel.read", _domains),
    ("GET", "/(mail_settings|tracking_settings)/([a-z_]+)", "{0}.{1}.read", _setting),
    ("PATCH", "/(mail_settings|tracking_settings)/([a-z_]+)", "{0}.{1}.update", _setting),
]
