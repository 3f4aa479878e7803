"""What hangs on the things of the Auth0 stand-in: bindings, permissions, enabled clients."""

import secrets

from include.sandbox.saas.auth0_tenant import (
    COLLECTIONS,
    Tenant,
    error,
    found_thing,
    from_checkpoint,
    invalid,
    paged,
)
from include.sandbox.saas.server import Refused, Reply, Request, moment

_TRIGGERS = ("post-login", "credentials-exchange", "pre-user-registration", "send-phone-message")


def deploy(tenant: Tenant, _request: Request, id_: str) -> Reply:
    """An action that is built runs from now on."""
    collection = next(one for one in COLLECTIONS if one.path == "/actions/actions")
    thing = found_thing(tenant, collection, id_)
    if thing["status"] != "built":
        said = "A draft must be in the 'built' state"
        raise Refused(Reply(400, error(400, "Bad Request", said, "draft_not_built")))
    thing |= {"all_changes_deployed": True, "updated_at": moment()}
    return Reply(202, dict(thing))


def triggers(_tenant: Tenant, _request: Request) -> Reply:
    """All that there are."""
    return Reply(200, {"triggers": [{"id": one, "version": "v3"} for one in _TRIGGERS]})


def bindings(tenant: Tenant, request: Request, trigger: str) -> Reply:
    """A trigger's actions, in order."""
    if request.method == "PATCH":
        by_name = {one["name"]: one for one in tenant.of("/actions/actions").values()}
        made = []
        for one in request.json()["bindings"]:
            action = by_name.get(one["ref"]["value"])
            if action is None or not action["all_changes_deployed"]:
                raise invalid("An action must exist and be deployed before it is bound")
            told = {"id": action["id"], "name": action["name"]}
            made.append({"id": secrets.token_hex(8), "trigger_id": trigger, "action": told})
            made[-1] |= {"display_name": one["display_name"], "created_at": moment()}
        tenant.bindings[trigger] = made
    return paged(request, "bindings", tenant.bindings.get(trigger, []))


def connection_clients(tenant: Tenant, request: Request, id_: str) -> Reply:
    """The applications that a connection leads into."""
    enabled = tenant.enabled.setdefault(id_, set())
    if request.method == "PATCH":
        body = request.json()
        if len(body) > 50:
            raise invalid("Array is too long (51), maximum 50")
        for one in body:
            (enabled.add if one["status"] else enabled.discard)(one["client_id"])
        return Reply(204)
    rows = [{"client_id": one} for one in sorted(enabled)]
    return from_checkpoint(request, "clients", rows, "client_id")


def permissions(tenant: Tenant, request: Request, id_: str) -> Reply:
    """What a role permits."""
    held = tenant.permissions.setdefault(id_, [])
    if request.method == "GET":
        return paged(request, "permissions", held)
    apis = {one["identifier"]: one for one in tenant.of("/resource-servers").values()}
    for one in request.json()["permissions"]:
        api = apis.get(one["resource_server_identifier"])
        if api is None or one["permission_name"] not in {x["value"] for x in api["scopes"]}:
            raise invalid("No permission of that name at that API")
        held[:] = [
            x
            for x in held
            if (x["permission_name"], x["resource_server_identifier"])
            != (one["permission_name"], one["resource_server_identifier"])
        ]
        if request.method == "POST":
            held.append({**one, "resource_server_name": api.get("name", "")})
    return Reply(201 if request.method == "POST" else 204)


def organization_connections(
    tenant: Tenant, request: Request, id_: str, connection: str = ""
) -> Reply:
    """The connections that lead into an organization."""
    held = tenant.organization_connections.setdefault(id_, {})
    if request.method == "GET":
        return paged(request, "enabled_connections", list(held.values()))
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
