"""A tenant of Auth0 as its kinds share it: address, token, pages, names and ids.

Lists come in pages of a hundred: by number where a collection has at most a thousand things, else
from a checkpoint (`from`, `take`), which has no such bound.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.grants import ClientCredentials
from ledgerkeep.configuration.management_api import Dialect, ManagementApi
from ledgerkeep.configuration.owner import Owner, Place, Register, Row
from ledgerkeep.configuration.source import Scope

_AT_ONCE = 100
_EXPECTED = "expected any of:"


class Tenant(Owner):
    """One tenant, by one application of it."""

    def __init__(
        self,
        login: Login,
        connection: str,
        patience: float,
        place: Place,
        original: "Tenant | None" = None,
    ) -> None:
        """Nothing is asked yet.

        :param original: of an isolated place: whose stand-ins its Management API and its own
            application are.
        """
        self.audience = login.extra.get("audience") or f"{login.url}/api/v2/"
        self.own_client = login.login
        self.place = place
        self._home = original.audience if original else self.audience
        self._original = original or self
        self._token_url = f"{login.url}/oauth/token"
        self.credentials = ClientCredentials(
            self._token_url, login.login, login.password, self.audience
        )
        dialect = Dialect(
            service="auth0",
            connection=connection,
            reason=lambda body: str(_member(body, "message")),
            missing=_missing,
            grant="grant {permission} to the application of the connection {connection}",
        )
        self.api = ManagementApi(dialect, f"{login.url}/api/v2", self.credentials, patience)
        self.clients = Register("applications of auth0", self._clients, id_="client_id")
        self.apis = Register(
            "apis of auth0", lambda: self.pages("/resource-servers"), name="identifier"
        )
        self.grants = Register("grants of auth0", self._grants)
        self.connections = Register("connections of auth0", lambda: self.chain("/connections"))
        self.roles = Register("roles of auth0", lambda: self.pages("/roles"))
        self.organizations = Register(
            "organizations of auth0", lambda: self.chain("/organizations")
        )
        self.rules = Register("rules of auth0", lambda: self.pages("/rules"))
        self.actions = Register(
            "actions of auth0", lambda: self.pages("/actions/actions", "actions")
        )
        self.log_streams = Register("log streams of auth0", lambda: self.all("/log-streams"))

    def scope(self, environment: str) -> Scope:
        """Whose it is; Auth0 refuses the token where the API is not of the tenant.

        :raises ServiceRefused: the tenant is another, or the credentials are wrong.
        """
        self.credentials.header(self.api.exchange)
        return Scope(environment=environment, account=str(urlsplit(self.audience).hostname))

    def token_for(self, client: Row, audience: str) -> None:
        """See whether an application gets a token.

        :raises ServiceRefused: it gets none.
        """
        grant = ClientCredentials(
            self._token_url, client["client_id"], client.get("client_secret", ""), audience
        )
        grant.fetch(self.api.exchange)

    def all(self, path: str) -> list[Row]:
        """A collection that has no pages."""
        found: list[Row] = self.api.ask(_listing(path), "GET", path)
        return found

    def pages(self, path: str, member: str = "") -> Iterator[Row]:
        """A collection page by page."""
        member = member or path.rsplit("/", 1)[-1].replace("-", "_")
        page = 0
        while True:
            params = {"page": page, "per_page": _AT_ONCE, "include_totals": "true"}
            if path == "/actions/actions" or path.endswith("/bindings"):
                del params["include_totals"]
            answer = self.api.ask(_listing(path), "GET", path, params=params)
            yield from answer[member]
            page += 1
            if not answer[member] or page * _AT_ONCE >= answer.get("total", 0):
                return

    def chain(self, path: str, member: str = "") -> Iterator[Row]:
        """A collection from checkpoint to checkpoint."""
        member = member or path.rsplit("/", 1)[-1].replace("-", "_")
        params: dict[str, str | int] = {"take": _AT_ONCE}
        while True:
            answer = self.api.ask(_listing(path), "GET", path, params=params)
            yield from answer[member]
            if not answer.get("next"):
                return
            params["from"] = answer["next"]

    @property
    def own_name(self) -> str:
        """What the application is called that we use."""
        return self.clients.name_of(self.own_client) or ""

    def client_outward(self, name: str) -> str:
        """An application as this tenant knows it; the one that is used is its own."""
        return self.own_name if name == self._original.own_name else self.place.outward(name)

    def client_inward(self, name: str) -> str | None:
        """An application as our keys know it; None: it is not of this place."""
        return self._original.own_name if name == self.own_name else self.place.inward(name)

    def client_names(self, ids: Iterable[str]) -> list[str]:
        """The applications that have these ids, as our keys know them, in order."""
        outer = [self.clients.name_of(id_) for id_ in ids]
        inner = [self.client_inward(name) for name in outer if name is not None]
        return sorted(name for name in inner if name is not None)

    def api_outward(self, identifier: str) -> str:
        """An API's identifier as this tenant knows it; its own Management API's is its own."""
        return self.audience if identifier == self._home else self.place.outward(identifier)

    def api_inward(self, identifier: str) -> str | None:
        """An API's identifier as our keys know it; None: it is not of this place."""
        return self._home if identifier == self.audience else self.place.inward(identifier)

    def _clients(self) -> Iterator[Row]:
        """Without the one that every tenant has of its own."""
        return (row for row in self.chain("/clients") if not row.get("global"))

    def _grants(self) -> Iterator[Row]:
        """Named by who may use what; those of another place are left out."""
        for row in self.chain("/client-grants"):
            client = self.clients.name_of(row["client_id"])
            inner = client and self.client_inward(client)
            audience = self.api_inward(row["audience"])
            if inner and audience and not row.get("is_system"):
                kind = row.get("subject_type", "client")
                name = f"{inner} {audience}" + ("" if kind == "client" else f" {kind}")
                yield {**row, "name": name}


def _listing(path: str) -> str:
    return f"list {path.strip('/').replace('/', ' ')}"


def _missing(body: Any) -> str:
    said = str(_member(body, "message"))
    return said.partition(_EXPECTED)[2].strip() if _EXPECTED in said else ""


def _member(body: Any, name: str) -> Any:
    return body.get(name, "") if isinstance(body, dict) else ""
