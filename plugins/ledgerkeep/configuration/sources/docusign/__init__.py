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
from ledgerkeep.configuration.kinds import LEADS_OUT, Derived, Kind, Place, ids
from ledgerkeep.configuration.kinds_source import KindsSource, refuse_same
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
from ledgerkeep.policy.configuration_sources import DocusignAccount
from ledgerkeep.policy.model import Policy


def open_source(access: Access, settings: DocusignAccount, policy: Policy) -> "Docusign":
    """The account of a policy."""
    patience = settings.patience.total_seconds()
    account = Account(
        access.login(settings.connection_id), settings.connection_id, patience, Place()
    )
    return Docusign(account, access, settings, policy)


class Docusign(KindsSource):
    """One account."""

    name = "docusign"
    why_no_place = (
        "docusign has no isolated place within an account; name a test account's connection in "
        "configuration.sources.docusign.test_connection_id"
    )

    def __init__(
        self, account: Account, access: Access, settings: DocusignAccount, policy: Policy
    ) -> None:
        """Nothing more is asked yet."""

        def open_beside(prefix: str) -> "Docusign | None":
            connection = settings.test_connection_id
            if connection is None:
                return None
            patience = settings.patience.total_seconds()
            test = Account(access.login(connection), connection, patience, Place(prefix))
            refuse_same(self.scope(), test.scope(policy.environment), connection)
            return Docusign(test, access, settings, policy)

        super().__init__(
            _kinds(account),
            account.registers,
            account.scope(policy.environment),
            account.place,
            open_beside,
        )


def _kinds(account: Account) -> list[Kind]:
    """All of them; what is referred to first."""
    return [
        *(
            AccountSettings(account, name)
            for name in ("account", "password-rules", "notifications", "tabs", "envelope-purge")
        ),
        Brands(account),
        CustomFields(account),
        PermissionProfiles(account),
        Groups(account),
        GroupMembers(account),
        SigningGroups(account),
        Templates(account),
        ids("template-id", account.templates, "template"),
        ConnectConfigurations(account),
        Derived("connect-hmac", lambda: _signed(account), _hmac_words, LEADS_OUT),
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
