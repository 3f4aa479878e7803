"""Who may get in, and at what: applications, APIs, grants, connections, roles, organizations.

Things refer to each other by ids in Auth0; here they refer by names.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import Kind, Listed, Shape, with_secrets
from ledgerkeep.configuration.owner import Place, Row
from ledgerkeep.configuration.source import Change, Found, Known, Planned
from ledgerkeep.configuration.sources.auth0.tenant import Tenant

SECRET = re.compile(r"(secret|token|password|passwd|credentials?|authorization|key)$", re.I)
_EVERYTHING = re.compile("")
_AT_ONCE = 50
"""Clients of a connection that one request may change."""
_OURS = "it is the application that the backup itself uses"


class ResourceServers(Listed):
    """APIs and their scopes; not the Management API, which every tenant brings along."""

    name = "api"
    path = "/resource-servers"
    name_member = "identifier"
    shape = Shape(
        left_out=frozenset({"is_system", "client_id"}),
        fixed=frozenset({"identifier"}),
        secret=re.compile("^signing_secret$"),
    )

    def concerns(self, row: Row) -> bool:
        """System APIs are not ours."""
        return not row.get("is_system")

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """Scopes in the order of their names."""
        found = super().content(name, row)
        scopes = sorted(row.get("scopes") or [], key=lambda one: str(one["value"]))
        return {**found, "scopes": scopes}


class Clients(Listed):
    """Applications; what of them refers to others is `ClientLinks`."""

    name = "client"
    path = "/clients"
    id_member = "client_id"
    shape = Shape(
        left_out=frozenset(
            {
                "tenant",
                "global",
                "signing_keys",
                "callback_url_template",
                "encrypted",
                "cross_origin_auth",
                "allowed_clients",
                "default_organization",
                "jwt_configuration.secret_encoded",
            }
        ),
        merged=frozenset({"client_metadata"}),
        unordered=frozenset({"grant_types"}),
        secret=SECRET,
    )

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        super().__init__(tenant.api, tenant.place, tenant.clients)
        self._own = tenant.own_client

    def concerns(self, row: Row) -> bool:
        """The one that we use is a kind of its own."""
        return bool(row["client_id"] != self._own)


class OwnClient(Clients):
    """The application that the connection uses: its secret is there, and stays there."""

    name = "own-client"
    why_not_beside = _OURS

    def concerns(self, row: Row) -> bool:
        """Only that one."""
        return bool(row["client_id"] == self._own)

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """Without its secret."""
        found = super().content(name, row)
        found.pop("client_secret", None)
        return found

    def by_hand(self, change: Planned) -> str:
        """It is never made or deleted."""
        if change.action == "update":
            return ""
        name = change.key.partition("/")[2]
        return f"see which application is to be used in place of {name}: {_OURS}"


class ClientLinks(Kind):
    """What of applications refers to other applications and to organizations."""

    name = "client-links"

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        self.tenant = tenant

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Of those that have any."""
        for outer, row in self.tenant.clients.rows().items():
            name, links = self.tenant.place.inward(outer), self._links(row)
            if name is not None and links:
                yield Found(name, links)

    def put(self, name: str, change: Change) -> None:
        """Set both references."""
        wanted = change.wanted or {}
        outer = self.tenant.place.outward(name)
        row = self.tenant.clients.rows()[outer]
        if self._links(row) == dict(wanted):
            return
        allowed = [
            self.tenant.clients.needed(self.tenant.client_outward(one))
            for one in wanted.get("allowed_clients", [])
        ]
        body: dict[str, Any] = {"allowed_clients": allowed, "default_organization": None}
        if "default_organization" in wanted:
            told = dict(wanted["default_organization"])
            organization = self.tenant.place.outward(told.pop("organization"))
            told["organization_id"] = self.tenant.organizations.needed(organization)
            body["default_organization"] = told
        path = f"/clients/{row['client_id']}"
        self.tenant.api.ask(f"link client {outer}", "PATCH", path, body=body)
        self.tenant.clients.put({"name": outer, **body})

    def remove(self, name: str) -> None:
        """Without any references, if the application is still there."""
        if self.tenant.place.outward(name) in self.tenant.clients.rows():
            self.put(name, Change("update", name, None, {}))

    def _links(self, row: Row) -> dict[str, Any]:
        found: dict[str, Any] = {}
        allowed = self.tenant.client_names(row.get("allowed_clients") or [])
        if allowed:
            found["allowed_clients"] = allowed
        told = dict(row.get("default_organization") or {})
        name = self.tenant.organizations.name_of(told.pop("organization_id", "")) if told else None
        if name is not None:
            found["default_organization"] = {
                **told,
                "organization": self.tenant.place.inward(name),
            }
        return found


class ClientGrants(Listed):
    """Which application may use which API, with which scopes."""

    name = "client-grant"
    path = "/client-grants"
    shape = Shape(
        left_out=frozenset({"client_id", "is_system"}),
        fixed=frozenset({"client_id", "audience", "subject_type"}),
        unordered=frozenset({"scope"}),
    )

    def __init__(self, tenant: Tenant) -> None:
        """Its names are ours already, so that they need no place."""
        super().__init__(tenant.api, Place(), tenant.grants)
        self.tenant = tenant

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """The application by name."""
        found = super().content(name, row)
        del found["name"]
        client = self.tenant.clients.name_of(row["client_id"]) or ""
        audience = self.tenant.api_inward(row["audience"])
        return {**found, "client": self.tenant.client_inward(client), "audience": audience}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The application by id."""
        body = dict(wanted)
        client = self.tenant.client_outward(body.pop("client"))
        body["client_id"] = self.tenant.clients.needed(client)
        body["audience"] = self.tenant.api_outward(body["audience"])
        return body

    def concerns(self, row: Row) -> bool:
        """Those of the application that we use are a kind of their own."""
        return bool(row["client_id"] != self.tenant.own_client)


class OwnGrants(ClientGrants):
    """What the application may that the connection uses."""

    name = "own-client-grant"
    why_not_beside = _OURS

    def concerns(self, row: Row) -> bool:
        """Only of that one."""
        return bool(row["client_id"] == self.tenant.own_client)

    def by_hand(self, change: Planned) -> str:
        """Nobody saws off the branch he sits on."""
        name = change.key.partition("/")[2]
        return f"set the grant {name} by hand: {_OURS}"


class Connections(Listed):
    """Where users come from, and which applications they come into by it."""

    name = "connection"
    path = "/connections"
    shape = Shape(
        left_out=frozenset({"enabled_clients", "provisioning_ticket_url"}),
        fixed=frozenset({"name", "strategy"}),
        secret=SECRET,
    )

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        super().__init__(tenant.api, tenant.place, tenant.connections)
        self.tenant = tenant

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """Its own name among its realms as ours; custom databases' settings are secrets."""
        found = super().content(name, row)
        options: dict[str, Any] = dict(found.get("options") or {})  # type: ignore[arg-type]
        if "configuration" in options:
            options["configuration"] = with_secrets(
                "", row["options"]["configuration"], _EVERYTHING
            )
        enabled = self.tenant.chain(f"/connections/{row['id']}/clients", "clients")
        names = self.tenant.client_names(one["client_id"] for one in enabled)
        realms = [name if one == row["name"] else one for one in row.get("realms", [])]
        return {**found, "options": options, "realms": realms, "enabled_clients": names}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Without the applications, which are set by a request of their own."""
        body = super().body(wanted)
        del body["enabled_clients"]
        own, outer = wanted["name"], body["name"]
        return {**body, "realms": [outer if one == own else one for one in wanted["realms"]]}

    def put(self, name: str, change: Change) -> None:
        """The connection, then its applications."""
        super().put(name, change)
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer = self.place.outward(name)
        path = f"/connections/{self.register.needed(outer)}/clients"
        live = {str(one["client_id"]) for one in self.tenant.chain(path, "clients")}
        wanted = {
            self.tenant.clients.needed(self.tenant.client_outward(one))
            for one in change.wanted["enabled_clients"]
        }
        sent = [{"client_id": one, "status": one in wanted} for one in sorted(live ^ wanted)]
        for start in range(0, len(sent), _AT_ONCE):
            some = sent[start : start + _AT_ONCE]
            self.ask("PATCH", f"set the applications of connection {outer}", path, body=some)

    def by_hand(self, change: Planned) -> str:
        """With a database go its users, which are in no version."""
        name = change.key.partition("/")[2]
        before, after = change.before, change.after
        if before is None:
            return ""
        if after is not None and before.content["strategy"] != after.content["strategy"]:
            return (
                f"make the connection {name} anew by hand, as {after.content['strategy']}: with "
                "the one that is there go its users"
            )
        if after is None and before.content["strategy"] == "auth0":
            return f"delete the connection {name} by hand: with it go its users"
        return ""


class Roles(Listed):
    """Roles, and what they permit at which API."""

    name = "role"
    path = "/roles"
    shape = Shape(left_out=frozenset({"type"}))

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        super().__init__(tenant.api, tenant.place, tenant.roles)
        self.tenant = tenant

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """With its permissions, in order."""
        pairs = [
            {"api": inner, "permission": permission}
            for permission, outer in self._permissions(row["id"])
            if (inner := self.tenant.api_inward(outer)) is not None
        ]
        found = sorted(pairs, key=lambda one: (one["api"], one["permission"]))
        return {**super().content(name, row), "permissions": found}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Without its permissions, which are set by requests of their own."""
        body = super().body(wanted)
        del body["permissions"]
        return body

    def put(self, name: str, change: Change) -> None:
        """The role, then its permissions."""
        super().put(name, change)
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer = self.place.outward(name)
        id_ = self.register.needed(outer)
        live = set(self._permissions(id_))
        wanted = {
            (str(one["permission"]), self.tenant.api_outward(one["api"]))
            for one in change.wanted["permissions"]
        }
        for method, some in (("DELETE", live - wanted), ("POST", wanted - live)):
            if some:
                body = {
                    "permissions": [
                        {"permission_name": one, "resource_server_identifier": api}
                        for one, api in sorted(some)
                    ]
                }
                what = f"set the permissions of role {outer}"
                self.ask(method, what, f"/roles/{id_}/permissions", body=body)

    def _permissions(self, id_: str) -> Iterator[tuple[str, str]]:
        for one in self.tenant.pages(f"/roles/{id_}/permissions"):
            yield str(one["permission_name"]), str(one["resource_server_identifier"])


class Organizations(Listed):
    """Organizations, and the connections that lead into them; not their members."""

    name = "organization"
    path = "/organizations"
    shape = Shape(left_out=frozenset({"is_app_entitlement_active"}))

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        super().__init__(tenant.api, tenant.place, tenant.organizations)
        self.tenant = tenant

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """With its connections, by name."""
        return {**super().content(name, row), "connections": self._connections(row["id"])}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Without its connections, which are set by requests of their own."""
        body = super().body(wanted)
        del body["connections"]
        return body

    def put(self, name: str, change: Change) -> None:
        """The organization, then its connections."""
        super().put(name, change)
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        outer = self.place.outward(name)
        path = f"/organizations/{self.register.needed(outer)}/enabled_connections"
        what = f"set the connections of organization {outer}"
        live: dict[str, Any] = self._connections(self.register.needed(outer))
        wanted: Mapping[str, Any] = change.wanted["connections"]
        for one in sorted(live.keys() | wanted.keys()):
            id_ = self.tenant.connections.needed(self.place.outward(one))
            below = f"{path}/{quote(id_)}"
            if one not in wanted:
                self.ask("DELETE", what, below)
            elif one not in live:
                self.ask("POST", what, path, body={"connection_id": id_, **wanted[one]})
            elif live[one] != wanted[one]:
                self.ask("PATCH", what, below, body=wanted[one])

    def _connections(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for row in self.tenant.pages(f"/organizations/{id_}/enabled_connections"):
            outer = self.tenant.connections.name_of(row["connection_id"])
            name = outer and self.place.inward(outer)
            if name:
                gone = {"connection_id", "connection"}
                found[name] = {one: row[one] for one in row if one not in gone}
        return found
