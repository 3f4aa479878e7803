"""An account of DocuSign as its kinds share it: address, token, pages, names and ids.

Answers are cleaned of what is no configuration: whether a member may be edited (`…Metadata`), and
empty errors. A request for many things may succeed as a whole and tell of each what went wrong.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.grants import JwtGrant
from ledgerkeep.configuration.kinds import Listed
from ledgerkeep.configuration.management_api import Dialect, ManagementApi
from ledgerkeep.configuration.owner import Owner, Place, Register, Row
from ledgerkeep.configuration.source import Scope
from ledgerkeep.errors import ServiceRefused

_AT_ONCE = 100


class Account(Owner):
    """One account, in the name of one user of it."""

    def __init__(self, login: Login, connection: str, patience: float, place: Place) -> None:
        """Ask where the account lives.

        :raises ServiceRefused, ServiceUnavailable:
        """
        self.place = place
        audience = login.extra.get("audience") or urlsplit(login.url).netloc
        user = login.extra.get("user_id", "")
        credentials = JwtGrant(
            f"{login.url}/oauth/token", login.login, user, login.password, audience
        )
        dialect = Dialect(
            service="docusign",
            connection=connection,
            reason=lambda body: str(_member(body, "message")),
            missing=lambda body: "",
            grant="let the user of the connection {connection} be an administrator of the account",
            lacks=lambda body: str(_member(body, "errorCode")).endswith("LACKS_PERMISSIONS"),
            exhausted=lambda body: str(_member(body, "errorCode")).endswith(
                "APIINVOCATION_LIMIT_EXCEEDED"
            ),
        )
        authority = ManagementApi(dialect, login.url, credentials, patience)
        told = authority.ask("tell its accounts", "GET", "/oauth/userinfo")
        self.id, base = _account(told, login.extra.get("account_id", ""), connection)
        url = f"{base}/restapi/v2.1/accounts/{self.id}"
        self.api = ManagementApi(dialect, url, credentials, patience)
        self.brands = Register(
            "brands of docusign", lambda: self.all("/brands", "brands"), "brandName", "brandId"
        )
        self.fields = Register("custom fields of docusign", self._fields, id_="fieldId")
        self.profiles = Register(
            "permission profiles of docusign",
            lambda: self.all("/permission_profiles?include=settings", "permissionProfiles"),
            "permissionProfileName",
            "permissionProfileId",
        )
        self.groups = Register(
            "groups of docusign", lambda: self.pages("/groups", "groups"), "groupName", "groupId"
        )
        self.users = Register(
            "users of docusign",
            lambda: self.pages("/users", "users", status="Active"),
            "email",
            "userId",
        )
        self.signing_groups = Register(
            "signing groups of docusign",
            lambda: self.all("/signing_groups?include_users=true", "groups"),
            "groupName",
            "signingGroupId",
        )
        self.templates = Register(
            "templates of docusign",
            lambda: self.pages("/templates", "envelopeTemplates"),
            id_="templateId",
        )
        self.connect = Register(
            "connect configurations of docusign",
            lambda: self.all("/connect", "configurations"),
            id_="connectId",
        )

    def scope(self, environment: str) -> Scope:
        """Whose it is."""
        return Scope(environment=environment, account=self.id)

    def all(self, path: str, member: str) -> list[Row]:
        """A collection that has no pages."""
        answer = self.api.ask(_listing(path), "GET", path)
        found: list[Row] = cleaned((answer or {}).get(member) or [])
        return found

    def pages(self, path: str, member: str, **more: str) -> Iterator[Row]:
        """A collection page by page."""
        start = 0
        while True:
            params = {"start_position": start, "count": _AT_ONCE, **more}
            answer = self.api.ask(_listing(path), "GET", path, params=params)
            rows = answer.get(member) or []
            yield from cleaned(rows)
            start += len(rows)
            if not rows or not answer.get("nextUri"):
                return

    def _fields(self) -> Iterator[Row]:
        for kind in ("text", "list"):
            for row in self.all("/custom_fields", f"{kind}CustomFields"):
                yield {**row, "customFieldType": kind}


class Plural(Listed):
    """A collection whose requests name many things, and whose answers tell of each."""

    update_method = "PUT"
    member: str

    def create(self, outer: str, body: Mapping[str, Any]) -> Row:
        """One of many."""
        return self._one("POST", f"make {self.of(outer)}", body)

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """One of many, whole."""
        told = {**body, self.id_member: row[self.id_member], self.name_member: outer}
        return {**told, **self._one("PUT", f"change {self.of(outer)}", told)}

    def delete(self, outer: str, row: Row) -> None:
        """One of many."""
        told = {self.id_member: row[self.id_member]}
        self._one("DELETE", f"delete {self.of(outer)}", told)

    def _one(self, method: str, what: str, body: Mapping[str, Any]) -> Row:
        answer = self.ask(method, what, self.path, body={self.member: [body]}) or {}
        found: Row = (answer.get(self.member) or [{}])[0]
        refuse_failed(what, found)
        return {**body, **cleaned(found)}


def refuse_failed(what: str, told: Row) -> None:
    """See that one of many did not fail.

    :raises ServiceRefused: it did.
    """
    problem = told.get("errorDetails") or {}
    if problem.get("errorCode", "SUCCESS") != "SUCCESS":
        raise ServiceRefused(
            f"docusign refused to {what} ({problem['errorCode']})",
            hint=str(problem.get("message", "")),
        )


def cleaned(value: Any) -> Any:
    """What an answer tells, without what is no configuration."""
    if isinstance(value, Mapping):
        return {
            name: cleaned(one)
            for name, one in value.items()
            if not name.endswith("Metadata") and name != "errorDetails" and one is not None
        }
    return [cleaned(one) for one in value] if isinstance(value, list) else value


def _account(told: Mapping[str, Any], wanted: str, connection: str) -> tuple[str, str]:
    for one in told.get("accounts", []):
        if one["account_id"] == wanted or (not wanted and one.get("is_default")):
            return one["account_id"], str(one["base_uri"]).rstrip("/")
    raise ServiceRefused(
        f"the user of the connection {connection} has no account {wanted or 'by default'} at "
        "docusign",
        hint=f"correct account_id in the extra of the connection {connection}",
    )


def _listing(path: str) -> str:
    return f"list {path.partition('?')[0].strip('/').replace('_', ' ')}"


def _member(body: Any, name: str) -> Any:
    return body.get(name, "") if isinstance(body, dict) else ""
