"""What an account is set to: settings, brands, custom fields, Connect."""

import base64
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import LEADS_OUT, Listed, Shape, Single
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change
from ledgerkeep.configuration.sources.docusign.account import Account, cleaned

SECRET = re.compile("^(password|newPassword|accessCode|salesforceAuthcode)$")


class AccountSettings(Single):
    """Settings of an account, of which DocuSign ignores those that a plan fixes."""

    _PATHS: ClassVar[dict[str, str]] = {
        "account": "/settings",
        "password-rules": "/settings/password_rules",
        "notifications": "/settings/notification_defaults",
        "tabs": "/settings/tabs",
        "envelope-purge": "/settings/envelope_purge_configuration",
    }

    def __init__(self, account: Account, name: str) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, f"settings/{name}", self._PATHS[name], method="PUT")

    def get(self) -> Row:
        """Without who may edit what."""
        found: Row = cleaned(super().get())
        return found


class Brands(Listed):
    """Brands, with their logos."""

    name = "brand"
    path = "/brands"
    update_method = "PUT"
    name_member = "brandName"
    id_member = "brandId"
    shape = Shape(left_out=frozenset({"logos", "resources"}))
    _LOGOS = ("primary", "secondary", "email")

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.brands)

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """With its logos, in base64: they are small, by DocuSign's own limit."""
        return {**super().content(name, row), "logos": self._logos(row[self.id_member])}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Without its logos, which are sent as they are."""
        body = super().body(wanted)
        del body["logos"]
        return body

    def put(self, name: str, change: Change) -> None:
        """The brand, then its logos."""
        super().put(name, change)
        outer = self.place.outward(name)
        id_ = self.register.needed(outer)
        live, wanted = self._logos(id_), dict((change.wanted or {})["logos"])
        for kind in self._LOGOS:
            path, what = f"/brands/{id_}/logos/{kind}", f"set the {kind} logo of brand {outer}"
            if kind in wanted and live.get(kind) != wanted[kind]:
                self.api.upload(what, path, base64.b64decode(wanted[kind]), "image/png")
            elif kind in live and kind not in wanted:
                self.ask("DELETE", what, path, tolerate=(404,))

    def create(self, outer: str, body: Mapping[str, Any]) -> Row:
        """The answer tells all brands that were made."""
        answer = self.ask("POST", f"make {self.of(outer)}", self.path, body=body)
        made: Row = cleaned(answer["brands"][0])
        return {**body, **made}

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Its name is wanted with every change."""
        return super().update(outer, row, {**body, self.name_member: outer})

    def _logos(self, id_: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind in self._LOGOS:
            logo = self.api.download(
                f"read the {kind} logo of a brand", f"/brands/{id_}/logos/{kind}"
            )
            if logo:
                found[kind] = base64.b64encode(logo).decode()
        return found


class CustomFields(Listed):
    """Fields that envelopes carry beside their documents."""

    name = "custom-field"
    path = "/custom_fields"
    update_method = "PUT"
    id_member = "fieldId"

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.fields)

    def create(self, outer: str, body: Mapping[str, Any]) -> Row:
        """The answer tells fields by their kinds."""
        kind = body["customFieldType"]
        answer = self.ask("POST", f"make {self.of(outer)}", self.path, body=body)
        made = next(one for one in answer[f"{kind}CustomFields"] if one["name"] == outer)
        return {**body, **cleaned(made)}

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Name and type are wanted with every change."""
        told = {**body, "name": outer, "customFieldType": row["customFieldType"]}
        path = f"{self.path}/{row[self.id_member]}"
        self.ask("PUT", f"change {self.of(outer)}", path, body=told)
        return told

    def remade(self, live: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
        """A text does not become a list."""
        return bool(live["customFieldType"] != body["customFieldType"])


class ConnectConfigurations(Listed):
    """Who is told of what becomes of envelopes."""

    name = "connect"
    path = "/connect"
    id_member = "connectId"
    why_not_beside = LEADS_OUT
    shape = Shape(
        unordered=frozenset({"envelopeEvents", "recipientEvents", "userIds"}), secret=SECRET
    )

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.connect)

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """The configuration is named in the body, not in the path."""
        told = {**body, "connectId": row["connectId"], "name": outer}
        self.ask("PUT", f"change {self.of(outer)}", self.path, body=told)
        return told
