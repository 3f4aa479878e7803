"""SendGrid as a source, against the stand-in that speaks its v3 API."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.saas.sendgrid import Account, SendGrid, api_key, template
from include.sandbox.saas.server import SaasServer, running
from include.sandbox.saas.stock_sendgrid import account as empty_account
from include.sandbox.saas.stock_sendgrid import lender
from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Source
from ledgerkeep.errors import ConfigurationError, ServiceRefused, ServiceUnavailable
from tests.support.configuration import Account as AwsAccount
from tests.support.configuration import aws, open_account, policy_with
from tests.support.saas import differences, exported, put_back, words

__all__ = ["aws"]

KEY = "SG.own-key-id.own-key-secret"
TEST_KEY = "SG.test-key-id.test-key-secret"


@pytest.fixture
def production() -> Account:
    return lender("lender", KEY)


@pytest.fixture
def test_account() -> Account:
    return empty_account("lender-tests", TEST_KEY)


@pytest.fixture
def server(production: Account, test_account: Account) -> Iterator[SaasServer]:
    with running(SaasServer(SendGrid(production, test_account))) as server:
        yield server


@pytest.fixture
def account(aws: None, server: SaasServer) -> AwsAccount:
    logins = {
        "sendgrid": Login(server.url, "apikey", KEY),
        "test": Login(server.url, "apikey", TEST_KEY),
        "wrong": Login(server.url, "apikey", "SG.a.revoked-secret"),
    }
    settings = {"connection_id": "sendgrid", "test_connection_id": "test", "patience": "3s"}
    return open_account(policy_with(sendgrid=settings), logins)


@pytest.fixture
def source(account: AwsAccount) -> Source:
    return open_source("sendgrid", account.access, account.policy)


def opened(account: AwsAccount, **settings: Any) -> Source:
    policy = policy_with(sendgrid={"connection_id": "sendgrid", "patience": "3s", **settings})
    return open_source("sendgrid", account.access, policy)


def named(things: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in things.values() if one["name"] == name)


def test_an_account_is_exported_by_names_without_what_sendgrid_makes_itself(
    source: Source,
) -> None:
    found = exported(source)
    assert {
        "template/Loan approved",
        "unsubscribe-group/Offers",
        "sender/Loan service",
        "sender-confirmed/Loan service",
        "domain/em1234.lender.example",
        "inbound-parse/replies.lender.example",
        "event-webhook/Delivery log",
        "event-webhook-key/Delivery log",
        "api-key/Loan service",
        "api-key/Ledgerkeep",
        "mail-setting/footer",
        "tracking-setting/click",
    } <= found.keys()
    versions = found["template/Loan approved"]["versions"]
    assert [(one["name"], one["active"]) for one in versions] == [("v1", False), ("v2", True)]
    assert "id" not in versions[0]
    assert found["unsubscribe-group/Offers"] == {
        "name": "Offers",
        "description": "New products",
        "is_default": False,
    }
    assert found["event-webhook/Delivery log"]["signed"] is True
    assert found["api-key/Loan service"] == {"name": "Loan service", "scopes": ["mail.send"]}


def test_what_was_damaged_is_named_and_put_back(source: Source, production: Account) -> None:
    before = exported(source)
    approved = named(production.templates, "Loan approved")
    id_ = approved["id"]
    approved["versions"][1]["html_content"] = "<a href='https://evil.example'>click</a>"
    approved["versions"][1]["active"], approved["versions"][0]["active"] = 0, 1
    approved["versions"].append({**approved["versions"][0], "id": "more", "name": "v3"})
    reminder = named(production.templates, "Payment reminder")
    del production.templates[reminder["id"]]
    template(production, "Intruder", {"name": "v", "subject": "s", "active": 1})
    named(production.groups, "Offers")["description"] = "other"
    production.groups[str(production.number())] = {"id": 1, "name": "More", "is_default": False}
    sender = next(iter(production.senders.values()))
    sender["reply_to"] = "eve@evil.example"
    production.parses["replies.lender.example"]["url"] = "https://evil.example"
    webhook = next(iter(production.webhooks.values()))
    webhook["url"] = "https://evil.example"
    production.settings["mail_settings/footer"]["enabled"] = False
    production.settings["tracking_settings/open"]["enabled"] = False
    named(production.keys, "Loan service")["scopes"] = ["mail.send", "user.account.read"]
    api_key(production, "Intruder", ["mail.send"])
    assert words(differences(before, exported(source))) == [
        "create api-key/Intruder",
        "update api-key/Loan service",
        "update event-webhook/Delivery log",
        "update inbound-parse/replies.lender.example",
        "update mail-setting/footer",
        "update sender/Loan service",
        "create template-id/Intruder",
        "delete template-id/Payment reminder",
        "create template/Intruder",
        "update template/Loan approved",
        "delete template/Payment reminder",
        "update tracking-setting/open",
        "create unsubscribe-group/More",
        "update unsubscribe-group/Offers",
    ]
    group = next(k for k, one in production.groups.items() if one["name"] == "More")
    production.groups[group]["id"] = int(group)
    told = (
        "tell those who use the template Payment reminder its id: one that is made anew gets "
        "another"
    )
    assert put_back(source, before) == [told]
    assert words(differences(exported(source), before)) == ["update template-id/Payment reminder"]
    assert named(production.templates, "Loan approved")["id"] == id_
    assert put_back(source, before) == [told]


def test_what_no_request_can_do_is_left_to_a_person(source: Source, production: Account) -> None:
    before = exported(source)
    production.domains.clear()
    del production.keys[named(production.keys, "Loan service")["api_key_id"]]
    production.senders.clear()
    production.webhooks.clear()
    own = named(production.keys, "Ledgerkeep")
    own["scopes"] = []
    assert put_back(source, before) == [
        "confirm the sender Loan service by the link in the mail that SendGrid sent to its address",
        "authenticate the domain em1234.lender.example in SendGrid (Settings, Sender "
        "Authentication), and enter the records that it shows there in DNS",
        "give the receiver of the event webhook Delivery log its new public key, which SendGrid "
        "shows in Settings, Mail Settings, Event Webhook; enter an OAuth client secret there if it "
        "has one",
        "change the API key Ledgerkeep by hand: it is the one that the backup itself uses",
        "make the API key Loan service in SendGrid with the scopes that the version names, and "
        "give it to those who use it: SendGrid shows a key once, so that it is in no version",
    ]
    assert words(differences(exported(source), before)) == [
        "update api-key/Ledgerkeep",
        "create api-key/Loan service",
        "create domain/em1234.lender.example",
        "create sender-confirmed/Loan service",
    ]


def test_versions_of_one_name_are_told_apart(source: Source, production: Account) -> None:
    twins = template(
        production,
        "Twins",
        {"name": "Untitled", "subject": "one", "active": 0, "html_content": "1"},
        {"name": "Untitled", "subject": "two", "active": 1, "html_content": "2"},
    )
    before = exported(source)
    ids = [one["id"] for one in twins["versions"]]
    twins["versions"][0]["html_content"] = "other"
    twins["versions"].reverse()
    assert put_back(source, before) == []
    assert exported(source) == before
    assert sorted(one["id"] for one in twins["versions"]) == sorted(ids)


def test_every_page_is_read(source: Source, production: Account, server: SaasServer) -> None:
    for number in range(230):
        template(production, f"Template {number:03}")
    for number in range(120):
        id_ = production.number()
        production.senders[str(id_)] = {
            "id": id_,
            "nickname": f"Sender {number:03}",
            "from_email": "a@lender.example",
            "reply_to": "a@lender.example",
        }
        production.domains.append({"subdomain": f"em{number}", "domain": "more.example", "dns": {}})
    found = exported(source)
    assert sum(key.startswith("template/Template ") for key in found) == 230
    assert sum(key.startswith("sender/Sender ") for key in found) == 120
    assert sum(key.startswith("domain/em") for key in found) == 121
    assert sum("page_token=200" in path for _method, path in server.requests) == 1


def test_templates_that_were_not_changed_are_not_read_again(
    account: AwsAccount, source: Source, production: Account, server: SaasServer
) -> None:
    first = account.back_up(source)
    server.requests.clear()
    again = account.back_up(source)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.items - again.read_items == 3
    assert not any("/versions/" in path for _method, path in server.requests)


def test_a_limit_is_waited_for(source: Source, server: SaasServer) -> None:
    server.limit(requests=5, seconds=1)
    assert "template/Loan approved" in exported(source)


def test_a_time_to_wait_may_be_told_in_seconds(source: Source, server: SaasServer) -> None:
    server.fail(429, times=1, containing="/asm/groups", Retry_After="1")
    assert "unsubscribe-group/Offers" in exported(source)


def test_a_limit_beyond_our_patience_is_told(source: Source, server: SaasServer) -> None:
    server.fail(429, times=1, containing="/asm/groups", Retry_After="3600")
    with pytest.raises(ServiceUnavailable) as caught:
        exported(source)
    assert caught.value.message == (
        "sendgrid has had too many requests to list asm groups, and asks to wait 3600 s; given up "
        "after 3 s"
    )


def test_a_missing_scope_is_named(source: Source, production: Account) -> None:
    production.denied.add("templates.read")
    with pytest.raises(ServiceRefused) as caught:
        exported(source)
    assert caught.value.message == "sendgrid refused to list templates: templates.read is missing"
    assert caught.value.hint == "add templates.read to the API key of the connection sendgrid"


def test_wrong_credentials_are_told(account: AwsAccount) -> None:
    with pytest.raises(ServiceRefused) as caught:
        opened(account, connection_id="wrong")
    assert caught.value.message == (
        "sendgrid refused to tell its user name: the credentials are wrong"
    )
    assert caught.value.hint == "correct the login and password of the connection wrong"
    assert "revoked-secret" not in str(caught.value)


def test_two_templates_of_one_name_are_refused(source: Source, production: Account) -> None:
    template(production, "Loan approved")
    with pytest.raises(ConfigurationError) as caught:
        exported(source)
    assert caught.value.message == "there are two templates of sendgrid named Loan approved"


def test_a_refusal_is_told_in_the_services_own_words(source: Source) -> None:
    wanted = {"name": "n" * 40, "description": "", "is_default": False}
    exported(source)
    with pytest.raises(ServiceRefused) as caught:
        source.apply(Change("create", f"unsubscribe-group/{'n' * 40}", None, wanted))
    assert caught.value.message == (f"sendgrid refused to make unsubscribe-group {'n' * 40} (400)")
    assert caught.value.hint == "name cannot exceed 30 characters"


def test_no_key_is_stored_or_logged(account: AwsAccount, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        account.back_up(opened(account))
    assert "own-key-secret" not in caplog.text
    assert all(b"own-key-secret" not in one.body for one in account.store.objects.values())


def test_a_test_account_holds_templates_behind_a_label_and_loses_them_again(
    source: Source, test_account: Account
) -> None:
    stored = exported(source)
    beside = source.beside("drill-7")
    assert beside is not None
    assert exported(beside) == {}
    left = put_back(beside, stored)
    assert (
        "a restore test leaves api-key/Ledgerkeep out: a key that is made anew is another key"
        in left
    )
    kept = {one.key for one in differences(exported(beside), stored)}
    assert not any(key.startswith("template/") for key in kept)
    assert {one["name"] for one in test_account.templates.values()} == {
        "drill-7-Application received",
        "drill-7-Loan approved",
        "drill-7-Payment reminder",
    }
    beside.clear()
    assert not test_account.templates
    assert len(test_account.keys) == 1
    assert exported(source) == stored


def test_without_a_test_account_there_is_no_isolated_place(account: AwsAccount) -> None:
    source = opened(account)
    assert source.beside("drill") is None
    assert source.why_no_place.endswith("configuration.sources.sendgrid.test_connection_id")
    with pytest.raises(NotImplementedError):
        source.clear()
