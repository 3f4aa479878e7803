"""Who sends, who may be written to, who is told: groups, senders, webhooks, keys."""

import re
from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import LEADS_OUT, Listed, Shape
from ledgerkeep.configuration.owner import Row
from ledgerkeep.configuration.source import Change, Planned
from ledgerkeep.configuration.sources.sendgrid.account import Account


class UnsubscribeGroups(Listed):
    """Groups of mail that a receiver may do without; not who does."""

    name = "unsubscribe-group"
    path = "/asm/groups"
    scope = "asm.groups"
    why_not_beside = "its name has no room for a label"
    shape = Shape(left_out=frozenset({"unsubscribes", "last_email_sent_at"}))

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.groups)


class VerifiedSenders(Listed):
    """Addresses to send from; whether they were confirmed is `sender-confirmed`."""

    name = "sender"
    path = "/verified_senders"
    name_member = "nickname"
    why_not_beside = "SendGrid would write to its address"
    shape = Shape(left_out=frozenset({"verified", "locked", "user_id"}))

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.senders)

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Three members are wanted with every change."""
        always = {name: row[name] for name in ("nickname", "from_email", "reply_to")}
        return super().update(outer, row, {**always, **body})


class InboundParse(Listed):
    """Hosts whose incoming mail is passed on."""

    name = "inbound-parse"
    path = "/user/webhooks/parse/settings"
    scope = "user.webhooks.parse.settings"
    name_member = "hostname"
    id_member = "hostname"
    why_not_beside = LEADS_OUT
    shape = Shape(fixed=frozenset({"hostname"}))

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.parses)


class EventWebhooks(Listed):
    """Who is told of what becomes of mail; signed or not."""

    name = "event-webhook"
    path = "/user/webhooks/event/settings"
    scope = "user.webhooks.event.settings"
    name_member = "friendly_name"
    why_not_beside = LEADS_OUT
    shape = Shape(
        left_out=frozenset({"created_date", "updated_date", "public_key"}),
        secret=re.compile("^oauth_client_secret$"),
    )

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.webhooks)

    def content(self, name: str, row: Row) -> dict[str, Content]:
        """With whether it is signed."""
        return {**super().content(name, row), "signed": bool(row.get("public_key"))}

    def body(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Signing is a request of its own."""
        body = super().body(wanted)
        del body["signed"]
        return body

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """The address is wanted with every change."""
        return super().update(outer, row, {"url": row["url"], **body})

    def put(self, name: str, change: Change) -> None:
        """The webhook, then whether it is signed."""
        super().put(name, change)
        row = self.register.rows()[self.place.outward(name)]
        signed = bool((change.wanted or {})["signed"])
        if signed != bool(row.get("public_key")):
            path, body = f"{self.path}/signed/{row['id']}", {"enabled": signed}
            answer = self.ask("PATCH", f"sign event webhook {name}", path, body=body)
            self.register.put({**row, "public_key": answer.get("public_key", "")})


class ApiKeys(Listed):
    """Keys by name, with what they may do; the keys themselves SendGrid shows once."""

    name = "api-key"
    path = "/api_keys"
    scope = "api_keys"
    id_member = "api_key_id"
    update_method = "PUT"
    why_not_beside = "a key that is made anew is another key"
    shape = Shape(left_out=frozenset({"api_key"}), unordered=frozenset({"scopes"}))

    def __init__(self, account: Account) -> None:
        """Nothing is asked yet."""
        super().__init__(account.api, account.place, account.keys)
        self._own = account.own_key

    def update(self, outer: str, row: Row, body: Mapping[str, Any]) -> Row:
        """Its name is wanted with every change."""
        return super().update(outer, row, {**body, "name": outer})

    def by_hand(self, change: Planned) -> str:
        """A key that is made would be shown to nobody; the one in use stays."""
        name = change.key.partition("/")[2]
        if change.action == "create":
            return (
                f"make the API key {name} in SendGrid with the scopes that the version names, and "
                "give it to those who use it: SendGrid shows a key once, so that it is in no "
                "version"
            )
        if self.register.id_of(name) == self._own:
            return f"change the API key {name} by hand: it is the one that the backup itself uses"
        return ""
