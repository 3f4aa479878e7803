"""DocuSign as a source, against the stand-in that speaks its eSignature API."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.saas.docusign import AUDIENCE, DocuSign, Integration, new_key
from include.sandbox.saas.docusign_account import Account
from include.sandbox.saas.docusign_templates import add_template as add
from include.sandbox.saas.server import SaasServer, running
from include.sandbox.saas.stock_docusign import account as empty_account
from include.sandbox.saas.stock_docusign import lender
from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Found, Known, Source
from ledgerkeep.errors import (
    ConfigurationError,
    ObjectCorrupt,
    ServiceRefused,
    ServiceUnavailable,
)
from tests.support.configuration import Account as AwsAccount
from tests.support.configuration import aws, open_account, policy_with
from tests.support.saas import differences, exported, put_back, words

__all__ = ["aws"]

KEY = new_key()
OTHER_KEY = new_key()


@pytest.fixture
def production() -> Account:
    return lender("acc-1")


@pytest.fixture
def test_account() -> Account:
    return empty_account("acc-2")


@pytest.fixture
def service(production: Account, test_account: Account) -> DocuSign:
    return DocuSign(
        Integration("integration", "user", production, KEY),
        Integration("integration-tests", "user", test_account, KEY),
        Integration("unconsented", "user", production, KEY, consented=False),
    )


@pytest.fixture
def server(service: DocuSign) -> Iterator[SaasServer]:
    with running(SaasServer(service)) as server:
        yield server


@pytest.fixture
def logins(server: SaasServer) -> dict[str, Login]:
    def login(integration: str, key: str = KEY, **extra: str) -> Login:
        told = {"user_id": "user", "audience": AUDIENCE, **extra}
        return Login(server.url, integration, key, told)

    return {
        "docusign": login("integration"),
        "one-line": login("integration", KEY.replace("\n", "\\n")),
        "test": login("integration-tests"),
        "wrong": login("integration", OTHER_KEY),
        "no-key": login("integration", "secret-but-no-key"),
        "nobody": login("integration", user_id="nobody"),
        "unconsented": login("unconsented"),
        "other": login("integration", account_id="acc-9"),
    }


@pytest.fixture
def account(aws: None, logins: dict[str, Login]) -> AwsAccount:
    settings = {"connection_id": "docusign", "test_connection_id": "test", "patience": "3s"}
    return open_account(policy_with(docusign=settings), logins)


@pytest.fixture
def source(account: AwsAccount) -> Source:
    return open_source("docusign", account.access, account.policy)


def opened(account: AwsAccount, **settings: Any) -> Source:
    policy = policy_with(docusign={"connection_id": "docusign", "patience": "3s", **settings})
    return open_source("docusign", account.access, policy)


def attachments(source: Source) -> dict[str, Any]:
    """The bytes of all attachments, as a store has them."""
    found = [one for one in source.export({}) if isinstance(one, Found)]
    stored = {one.key: b"".join(one.attachment.read()) for one in found if one.attachment}
    return {key: (lambda content=content: iter([content])) for key, content in stored.items()}


def template(production: Account, name: str) -> dict[str, Any]:
    return next(one for one in production.templates.values() if one["name"] == name)


def test_an_account_is_exported_by_names_without_what_docusign_makes_itself(
    source: Source,
) -> None:
    found = exported(source)
    assert set(found) == {
        "settings/account",
        "settings/password-rules",
        "settings/notifications",
        "settings/tabs",
        "settings/envelope-purge",
        "brand/Lender",
        "custom-field/Loan number",
        "custom-field/Product",
        "permission-profile/Underwriter",
        "group/Underwriting",
        "group-members/Underwriting",
        "signing-group/Approvers",
        "template/Loan contract",
        "template/Disclosure",
        "template-id/Loan contract",
        "template-id/Disclosure",
        "connect/Loan service",
        "connect-hmac/Loan service",
    }
    assert found["group/Underwriting"]["permissionProfile"] == "Underwriter"
    assert found["group-members/Underwriting"] == {
        "users": ["ada@lender.example", "ben@lender.example"]
    }
    contract = found["template/Loan contract"]
    assert contract["brand"] == "Lender"
    assert [one["size"] for one in contract["documents"]] == [9000, 13500]
    signer = contract["recipients"]["signers"][0]
    assert signer["accessCode"] == Secret("birth-year")
    assert signer["tabs"]["signHereTabs"] == [
        {
            "documentId": "1",
            "pageNumber": "1",
            "xPosition": "120",
            "yPosition": "640",
            "recipientId": "1",
        }
    ]
    assert "signingGroupId" not in contract["recipients"]["signers"][1]
    assert "lastModified" not in contract
    assert "accountNameMetadata" not in found["settings/account"]


def test_what_was_damaged_is_named_and_put_back(source: Source, production: Account) -> None:
    before, stored = exported(source), attachments(source)
    contract_id = template(production, "Loan contract")["templateId"]
    production.settings[""]["idCheckRequired"] = "never"
    production.settings["password_rules"]["minimumPasswordLength"] = "4"
    production.brands["b-1"]["brandCompany"] = "Evil AG"
    production.logos["b-1", "primary"] = b"other"
    production.logos["b-1", "email"] = b"more"
    production.fields["12"]["listItems"] = ["car"]
    production.fields["11"]["customFieldType"] = "list"
    production.profiles["21"]["settings"]["allowBulkSending"] = "true"
    production.groups["33"] = {
        "groupId": "33",
        "groupName": "Intruders",
        "groupType": "customGroup",
    }
    production.members["31"] = {"u2", "u3"}
    production.signing_groups["41"]["users"] = [
        {"email": "eve@evil.example", "userName": "eve"},
        {"email": "ada@lender.example", "userName": "ada"},
    ]
    contract = template(production, "Loan contract")
    contract["emailSubject"] = "Sign now"
    contract["notification"] = {}
    contract["customFields"]["textCustomFields"][0]["required"] = "false"
    contract["recipients"]["signers"].pop()
    contract["documents"] = contract["documents"][:1]
    production.documents[contract_id, "1"] = b"%PDF-1.7 other words"
    contract["lastModified"] = "later"
    production.connect["51"]["urlToPublishTo"] = "https://evil.example"
    production.connect["51"]["envelopeEvents"] = []
    disclosure = template(production, "Disclosure")["templateId"]
    del production.templates[disclosure]

    assert words(differences(before, exported(source))) == [
        "update brand/Lender",
        "update connect/Loan service",
        "update custom-field/Loan number",
        "update custom-field/Product",
        "update group-members/Underwriting",
        "create group/Intruders",
        "update permission-profile/Underwriter",
        "update settings/account",
        "update settings/password-rules",
        "update signing-group/Approvers",
        "delete template-id/Disclosure",
        "delete template/Disclosure",
        "update template/Loan contract",
    ]
    told = "tell those who use the template Disclosure its id: one that is made anew gets another"
    assert put_back(source, before, stored) == [told]
    assert words(differences(exported(source), before)) == ["update template-id/Disclosure"]
    assert template(production, "Loan contract")["templateId"] == contract_id
    assert put_back(source, before, stored) == [told]
    assert {key: b"".join(read()) for key, read in attachments(source).items()} == {
        key: b"".join(read()) for key, read in stored.items()
    }


def test_what_is_gone_comes_back_with_all_that_refers_to_it(
    source: Source, production: Account
) -> None:
    before, stored = exported(source), attachments(source)
    production.brands.clear()
    production.logos.clear()
    production.profiles.clear()
    del production.groups["31"]
    production.signing_groups.clear()
    production.templates.clear()
    production.connect.clear()
    production.fields.clear()
    assert put_back(source, before, stored) == [
        "tell those who use the template Disclosure its id: one that is made anew gets another",
        "tell those who use the template Loan contract its id: one that is made anew gets another",
        "see that the account has an HMAC key for Loan service (Settings, Connect, Connect Keys), "
        "and that the receiver has the same: DocuSign tells nobody a key, so that it is in no "
        "version",
    ]
    assert words(differences(exported(source), before)) == [
        "update template-id/Disclosure",
        "update template-id/Loan contract",
    ]


def test_a_template_that_was_not_modified_is_not_read_again(
    account: AwsAccount, source: Source, production: Account, server: SaasServer
) -> None:
    first = account.back_up(source)
    template(production, "Disclosure")["lastModified"] = "later"
    server.requests.clear()
    again = account.back_up(source)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.items - again.read_items == 1
    contract = template(production, "Loan contract")["templateId"]
    assert not any(contract in path for _method, path in server.requests)


def test_documents_are_stored_as_attachments(account: AwsAccount, source: Source) -> None:
    version = account.back_up(source).version
    assert sorted(version.attachments) == ["template/Disclosure", "template/Loan contract"]


def test_documents_that_were_changed_in_the_store_are_refused(
    source: Source, production: Account
) -> None:
    before = exported(source)
    production.templates.clear()
    exported(source)
    wanted = before["template/Disclosure"]
    change = Change("create", "template/Disclosure", None, wanted, lambda: iter([b"other"]))
    with pytest.raises(ObjectCorrupt) as caught:
        source.apply(change)
    assert caught.value.message == (
        "document Document 1 of template/Disclosure is not what was stored"
    )
    with pytest.raises(ConfigurationError) as missing:
        source.apply(Change("create", "template/Disclosure", None, wanted))
    assert missing.value.message == ("the documents of template/Disclosure are not in the version")
    assert missing.value.hint == "restore an older version, or upload them by hand"


def test_every_page_is_read(source: Source, production: Account) -> None:
    for number in range(230):
        add(production, {"name": f"Template {number:03}"}, {})
        production.groups[f"g{number}"] = {
            "groupId": f"g{number}",
            "groupName": f"Group {number:03}",
            "groupType": "customGroup",
        }
    keys = [one.key for one in source.export({})]
    assert sum(key.startswith("template/Template ") for key in keys) == 230
    assert sum(key.startswith("group/Group ") for key in keys) == 230


def test_a_limit_is_waited_for(source: Source, server: SaasServer) -> None:
    server.limit(requests=5, seconds=1)
    assert "template/Disclosure" in exported(source)


def test_too_many_calls_are_known_by_their_code_too(source: Source, server: SaasServer) -> None:
    server.limit(requests=0, seconds=90)
    with pytest.raises(ServiceUnavailable) as caught:
        exported(source)
    assert caught.value.message.startswith("docusign has had too many requests to ")


def test_a_token_that_ends_in_between_is_renewed(
    source: Source, server: SaasServer, service: DocuSign
) -> None:
    export = iter(source.export({}))
    next(export)
    service.expire_tokens()
    assert sum(1 for _one in export) == 17
    assert sum(path == "/oauth/token" for _method, path in server.requests) == 2


def test_a_missing_permission_is_told(source: Source, production: Account) -> None:
    production.denied.add("brands")
    with pytest.raises(ServiceRefused) as caught:
        exported(source)
    assert caught.value.message == "docusign refused to list brands: a permission is missing"
    assert caught.value.hint == (
        "let the user of the connection docusign be an administrator of the account"
    )


@pytest.mark.parametrize(
    ("connection", "message", "hint"),
    [
        (
            "wrong",
            "docusign refused to give a token: the credentials are wrong",
            "correct the login and password of the connection wrong",
        ),
        (
            "no-key",
            "the password of the connection no-key is no RSA key",
            "enter the integration's private key, in PEM, as the password",
        ),
        (
            "nobody",
            "docusign refused to give a token: it knows no such user",
            "correct user_id in the extra of the connection nobody",
        ),
        (
            "unconsented",
            "docusign refused to give a token: the user has not consented",
            "let the user in the extra of the connection unconsented consent to signature and "
            "impersonation for the integration",
        ),
        (
            "other",
            "the user of the connection other has no account acc-9 at docusign",
            "correct account_id in the extra of the connection other",
        ),
    ],
)
def test_what_is_wrong_with_a_connection_is_told(
    account: AwsAccount, connection: str, message: str, hint: str
) -> None:
    with pytest.raises(ServiceRefused) as caught:
        opened(account, connection_id=connection)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_key_that_was_written_in_one_line_works(account: AwsAccount) -> None:
    assert opened(account, connection_id="one-line").scope().account == "acc-1"


def test_one_of_many_that_is_refused_is_an_error(source: Source, production: Account) -> None:
    before = exported(source)
    production.signing_groups["99"] = {
        "signingGroupId": "99",
        "groupName": "New",
        "users": [],
    }
    change = Change("create", "signing-group/New", None, before["signing-group/Approvers"])
    wanted = {**before["signing-group/Approvers"], "groupName": "New"}
    with pytest.raises(ServiceRefused) as caught:
        source.apply(Change(change.action, change.key, None, wanted))
    assert caught.value.message == "docusign refused to make signing-group New (GROUP_NAME_TAKEN)"
    assert caught.value.hint == "The name is taken."


def test_no_secret_is_stored_or_logged_in_the_clear(
    account: AwsAccount, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        version = account.back_up(opened(account)).version
    assert "birth-year" not in caplog.text
    assert "Bearer" not in caplog.text
    assert "assertion" not in caplog.text
    assert all(b"birth-year" not in one.body for one in account.store.objects.values())
    values = account.versions.values(version)["template/Loan contract"]
    assert values == {"/recipients/signers/0/accessCode": "birth-year"}


def test_a_test_account_holds_copies_behind_a_label_and_loses_them_again(
    source: Source, test_account: Account, production: Account
) -> None:
    stored, files = exported(source), attachments(source)
    beside = source.beside("drill-7")
    assert beside is not None
    assert exported(beside) == {}
    put_back(beside, stored, files)
    left = {one.key.split("/")[0] for one in differences(exported(beside), stored)}
    assert left == {"settings", "group-members", "connect", "connect-hmac", "template-id"}
    names = {one["name"] for one in test_account.templates.values()}
    assert names == {"drill-7-Loan contract", "drill-7-Disclosure"}
    beside.clear()
    assert not test_account.templates
    assert not test_account.brands
    assert len(test_account.groups) == 2
    assert exported(source) == stored


def test_without_a_test_account_there_is_no_isolated_place(account: AwsAccount) -> None:
    source = opened(account)
    assert source.beside("drill") is None
    assert source.why_no_place.endswith("configuration.sources.docusign.test_connection_id")


def test_known_marks_are_of_templates_only(source: Source) -> None:
    known = {one.key: one.mark for one in source.export({}) if isinstance(one, Found) and one.mark}
    again = [one.key for one in source.export(known) if isinstance(one, Known)]
    assert sorted(again) == ["template/Disclosure", "template/Loan contract"]
