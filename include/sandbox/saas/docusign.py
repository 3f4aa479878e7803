"""DocuSign's eSignature API v2.1, and the part of its account server that gives tokens.

A token is given for a statement that is signed with the integration's key (RS256), is for this
server, and names a user who has consented. Values are texts, as there; most lists of things are
changed by requests that name many, and answer of each.
"""

import base64
import json
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from include.sandbox.saas.server import Refused, Reply, Request, Service, moment

AUDIENCE = "account-d.docusign.com"
_SCOPES = {"signature", "impersonation"}
_MOST = 100
Thing = dict[str, Any]


def new_key() -> str:
    """An RSA private key, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass
class Account:
    """What an account holds."""

    id: str
    users: dict[str, Thing] = field(default_factory=dict)
    settings: dict[str, Thing] = field(default_factory=dict)
    brands: dict[str, Thing] = field(default_factory=dict)
    logos: dict[tuple[str, str], bytes] = field(default_factory=dict)
    fields: dict[str, Thing] = field(default_factory=dict)
    profiles: dict[str, Thing] = field(default_factory=dict)
    groups: dict[str, Thing] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    signing_groups: dict[str, Thing] = field(default_factory=dict)
    templates: dict[str, Thing] = field(default_factory=dict)
    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    connect: dict[str, Thing] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """First parts of paths that the user may not use."""


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
            raise _refused(401, "AUTHORIZATION_INVALID_TOKEN", "The access token is not valid.")
        if request.path == "/oauth/userinfo":
            told = {"account_id": account.id, "is_default": True, "account_name": "Lender"}
            told["base_uri"] = f"http://{request.headers['Host']}"
            return Reply(200, {"sub": "user", "accounts": [told]})
        start = f"/restapi/v2.1/accounts/{account.id}"
        if not request.path.startswith(f"{start}/"):
            said = "The user is not a member of the account."
            raise _refused(401, "USER_DOES_NOT_BELONG_TO_SPECIFIED_ACCOUNT", said)
        path = request.path.removeprefix(start)
        if path.split("/")[1] in account.denied:
            said = "This user lacks sufficient permissions to access this resource."
            raise _refused(400, "USER_LACKS_PERMISSIONS", said)
        for method, pattern, handle in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                return handle(account, request, *found.groups())
        raise _refused(404, "RESOURCE_NOT_FOUND", "The URL provided does not resolve.")

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


def add_template(account: Account, told: Thing, documents: dict[str, bytes]) -> Thing:
    """Make one as the service does; for stocking."""
    coded = [
        {
            "documentId": id_,
            "name": f"Document {id_}",
            "order": id_,
            "documentBase64": base64.b64encode(content).decode(),
        }
        for id_, content in documents.items()
    ]
    return _new_template(account, {**told, "documents": coded})


def _no_grant(said: str) -> Reply:
    return Reply(400, {"error": "invalid_grant", "error_description": said})


def _refused(status: int, code: str, said: str) -> Refused:
    return Refused(Reply(status, {"errorCode": code, "message": said}))


def _paged(request: Request, member: str, rows: list[Thing]) -> Reply:
    start, size = int(request.query.get("start_position", 0)), int(request.query.get("count", 10))
    some = rows[start : start + min(size, _MOST)]
    end = start + len(some)
    told: Thing = {
        member: some,
        "resultSetSize": str(len(some)),
        "totalSetSize": str(len(rows)),
        "startPosition": str(start),
        "endPosition": str(max(end - 1, 0)),
    }
    if end < len(rows):
        told["nextUri"] = f"/accounts/x?start_position={end}"
    return Reply(200, told)


def _found(things: dict[str, Thing], id_: str, what: str) -> Thing:
    if id_ not in things:
        raise _refused(404, f"INVALID_{what}_ID", f"The {what.lower()} id is invalid.")
    return things[id_]


def _settings(account: Account, request: Request, name: str = "") -> Reply:
    settings = account.settings.setdefault(name.strip("/"), {})
    if request.method == "PUT":
        settings |= request.json()
        return Reply(200)
    told = {f"{one}Metadata": {"rights": "editable"} for one in settings}
    return Reply(200, {**settings, **told})


def _brands(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        told = [{**one, "resources": {"email": "/uri"}} for one in account.brands.values()]
        return Reply(200, {"brands": told})
    if request.method == "POST":
        body = request.json()
        if body["brandName"] in {one["brandName"] for one in account.brands.values()}:
            raise _refused(400, "BRAND_NAME_ALREADY_EXISTS", "The brand name is taken.")
        id_ = str(uuid.uuid4())
        account.brands[id_] = {**body, "brandId": id_}
        return Reply(201, {"brands": [account.brands[id_]]})
    brand = _found(account.brands, id_, "BRAND")
    if request.method == "DELETE":
        del account.brands[id_]
        return Reply(200, {})
    brand |= request.json()
    return Reply(200, brand)


def _logo(account: Account, request: Request, id_: str, kind: str) -> Reply:
    if request.method == "PUT":
        account.logos[id_, kind] = request.body
        return Reply(200)
    if request.method == "DELETE":
        account.logos.pop((id_, kind), None)
        return Reply(200)
    if (id_, kind) not in account.logos:
        raise _refused(404, "BRAND_LOGO_NOT_FOUND", "There is no such logo.")
    return Reply(200, account.logos[id_, kind])


def _fields(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "DELETE":
        _found(account.fields, id_, "CUSTOM_FIELD")
        del account.fields[id_]
        return Reply(200)
    if request.method in ("POST", "PUT"):
        body = request.json()
        id_ = id_ or str(10_000 + len(account.fields) + secrets.randbelow(9000))
        account.fields[id_] = {**account.fields.get(id_, {}), **body, "fieldId": id_}
    told: Thing = {"textCustomFields": [], "listCustomFields": []}
    for one in account.fields.values():
        kind = one["customFieldType"]
        shown = {name: one[name] for name in one if name != "customFieldType"}
        told[f"{kind}CustomFields"].append(shown)
    return Reply(201 if request.method == "POST" else 200, told)


def _profiles(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        rows = []
        for one in account.profiles.values():
            metadata = {f"{name}Metadata": {"rights": "editable"} for name in one["settings"]}
            told = {**one, "settings": {**one["settings"], **metadata}}
            rows.append({**told, "userCount": "3", "modifiedDateTime": moment()})
        return Reply(200, {"permissionProfiles": rows})
    if request.method == "DELETE":
        _found(account.profiles, id_, "PROFILE")
        del account.profiles[id_]
        return Reply(200)
    body = request.json()
    if {"userCount", "modifiedDateTime"} & body.keys():
        raise _refused(400, "INVALID_REQUEST_BODY", "The request body has a read-only member.")
    id_ = id_ or str(20_000 + len(account.profiles) + secrets.randbelow(9000))
    before = account.profiles.get(id_, {"settings": {}})
    settings = {**before["settings"], **body.get("settings", {})}
    account.profiles[id_] = {**before, **body, "settings": settings, "permissionProfileId": id_}
    return Reply(201 if request.method == "POST" else 200, account.profiles[id_])


def _many(
    things: dict[str, Thing], request: Request, member: str, key: str, name: str
) -> list[Thing]:
    """What becomes of each of many."""
    told = []
    for one in request.json()[member]:
        id_ = one.get(key) or str(30_000 + len(things) + secrets.randbelow(9000))
        taken = {x[name] for x in things.values()}
        if request.method == "POST" and one[name] in taken:
            problem = {"errorCode": "GROUP_NAME_TAKEN", "message": "The name is taken."}
            told.append({**one, "errorDetails": problem})
            continue
        if request.method == "DELETE":
            things.pop(id_, None)
            told.append({key: id_, "errorDetails": {"errorCode": "SUCCESS", "message": ""}})
            continue
        things[id_] = {**things.get(id_, {}), **one, key: id_}
        told.append(things[id_])
    return told


def _groups(account: Account, request: Request) -> Reply:
    if request.method == "GET":
        rows = [{**one, "usersCount": "2"} for one in account.groups.values()]
        return _paged(request, "groups", rows)
    if any("usersCount" in one for one in request.json()["groups"]):
        raise _refused(400, "INVALID_REQUEST_BODY", "The request body has a read-only member.")
    told = _many(account.groups, request, "groups", "groupId", "groupName")
    for one in account.groups.values():
        one.setdefault("groupType", "customGroup")
    return Reply(200, {"groups": told})


def _group_users(account: Account, request: Request, id_: str) -> Reply:
    members = account.members.setdefault(id_, set())
    if request.method == "GET":
        return _paged(request, "users", [account.users[one] for one in sorted(members)])
    for one in request.json()["users"]:
        _found(account.users, one["userId"], "USER")
        (members.add if request.method == "PUT" else members.discard)(one["userId"])
    return Reply(200, {"users": []})


def _signing_groups(account: Account, request: Request) -> Reply:
    if request.method == "GET":
        rows = [
            {**one, "created": moment(), "createdBy": "x"}
            for one in account.signing_groups.values()
        ]
        return Reply(200, {"groups": rows})
    before = {id_: one.get("users", []) for id_, one in account.signing_groups.items()}
    told = _many(account.signing_groups, request, "groups", "signingGroupId", "groupName")
    for one in account.signing_groups.values():
        # A change adds members, and removes none.
        kept = {x["email"]: x for x in before.get(one["signingGroupId"], [])}
        one["users"] = [*(kept | {x["email"]: x for x in one.get("users", [])}).values()]
    return Reply(200, {"groups": told})


def _signing_group_users(account: Account, request: Request, id_: str) -> Reply:
    group = _found(account.signing_groups, id_, "SIGNING_GROUP")
    gone = {one["email"] for one in request.json()["users"]}
    group["users"] = [one for one in group["users"] if one["email"] not in gone]
    return Reply(200, {"users": group["users"]})


def _connect(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "GET":
        hidden = ("password", "salesforceAuthcode")
        rows = [
            {name: one[name] for name in one if name not in hidden}
            for one in account.connect.values()
        ]
        return Reply(200, {"configurations": rows, "totalRecords": str(len(rows))})
    if request.method == "DELETE":
        _found(account.connect, id_, "CONNECT")
        del account.connect[id_]
        return Reply(200)
    body = request.json()
    id_ = body.get("connectId") or str(40_000 + secrets.randbelow(9000))
    account.connect[id_] = {**account.connect.get(id_, {}), **body, "connectId": id_}
    return Reply(201 if request.method == "POST" else 200, account.connect[id_])


def _templates(account: Account, request: Request) -> Reply:
    if request.method == "POST":
        made = _new_template(account, request.json())
        return Reply(201, {"templateId": made["templateId"], "name": made["name"]})
    told = ("templateId", "name", "lastModified", "created", "shared", "owner")
    rows = [{name: one[name] for name in told} for one in account.templates.values()]
    return _paged(request, "envelopeTemplates", rows)


def _new_template(account: Account, told: Thing) -> Thing:
    id_ = str(uuid.uuid4())
    made = {
        "shared": "false",
        **{name: one for name, one in told.items() if name not in ("documents", "recipients")},
        "templateId": id_,
        "created": moment(),
        "lastModified": moment(),
        "lastModifiedBy": {"userName": "Stand In"},
        "owner": {"userName": "Stand In", "userId": "u1"},
        "folderId": str(uuid.uuid4()),
        "uri": f"/templates/{id_}",
        "documents": [],
        "recipients": {},
    }
    account.templates[id_] = made
    _put_documents(account, made, told.get("documents", []))
    _post_recipients(account, made, told.get("recipients", {}))
    return made


def _put_documents(account: Account, made: Thing, documents: list[Thing]) -> None:
    for one in documents:
        content = base64.b64decode(one["documentBase64"])
        account.documents[made["templateId"], one["documentId"]] = content
        shown = {name: one[name] for name in one if name != "documentBase64"}
        shown |= {"uri": f"/documents/{one['documentId']}", "documentIdGuid": str(uuid.uuid4())}
        shown["fileExtension"] = "pdf"
        others = [x for x in made["documents"] if x["documentId"] != one["documentId"]]
        made["documents"] = [*others, shown]
        _forget_tabs(made, one["documentId"])


def _forget_tabs(made: Thing, document: str) -> None:
    for some in made["recipients"].values():
        for one in some:
            for kind, tabs in one.get("tabs", {}).items():
                one["tabs"][kind] = [x for x in tabs if x["documentId"] != document]


def _post_recipients(account: Account, made: Thing, recipients: Thing) -> None:
    for kind, some in recipients.items():
        for one in some:
            told = json.loads(json.dumps(one))
            told |= {"recipientIdGuid": str(uuid.uuid4()), "userId": str(uuid.uuid4())}
            if "signingGroupId" in told:
                _found(account.signing_groups, told["signingGroupId"], "SIGNING_GROUP")
            for tabs in told.get("tabs", {}).values():
                for tab in tabs:
                    tab["tabId"] = str(uuid.uuid4())
            made["recipients"].setdefault(kind, []).append(told)


def _template(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_, "TEMPLATE")
    if request.method == "DELETE":
        del account.templates[id_]
        return Reply(200)
    if request.method == "PUT":
        body = request.json()
        if {"documents", "recipients"} & body.keys():
            said = "Documents and recipients have requests of their own here."
            raise _refused(400, "INVALID_REQUEST_PARAMETER", said)
        made |= {**body, "lastModified": moment()}
        return Reply(200, {})
    count = sum(len(some) for some in made["recipients"].values())
    told = {**made["recipients"], "recipientCount": str(count), "currentRoutingOrder": "1"}
    return Reply(200, {**made, "recipients": told, "descriptionMetadata": {"rights": "editable"}})


def _template_documents(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_, "TEMPLATE")
    made["lastModified"] = moment()
    documents = request.json()["documents"]
    if request.method == "PUT":
        _put_documents(account, made, documents)
    else:
        gone = {one["documentId"] for one in documents}
        made["documents"] = [one for one in made["documents"] if one["documentId"] not in gone]
        for one in gone:
            _forget_tabs(made, one)
    return Reply(200, {"templateId": id_})


def _template_document(account: Account, request: Request, id_: str, document: str) -> Reply:
    if (id_, document) not in account.documents:
        raise _refused(404, "DOCUMENT_DOES_NOT_EXIST", "The document does not exist.")
    return Reply(200, account.documents[id_, document])


def _template_recipients(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_, "TEMPLATE")
    if request.method == "GET":
        return Reply(200, {**made["recipients"], "recipientCount": "0"})
    made["lastModified"] = moment()
    if request.method == "POST":
        _post_recipients(account, made, request.json())
        return Reply(201, {})
    for kind, some in request.json().items():
        gone = {one["recipientId"] for one in some}
        kept = [one for one in made["recipients"][kind] if one["recipientId"] not in gone]
        made["recipients"][kind] = kept
    return Reply(200, {})


def _template_fields(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_, "TEMPLATE")
    held = made.setdefault("customFields", {})
    if request.method != "GET":
        made["lastModified"] = moment()
        for kind, some in request.json().items():
            names = {one["name"] for one in some}
            kept = [one for one in held.get(kind, []) if one["name"] not in names]
            added = [{**one, "fieldId": secrets.token_hex(4)} for one in some]
            held[kind] = kept + (added if request.method == "POST" else [])
        made["customFields"] = {kind: some for kind, some in held.items() if some}
        if not made["customFields"]:
            del made["customFields"]
    return Reply(201 if request.method == "POST" else 200, held)


def _template_notification(account: Account, request: Request, id_: str) -> Reply:
    made = _found(account.templates, id_, "TEMPLATE")
    made |= {"notification": request.json(), "lastModified": moment()}
    return Reply(200, made["notification"])


def _users(account: Account, request: Request) -> Reply:
    return _paged(request, "users", list(account.users.values()))


Handler = Callable[..., Reply]
_ID = "/([^/]+)"
_EVERY = ("GET", "POST", "PUT", "DELETE")


def _all(path: str, handle: Handler, methods: tuple[str, ...] = _EVERY) -> list[Any]:
    return [(method, path, handle) for method in methods]


_ROUTES: list[tuple[str, str, Handler]] = [
    *_all("/settings(/[a-z_]+)?", lambda a, r, name: _settings(a, r, name or ""), ("GET", "PUT")),
    *_all("/brands", _brands, ("GET", "POST")),
    *_all("/brands" + _ID, _brands, ("PUT", "DELETE")),
    *_all(f"/brands{_ID}/logos{_ID}", _logo, ("GET", "PUT", "DELETE")),
    *_all("/custom_fields", _fields, ("GET", "POST")),
    *_all("/custom_fields" + _ID, _fields, ("PUT", "DELETE")),
    *_all("/permission_profiles", _profiles, ("GET", "POST")),
    *_all("/permission_profiles" + _ID, _profiles, ("PUT", "DELETE")),
    *_all("/groups", _groups),
    *_all(f"/groups{_ID}/users", _group_users, ("GET", "PUT", "DELETE")),
    *_all("/signing_groups", _signing_groups),
    *_all(f"/signing_groups{_ID}/users", _signing_group_users, ("DELETE",)),
    *_all("/users", _users, ("GET",)),
    *_all("/connect", _connect, ("GET", "POST", "PUT")),
    *_all("/connect" + _ID, _connect, ("DELETE",)),
    *_all("/templates", _templates, ("GET", "POST")),
    *_all("/templates" + _ID, _template, ("GET", "PUT", "DELETE")),
    *_all(f"/templates{_ID}/documents", _template_documents, ("PUT", "DELETE")),
    *_all(f"/templates{_ID}/documents{_ID}", _template_document, ("GET",)),
    *_all(f"/templates{_ID}/recipients", _template_recipients, ("GET", "POST", "DELETE")),
    *_all(f"/templates{_ID}/custom_fields", _template_fields, ("GET", "POST", "DELETE")),
    *_all(f"/templates{_ID}/notification", _template_notification, ("PUT",)),
]
