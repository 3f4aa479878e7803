"""What a tenant shows and sends: e-mails, pages, second factors, and its own logs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ledgerkeep.configuration.kinds import LEADS_OUT, ONLY_ONE, Kind, Listed, Shape
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change, Found, Known, Planned
from ledgerkeep.configuration.sources.auth0.access import SECRET
from ledgerkeep.configuration.sources.auth0.tenant import Tenant

_SINK_SECRET = re.compile(
    r"(secret|token|password|authorization|key|sourceaddress|^value)$", re.IGNORECASE
)
"""`value` is that of a header of one's own; a Sumo Logic address is a secret as a whole."""
_TEMPLATES = (
    "verify_email",
    "verify_email_by_code",
    "reset_email",
    "reset_email_by_code",
    "welcome_email",
    "blocked_account",
    "stolen_credentials",
    "enrollment_email",
    "mfa_oob_code",
    "change_password",
    "password_reset",
    "user_invitation",
    "async_approval",
)


class OfTenant(Kind):
    """Kinds that a tenant has once."""

    why_not_beside = ONLY_ONE

    def __init__(self, tenant: Tenant) -> None:
        """Nothing is asked yet."""
        self.api = tenant.api


class EmailProvider(OfTenant):
    """Who sends the tenant's e-mails; Auth0 tells no credentials."""

    name = "email-provider"
    _PATH = "/emails/provider"
    _MEMBERS = ("name", "enabled", "credentials", "settings", "default_from_address")

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """If there is one."""
        found = self._get()
        if found:
            yield Found("settings", found)

    def put(self, name: str, change: Change) -> None:
        """Change it; without its credentials, Auth0 makes none."""
        shape = Shape(fixed=frozenset({"credentials"}))
        differs = shape.difference(self._get(), change.wanted or {})
        if differs:
            self.api.ask("change the email provider", "PATCH", self._PATH, body=differs)

    def remove(self, name: str) -> None:
        """Delete it."""
        self.api.ask("delete the email provider", "DELETE", self._PATH, tolerate=(404,))

    def by_hand(self, change: Planned) -> str:
        """Another provider, and another account at one, need credentials."""
        after, before = change.after, change.before
        if after is None:
            return ""
        same = before is not None and all(
            before.content.get(one) == after.content.get(one) for one in ("name", "credentials")
        )
        if same:
            return ""
        return (
            f"set up {after.content['name']} as the email provider in Auth0's dashboard, with its "
            "credentials: Auth0 tells nobody those, so that they are in no version"
        )

    def _get(self) -> dict[str, Any]:
        params = {"fields": ",".join(self._MEMBERS), "include_fields": "true"}
        row = self.api.find("read the email provider", self._PATH, params=params) or {}
        return Shape(secret=SECRET).content(row)


class EmailTemplates(OfTenant):
    """The texts of e-mails; one that was never changed is not there."""

    name = "email-template"

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """Those that are there."""
        for template in _TEMPLATES:
            row = self._get(template)
            if row is not None:
                yield Found(template, Shape().content(row))

    def put(self, name: str, change: Change) -> None:
        """Make it, or send what differs."""
        assert change.wanted is not None  # noqa: S101 - a deletion is not put
        row = self._get(name)
        what = f"change the email template {name}"
        if row is None:
            self.api.ask(what, "POST", "/email-templates", body=change.wanted)
            return
        live = Shape().content(row)
        differs = Shape(fixed=frozenset({"template"})).difference(live, change.wanted)
        if differs:
            self.api.ask(what, "PATCH", f"/email-templates/{name}", body=differs)

    def remove(self, name: str) -> None:
        """A person has to."""

    def by_hand(self, change: Planned) -> str:
        """Auth0 has no request to delete one."""
        if change.action != "delete":
            return ""
        name = change.key.partition("/")[2]
        return f"reset the email template {name} in Auth0's dashboard (Branding, Email Templates)"

    def _get(self, template: str) -> Row | None:
        found: Row | None = self.api.find(
            f"read the email template {template}", f"/email-templates/{template}"
        )
        return found


class BrandingTemplate(OfTenant):
    """The page around the login, where a tenant has one of its own."""

    name = "branding-template"
    _PATH = "/branding/templates/universal-login"

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """If there is one."""
        row = self.api.find("read the login page", self._PATH)
        if row is not None:
            yield Found("universal-login", {"body": row["body"]})

    def put(self, name: str, change: Change) -> None:
        """Replace it."""
        body = {"template": (change.wanted or {})["body"]}
        self.api.ask("change the login page", "PUT", self._PATH, body=body)

    def remove(self, name: str) -> None:
        """Auth0's own again."""
        self.api.ask("delete the login page", "DELETE", self._PATH, tolerate=(404,))


class Factors(OfTenant):
    """Second factors that are on."""

    name = "factor"

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """All that there are."""
        for row in self.api.ask("list guardian factors", "GET", "/guardian/factors"):
            yield Found(row["name"], {"enabled": row["enabled"]})

    def put(self, name: str, change: Change) -> None:
        """On or off."""
        body = {"enabled": (change.wanted or {})["enabled"]}
        self.api.ask(f"set the factor {name}", "PUT", f"/guardian/factors/{name}", body=body)

    def remove(self, name: str) -> None:
        """Off."""
        self.put(name, Change("update", name, None, {"enabled": False}))


class Policies(OfTenant):
    """When a second factor is asked for."""

    name = "factor-policies"
    _PATH = "/guardian/policies"

    def read(self, known: Mapping[str, str]) -> Iterator[Found | Known]:
        """The one list."""
        policies = self.api.ask("read guardian policies", "GET", self._PATH)
        yield Found("settings", {"policies": sorted(policies)})

    def put(self, name: str, change: Change) -> None:
        """Replace the list."""
        body = list((change.wanted or {})["policies"])
        self.api.ask("change guardian policies", "PUT", self._PATH, body=body)

    def remove(self, name: str) -> None:
        """Never."""
        self.put(name, Change("update", name, None, {"policies": []}))


class LogStreams(Listed):
    """Where the tenant's logs go."""

    name = "log-stream"
    path = "/log-streams"
    why_not_beside = LEADS_OUT
    shape = Shape(
        left_out=frozenset({"sink.awsPartnerEventSource", "sink.azurePartnerTopic"}),
        fixed=frozenset({"type"}),
        unordered=frozenset({"filters"}),
        secret=_SINK_SECRET,
    )
    _SINK_FIXED = ("eventbridge", "eventgrid")

    def remade(self, live: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """Another type, or another place of one that leads to a cloud's own bus."""
        moved = live.get("sink") != body.get("sink") and body["type"] in self._SINK_FIXED
        return moved or bool(live["type"] != body["type"])
