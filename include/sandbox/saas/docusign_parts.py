"""DocuSign's settings, brands, fields, profiles, groups and Connect: what its templates lean on.

Most lists of things are changed by requests that name many, and answer of each.
"""

import secrets
import uuid

from include.sandbox.saas.docusign_account import (
    ID,
    Account,
    Route,
    Thing,
    every,
    found,
    paged,
    refused,
)
from include.sandbox.saas.server import Reply, Request, moment


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
            raise refused(400, "BRAND_NAME_ALREADY_EXISTS", "The brand name is taken.")
        id_ = str(uuid.uuid4())
        account.brands[id_] = {**body, "brandId": id_}
        return Reply(201, {"brands": [account.brands[id_]]})
    brand = found(account.brands, id_, "BRAND")
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
        raise refused(404, "BRAND_LOGO_NOT_FOUND", "There is no such logo.")
    return Reply(200, account.logos[id_, kind])


def _fields(account: Account, request: Request, id_: str = "") -> Reply:
    if request.method == "DELETE":
        found(account.fields, id_, "CUSTOM_FIELD")
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
        found(account.profiles, id_, "PROFILE")
        del account.profiles[id_]
        return Reply(200)
    body = request.json()
    if {"userCount", "modifiedDateTime"} & body.keys():
        raise refused(400, "INVALID_REQUEST_BODY", "The request body has a read-only member.")
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
        return paged(request, "groups", rows)
    if any("usersCount" in one for one in request.json()["groups"]):
        raise refused(400, "INVALID_REQUEST_BODY", "The request body has a read-only member.")
    told = _many(account.groups, request, "groups", "groupId", "groupName")
    for one in account.groups.values():
        one.setdefault("groupType", "customGroup")
    return Reply(200, {"groups": told})


def _group_users(account: Account, request: Request, id_: str) -> Reply:
    members = account.members.setdefault(id_, set())
    if request.method == "GET":
        return paged(request, "users", [account.users[one] for one in sorted(members)])
    for one in request.json()["users"]:
        found(account.users, one["userId"], "USER")
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
    group = found(account.signing_groups, id_, "SIGNING_GROUP")
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
        found(account.connect, id_, "CONNECT")
        del account.connect[id_]
        return Reply(200)
    body = request.json()
    id_ = body.get("connectId") or str(40_000 + secrets.randbelow(9000))
    account.connect[id_] = {**account.connect.get(id_, {}), **body, "connectId": id_}
    return Reply(201 if request.method == "POST" else 200, account.connect[id_])


def _users(account: Account, request: Request) -> Reply:
    return paged(request, "users", list(account.users.values()))


ROUTES: list[Route] = [
    *every("/settings(/[a-z_]+)?", lambda a, r, name: _settings(a, r, name or ""), ("GET", "PUT")),
    *every("/brands", _brands, ("GET", "POST")),
    *every("/brands" + ID, _brands, ("PUT", "DELETE")),
    *every(f"/brands{ID}/logos{ID}", _logo, ("GET", "PUT", "DELETE")),
    *every("/custom_fields", _fields, ("GET", "POST")),
    *every("/custom_fields" + ID, _fields, ("PUT", "DELETE")),
    *every("/permission_profiles", _profiles, ("GET", "POST")),
    *every("/permission_profiles" + ID, _profiles, ("PUT", "DELETE")),
    *every("/groups", _groups),
    *every(f"/groups{ID}/users", _group_users, ("GET", "PUT", "DELETE")),
    *every("/signing_groups", _signing_groups),
    *every(f"/signing_groups{ID}/users", _signing_group_users, ("DELETE",)),
    *every("/users", _users, ("GET",)),
    *every("/connect", _connect, ("GET", "POST", "PUT")),
    *every("/connect" + ID, _connect, ("DELETE",)),
]
