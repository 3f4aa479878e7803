"""DocuSign: what an account signs with, and how: templates, brands, groups, profiles, settings.

The integration signs a statement with its key, in the name of a user who has consented once, and
gets a token by it. `userinfo` tells which accounts that user has and where each of them lives. What
tells one account from another is its id.

A template's documents are no part of its content, which has their hashes: they are an attachment.
Their bytes, and everything else of a template, are read again only when DocuSign says that it was
modified. A template that is changed back keeps its id, by which applications know it; one that was
deleted and is made anew gets another. Of HMAC keys of Connect DocuSign tells nobody, so that only
whether they are used is known.
(eSignature REST API v2.1 reference; Authentication, JWT grant.)
"""

from collections.abc import Mapping

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.items import Content
from ledgerkeep.configuration.kinds import LEADS_OUT, Derived, Kind, ids
from ledgerkeep.configuration.kinds_source import KindsSource
from ledgerkeep.configuration.owner import Place
from ledgerkeep.configuration.source import Planned
from ledgerkeep.configuration.sources.docusign.account import Account
from ledgerkeep.configuration.sources.docusign.people import (
    GroupMembers,
    Groups,
    PermissionProfiles,
    SigningGroups,
)
from ledgerkeep.configuration.sources.docusign.settings import (
    AccountSettings,
    Brands,
    ConnectConfigurations,
    CustomFields,
)
from ledgerkeep.configuration.sources.docusign.templates import Templates
from ledgerkeep.policy.configuration_sources import ManagementApiSource
from ledgerkeep.policy.model import Policy


def open_source(access: Access, settings: ManagementApiSource, policy: Policy) -> "Docusign":
    """The account of a policy."""
    patience = settings.patience.total_seconds()

    def open_account(connection: str, place: Place) -> Account:
        return Account(access.login(connection), connection, patience, place)

    account = open_account(settings.connection_id, Place())
    return Docusign(account, open_account, settings, policy.environment)


class Docusign(KindsSource[Account]):
    """One account."""

    name = "docusign"
    why_no_place = (
        "docusign has no isolated place within an account; name a test account's connection in "
        "configuration.sources.docusign.test_connection_id"
    )

    @staticmethod
    def kinds(owner: Account) -> list[Kind]:
        """All of them; what is referred to first."""
        return [
            *(
                AccountSettings(owner, name)
                for name in ("account", "password-rules", "notifications", "tabs", "envelope-purge")
            ),
            Brands(owner),
            CustomFields(owner),
            PermissionProfiles(owner),
            Groups(owner),
            GroupMembers(owner),
            SigningGroups(owner),
            Templates(owner),
            ids("template-id", owner.templates, "template"),
            ConnectConfigurations(owner),
            Derived("connect-hmac", lambda: _signed(owner), _hmac_words, LEADS_OUT),
        ]


def _signed(account: Account) -> Mapping[str, Mapping[str, Content]]:
    return {
        name: {"configuration": name}
        for name, row in account.connect.rows().items()
        if row.get("includeHMAC") == "true"
    }


def _hmac_words(change: Planned) -> str:
    name = change.key.partition("/")[2]
    if change.action == "delete":
        return f"see whether the receiver of {name} still expects HMAC signatures"
    return (
        f"see that the account has an HMAC key for {name} (Settings, Connect, Connect Keys), and "
        "that the receiver has the same: DocuSign tells nobody a key, so that it is in no version"
    )
