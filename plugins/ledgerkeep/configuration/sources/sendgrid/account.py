"""An account of SendGrid as its kinds share it: key, pages, names and ids.

Three ways of paging are in use: a token in the address of the next page (templates), limit and
offset (domains), the last id that was seen (senders).
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.management_api import ApiKey, Dialect, ManagementApi
from ledgerkeep.configuration.owner import Owner, Place, Register, Row
from ledgerkeep.configuration.source import Scope

_AT_ONCE = 50
_TEMPLATES_AT_ONCE = 200


class Account(Owner):
    """One account, by one API key of it."""

    def __init__(self, login: Login, connection: str, patience: float, place: Place) -> None:
        """Nothing is asked yet."""
        self.place = place
        dialect = Dialect(
            service="sendgrid",
            connection=connection,
            reason=_reason,
            missing=lambda body: "",
            grant="add {permission} to the API key of the connection {connection}",
        )
        self.api = ManagementApi(dialect, f"{login.url}/v3", ApiKey(login.password), patience)
        # A key is SG.{its id}.{its secret}.
        self.own_key = login.password.partition(".")[2].partition(".")[0]
        self.templates = Register("templates of sendgrid", self._templates)
        self.groups = Register(
            "unsubscribe groups of sendgrid", lambda: self.all("/asm/groups", "", "asm.groups")
        )
        self.senders = Register("verified senders of sendgrid", self._senders, "nickname")
        self.webhooks = Register("event webhooks of sendgrid", self._webhooks, "friendly_name")
        self.parses = Register(
            "inbound parses of sendgrid",
            lambda: self.all(
                "/user/webhooks/parse/settings", "result", "user.webhooks.parse.settings"
            ),
            "hostname",
            "hostname",
        )
        self.keys = Register("API keys of sendgrid", self._keys, id_="api_key_id")

    def scope(self, environment: str) -> Scope:
        """Whose it is, as the key's own account says.

        :raises ServiceRefused: the key is wrong.
        """
        told = self.api.ask(
            "tell its user name", "GET", "/user/username", needs="user.username.read"
        )
        return Scope(environment=environment, account=str(told["username"]))

    def all(self, path: str, member: str, scope: str) -> list[Row]:
        """A collection that has no pages."""
        answer = self.api.ask(_listing(path), "GET", path, needs=f"{scope}.read")
        found: list[Row] = answer[member] if member else answer
        return found

    def domains(self) -> Iterator[Row]:
        """Authenticated domains."""
        start = 0
        while True:
            rows = self.api.ask(
                "list domains",
                "GET",
                "/whitelabel/domains",
                params={"limit": _AT_ONCE, "offset": start},
                needs="whitelabel.read",
            )
            yield from rows
            start += len(rows)
            if len(rows) < _AT_ONCE:
                return

    def _templates(self) -> Iterator[Row]:
        params: dict[str, str | int] = {
            "generations": "legacy,dynamic",
            "page_size": _TEMPLATES_AT_ONCE,
        }
        while True:
            answer = self.api.ask(
                "list templates", "GET", "/templates", params=params, needs="templates.read"
            )
            yield from answer.get("result") or []
            following = str((answer.get("_metadata") or {}).get("next") or "")
            token = parse_qs(urlsplit(following).query).get("page_token")
            if not token:
                return
            params["page_token"] = token[0]

    def _senders(self) -> Iterator[Row]:
        params: dict[str, str | int] = {"limit": _AT_ONCE}
        while True:
            answer = self.api.ask(
                "list verified senders", "GET", "/verified_senders", params=params
            )
            yield from answer["results"]
            if len(answer["results"]) < _AT_ONCE:
                return
            params["lastSeenID"] = answer["results"][-1]["id"]

    def _webhooks(self) -> Iterator[Row]:
        """One without a name is called by its address."""
        path = "/user/webhooks/event/settings/all?include=account_status_change"
        for row in self.all(path, "webhooks", "user.webhooks.event.settings"):
            yield {**row, "friendly_name": row.get("friendly_name") or row["url"]}

    def _keys(self) -> Iterator[Row]:
        for row in self.all("/api_keys", "result", "api_keys"):
            path = f"/api_keys/{row['api_key_id']}"
            told = self.api.ask("read an API key's scopes", "GET", path, needs="api_keys.read")
            yield told["result"][0] if "result" in told else told


def _listing(path: str) -> str:
    return f"list {path.partition('?')[0].strip('/').replace('_', ' ').replace('/', ' ')}"


def _reason(body: Any) -> str:
    problems = body.get("errors", []) if isinstance(body, dict) else []
    return "; ".join(str(one.get("message", "")) for one in problems if isinstance(one, dict))
