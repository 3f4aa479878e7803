"""SendGrid: what an account writes with: templates and their versions, groups, senders, settings.

An API key is all it takes, and SendGrid tells which account it is of. SendGrid does not say which
permission was missing, so that every request knows the one it takes. What a person has to do is
what needs DNS (domains), somebody's mailbox (senders have to confirm), or a key that is shown once
(API keys; the key that is used here is never deleted).

In a test account only templates have a place: a group's name has no room for a label, and the rest
there is once, or would write to somebody.
(Twilio SendGrid v3 API reference.)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import LEADS_OUT, Derived, Kind, Shape, Single, ids
from ledgerkeep.configuration.kinds_source import KindsSource
from ledgerkeep.configuration.management_api import ManagementApi
from ledgerkeep.configuration.owner import Place
from ledgerkeep.configuration.source import Planned
from ledgerkeep.configuration.sources.sendgrid.account import Account
from ledgerkeep.configuration.sources.sendgrid.sending import (
    ApiKeys,
    EventWebhooks,
    InboundParse,
    UnsubscribeGroups,
    VerifiedSenders,
)
from ledgerkeep.configuration.sources.sendgrid.templates import Templates
from ledgerkeep.policy.configuration_sources import ManagementApiSource
from ledgerkeep.policy.model import Policy

_MAIL = (
    "address_whitelist",
    "bounce_purge",
    "footer",
    "forward_bounce",
    "forward_spam",
    "template",
)
_TRACKING = ("click", "google_analytics", "open", "subscription")
_MAILBOX = "SendGrid would write to its address"
_TOLD_ONLY = Shape(left_out=frozenset({"enable_text"}))


def open_source(access: Access, settings: ManagementApiSource, policy: Policy) -> "Sendgrid":
    """The account of a policy."""
    patience = settings.patience.total_seconds()

    def open_account(connection: str, place: Place) -> Account:
        return Account(access.login(connection), connection, patience, place)

    account = open_account(settings.connection_id, Place())
    return Sendgrid(account, open_account, settings, policy.environment)


class Sendgrid(KindsSource[Account]):
    """One account."""

    name = "sendgrid"
    why_no_place = (
        "sendgrid has no isolated place within an account; name a test account's connection in "
        "configuration.sources.sendgrid.test_connection_id"
    )

    @staticmethod
    def kinds(owner: Account) -> list[Kind]:
        """All of them; nothing refers to anything."""
        api = owner.api
        return [
            *(_mail_setting(api, one) for one in _MAIL),
            *(_tracking_setting(api, one) for one in _TRACKING),
            UnsubscribeGroups(owner),
            Templates(owner),
            ids("template-id", owner.templates, "template"),
            VerifiedSenders(owner),
            Derived("sender-confirmed", lambda: _confirmed(owner), _confirm_words, _MAILBOX),
            Derived("domain", lambda: _domains(owner), _domain_words, "it needs DNS"),
            InboundParse(owner),
            EventWebhooks(owner),
            Derived("event-webhook-key", lambda: _webhook_keys(owner), _webhook_words, LEADS_OUT),
            ApiKeys(owner),
        ]


def _mail_setting(api: ManagementApi, name: str) -> Single:
    scope = f"mail_settings.{name}"
    return Single(api, f"mail-setting/{name}", f"/mail_settings/{name}", scope=scope)


def _tracking_setting(api: ManagementApi, name: str) -> Single:
    scope, path = f"tracking_settings.{name}", f"/tracking_settings/{name}"
    return Single(api, f"tracking-setting/{name}", path, _TOLD_ONLY, scope=scope)


def _confirmed(account: Account) -> Mapping[str, Mapping[str, Content]]:
    rows = account.senders.rows()
    return {
        name: {"from_email": row["from_email"]} for name, row in rows.items() if row.get("verified")
    }


def _confirm_words(change: Planned) -> str:
    name = change.key.partition("/")[2]
    if change.action == "delete":
        return f"see who confirmed the sender {name}"
    return f"confirm the sender {name} by the link in the mail that SendGrid sent to its address"


def _domains(account: Account) -> Mapping[str, Mapping[str, Content]]:
    told = ("subdomain", "domain", "custom_spf", "automatic_security", "default", "ips")
    found: dict[str, Mapping[str, Content]] = {}
    for row in account.domains():
        content: dict[str, Any] = {name: row[name] for name in told if name in row}
        content["dns"] = {
            name: {one: record[one] for one in ("host", "type", "data") if one in record}
            for name, record in (row.get("dns") or {}).items()
        }
        found[f"{row.get('subdomain', '')}.{row['domain']}".lstrip(".")] = content
    return found


def _domain_words(change: Planned) -> str:
    domain = change.key.partition("/")[2]
    if change.action == "delete":
        return f"remove the domain {domain} in SendGrid (Settings, Sender Authentication)"
    return (
        f"authenticate the domain {domain} in SendGrid (Settings, Sender Authentication), and "
        "enter the records that it shows there in DNS"
    )


def _webhook_keys(account: Account) -> Mapping[str, Mapping[str, Content]]:
    rows = account.webhooks.rows()
    return {name: {"webhook": name} for name, row in rows.items() if row.get("public_key")}


def _webhook_words(change: Planned) -> str:
    name = change.key.partition("/")[2]
    if change.action == "delete":
        return f"see whether the receiver of the event webhook {name} still expects signatures"
    return (
        f"give the receiver of the event webhook {name} its new public key, which SendGrid shows "
        "in Settings, Mail Settings, Event Webhook; enter an OAuth client secret there if it has "
        "one"
    )
