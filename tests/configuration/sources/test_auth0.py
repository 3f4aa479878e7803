"""Auth0 as a source, against the stand-in that speaks its Management API."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.saas.auth0 import Auth0
from include.sandbox.saas.auth0_tenant import Tenant, add
from include.sandbox.saas.server import SaasServer, running
from include.sandbox.saas.stock_auth0 import LOANS_API, lender, tenant
from ledgerkeep.configuration.access import Login
from ledgerkeep.configuration.items import Secret
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Source
from ledgerkeep.errors import ConfigurationError, ServiceRefused, ServiceUnavailable
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.saas import differences, exported, put_back, words

__all__ = ["aws"]

DOMAIN = "lender-production.eu.auth0.com"
CLIENT = "own-client-id"
SECRET = "own-client-secret"


@pytest.fixture
def production() -> Tenant:
    return lender(DOMAIN, CLIENT, SECRET)


@pytest.fixture
def test_tenant() -> Tenant:
    return tenant("lender-tests.eu.auth0.com", "test-client", "test-secret")


@pytest.fixture
def service(production: Tenant, test_tenant: Tenant) -> Auth0:
    return Auth0(production, test_tenant)


@pytest.fixture
def server(service: Auth0) -> Iterator[SaasServer]:
    with running(SaasServer(service)) as server:
        yield server


@pytest.fixture
def logins(server: SaasServer) -> dict[str, Login]:
    def login(client: str, secret: str, domain: str) -> Login:
        return Login(server.url, client, secret, {"audience": f"https://{domain}/api/v2/"})

    return {
        "auth0": login(CLIENT, SECRET, DOMAIN),
        "test": login("test-client", "test-secret", "lender-tests.eu.auth0.com"),
        "wrong": login(CLIENT, "not-the-secret", DOMAIN),
        "unknown": login("nobody", "nothing", "nobody.eu.auth0.com"),
    }


@pytest.fixture
def account(aws: None, logins: dict[str, Login]) -> Account:
    settings = {"connection_id": "auth0", "test_connection_id": "test", "patience": "3s"}
    return open_account(policy_with(auth0=settings), logins)


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("auth0", account.access, account.policy)


def opened(account: Account, **settings: Any) -> Source:
    policy = policy_with(auth0={"connection_id": "auth0", "patience": "3s", **settings})
    return open_source("auth0", account.access, policy)


def named(tenant: Tenant, path: str, name: str) -> dict[str, Any]:
    return next(one for one in tenant.of(path).values() if one.get("name") == name)


def test_a_tenant_is_exported_by_names_without_what_auth0_makes_itself(source: Source) -> None:
    found = exported(source)
    assert {
        "tenant/settings",
        "branding/settings",
        "branding-template/universal-login",
        "api/https://api.lender.example/loans",
        "client/Borrower portal",
        "own-client/Ledgerkeep",
        "client/Loan service",
        f"client-grant/Loan service {LOANS_API}",
        "connection/borrowers",
        "connection/staff",
        "role/Underwriter",
        "organization/broker-one",
        "client-links/Loan service",
        "rule-setting/core_url",
        "rule/Audit login",
        "action/Borrower claims",
        "action-secret/Borrower claims: CORE_URL",
        "trigger/post-login",
        "email-provider/settings",
        "email-template/verify_email",
        "factor/otp",
        "factor-policies/settings",
        "log-stream/Security monitoring",
        "custom-domain/login.lender.example",
    } <= found.keys()
    assert "client/All Applications" not in found
    assert not any("Management API" in key for key in found)
    assert found["connection/borrowers"]["enabled_clients"] == ["Borrower portal"]
    assert found["client-links/Loan service"] == {"allowed_clients": ["Borrower portal"]}
    assert found["role/Underwriter"]["permissions"] == [
        {"api": LOANS_API, "permission": "decide:loans"},
        {"api": LOANS_API, "permission": "read:loans"},
    ]
    assert "client_id" not in found["client/Loan service"]
    assert isinstance(found["client/Loan service"]["client_secret"], Secret)
    assert "client_secret" not in found["own-client/Ledgerkeep"]
    assert found["connection/staff"]["options"]["client_secret"] == Secret("staff-idp-secret")
    sink = found["log-stream/Security monitoring"]["sink"]
    assert sink["httpAuthorization"] == Secret("Bearer siem-ingest-token")


def test_what_was_damaged_is_named_and_put_back(source: Source, production: Tenant) -> None:
    before = exported(source)
    production.settings["support_email"] = "evil@example.com"
    production.settings["flags"]["universal_login"] = False
    production.branding.pop("logo_url")
    production.login_page = None
    portal = named(production, "/clients", "Borrower portal")
    portal["callbacks"] = ["https://evil.example"]
    portal["initiate_login_uri"] = "https://evil.example"
    portal["client_metadata"] = {"owner": "nobody", "more": "1"}
    portal["client_secret"] = "rotated"
    grant = named_grant(production, "Loan service")
    grant["scope"] = ["read:loans"]
    staff = named(production, "/connections", "staff")
    staff["options"]["client_secret"] = "other"
    production.enabled[staff["id"]].clear()
    role = named(production, "/roles", "Underwriter")
    production.permissions[role["id"]] = []
    servicing = named(production, "/roles", "Servicing agent")
    del production.of("/roles")[servicing["id"]]
    add(production, "/roles", name="Intruder", description="")
    organization = named(production, "/organizations", "broker-one")
    production.organization_connections[organization["id"]].clear()
    action = named(production, "/actions/actions", "Borrower claims")
    action["code"] = "exports.onExecutePostLogin = async () => {};"
    production.bindings["post-login"].clear()
    production.email_templates["verify_email"]["subject"] = "Click"
    production.factors["otp"] = False
    production.policies.clear()
    stream = named(production, "/log-streams", "Security monitoring")
    del production.of("/log-streams")[stream["id"]]
    rule = named(production, "/rules", "Audit login")
    rule["enabled"] = False

    assert words(differences(before, exported(source))) == sorted(
        [
            "update action/Borrower claims",
            "update branding/settings",
            "update client-grant/Loan service " + LOANS_API,
            "update client/Borrower portal",
            "update connection/staff",
            "update email-template/verify_email",
            "update factor-policies/settings",
            "update factor/otp",
            "update organization/broker-one",
            "update role/Underwriter",
            "update rule/Audit login",
            "update tenant/settings",
            "delete branding-template/universal-login",
            "delete log-stream/Security monitoring",
            "delete role/Servicing agent",
            "delete trigger/post-login",
            "create role/Intruder",
        ],
        key=lambda one: one.split(" ", 1)[1],
    )
    assert put_back(source, before) == []
    assert words(differences(exported(source), before)) == []
    assert put_back(source, before) == []


def named_grant(production: Tenant, client: str) -> dict[str, Any]:
    id_ = named(production, "/clients", client)["client_id"]
    return next(one for one in production.of("/client-grants").values() if one["client_id"] == id_)


def test_an_application_that_is_gone_comes_back_with_all_that_refers_to_it(
    source: Source, production: Tenant
) -> None:
    before = exported(source)
    for name in ("Loan service", "Borrower portal"):
        id_ = named(production, "/clients", name)["client_id"]
        del production.of("/clients")[id_]
        for enabled in production.enabled.values():
            enabled.discard(id_)
    grants = production.of("/client-grants")
    known = production.of("/clients")
    for key in [key for key, one in grants.items() if one["client_id"] not in known]:
        del grants[key]
    assert put_back(source, before) == [
        "tell those who use the application Borrower portal its id: one that is made anew gets "
        "another",
        "tell those who use the application Loan service its id: one that is made anew gets "
        "another",
    ]
    assert words(differences(before, exported(source))) == [
        "update client-id/Borrower portal",
        "update client-id/Loan service",
    ]
    assert source.settled(["client/Loan service"]) == []
    named(production, "/clients", "Loan service")["client_secret"] = "other than was restored"
    assert source.settled(["client/Loan service"]) == [
        "the application Loan service gets no token: auth0 refused to give a token: the "
        "credentials are wrong"
    ]


def test_what_no_request_can_do_is_left_to_a_person(source: Source, production: Tenant) -> None:
    before = exported(source)
    production.domains.clear()
    production.rule_settings.clear()
    action = named(production, "/actions/actions", "Borrower claims")
    action["secrets"] = []
    production.email_provider = None
    own = production.of("/clients")[CLIENT]
    add(production, "/connections", name="left-over", strategy="auth0", options={})
    production.email_templates["welcome_email"] = {"template": "welcome_email", "enabled": True}
    own["callbacks"] = ["https://evil.example"]
    left = put_back(source, before)
    assert left == [
        "set up the custom domain login.lender.example in Auth0's dashboard (Branding, Custom "
        "Domains), and enter the record that it shows there in DNS",
        "enter the rules' setting core_url in Auth0, which tells nobody its value",
        "enter the secret CORE_URL of the action Borrower claims in Auth0, and deploy the action: "
        "Auth0 tells nobody its value, so that it is in no version",
        "set up sendgrid as the email provider in Auth0's dashboard, with its credentials: Auth0 "
        "tells nobody those, so that they are in no version",
        "reset the email template welcome_email in Auth0's dashboard (Branding, Email Templates)",
        "delete the connection left-over by hand: with it go its users",
    ]
    assert "callbacks" not in exported(source)["own-client/Ledgerkeep"]


def test_the_application_that_is_used_is_never_deleted(source: Source, production: Tenant) -> None:
    stored = {key: one for key, one in exported(source).items() if not key.startswith("own-client")}
    assert put_back(source, stored) == [
        f"set the grant Ledgerkeep https://{DOMAIN}/api/v2/ by hand: it is the application that "
        "the backup itself uses",
        "see which application is to be used in place of Ledgerkeep: it is the application that "
        "the backup itself uses",
    ]
    assert CLIENT in production.of("/clients")


def test_every_page_is_read(source: Source, production: Tenant, server: SaasServer) -> None:
    for number in range(230):
        add(production, "/roles", name=f"Role {number:03}")
        add(production, "/clients", name=f"Application {number:03}")
    found = exported(source)
    assert sum(key.startswith("role/Role ") for key in found) == 230
    assert sum(key.startswith("client/Application ") for key in found) == 230
    pages = [path for _method, path in server.requests if path.startswith("/api/v2/roles?")]
    assert [path.split("&")[0] for path in pages] == [
        "/api/v2/roles?page=0",
        "/api/v2/roles?page=1",
        "/api/v2/roles?page=2",
    ]
    assert sum(path.startswith("/api/v2/clients?take=100") for _m, path in server.requests) == 3


def test_a_limit_is_waited_for(source: Source, server: SaasServer) -> None:
    server.limit(requests=5, seconds=1)
    assert "client/Loan service" in exported(source)


def test_a_limit_beyond_our_patience_is_told(source: Source, server: SaasServer) -> None:
    server.limit(requests=0, seconds=60)
    with pytest.raises(ServiceUnavailable) as caught:
        exported(source)
    assert caught.value.message.startswith(
        "auth0 has had too many requests to read tenant settings, and asks to wait 6"
    )
    assert caught.value.message.endswith("given up after 3 s")
    assert caught.value.hint == (
        "run it again later; if that happens often, raise the source's patience in the policy"
    )


def test_failures_of_the_service_are_tried_again(source: Source, server: SaasServer) -> None:
    server.fail(502, times=2, containing="/roles")
    assert "role/Underwriter" in exported(source)


def test_a_creation_that_failed_is_not_blindly_repeated(
    source: Source, server: SaasServer, production: Tenant
) -> None:
    before = exported(source)
    role = named(production, "/roles", "Underwriter")
    del production.of("/roles")[role["id"]]
    exported(source)
    server.requests.clear()
    server.fail(502, times=9, containing="/roles")
    with pytest.raises(ServiceUnavailable) as caught:
        source.apply(Change("create", "role/Underwriter", None, before["role/Underwriter"]))
    assert caught.value.message == "auth0 failed to make role Underwriter (502)"
    assert [method for method, _path in server.requests] == ["POST"]


def test_a_token_that_ends_in_between_is_renewed(
    source: Source, server: SaasServer, service: Auth0
) -> None:
    export = iter(source.export({}))
    next(export)
    service.expire_tokens()
    assert len(list(export)) > 20
    assert sum(path == "/oauth/token" for _method, path in server.requests) == 2


def test_a_token_near_its_end_is_renewed_before_it_fails(
    account: Account, server: SaasServer, service: Auth0
) -> None:
    service.token_lifetime = 0.9  # told as 0 s
    assert "role/Underwriter" in exported(opened(account))
    assert sum(path == "/oauth/token" for _method, path in server.requests) > 2


def test_a_missing_scope_is_named(source: Source, production: Tenant) -> None:
    production.denied.add("read:connections")
    with pytest.raises(ServiceRefused) as caught:
        exported(source)
    assert caught.value.message == (
        "auth0 refused to list connections: read:connections is missing"
    )
    assert caught.value.hint == (
        "grant read:connections to the application of the connection auth0"
    )


def test_wrong_credentials_are_told(account: Account) -> None:
    with pytest.raises(ServiceRefused) as caught:
        opened(account, connection_id="wrong")
    assert caught.value.message == "auth0 refused to give a token: the credentials are wrong"
    assert caught.value.hint == "correct the login and password of the connection wrong"
    assert "not-the-secret" not in str(caught.value)


def test_an_unknown_tenant_is_told(account: Account) -> None:
    with pytest.raises(ServiceRefused) as caught:
        opened(account, connection_id="unknown")
    assert caught.value.message == (
        "auth0 knows no tenant with the api https://nobody.eu.auth0.com/api/v2/"
    )
    assert caught.value.hint == (
        "correct the host, or the audience in the extra, of the connection unknown"
    )


def test_a_service_that_does_not_answer_is_told(aws: None) -> None:
    logins = {"auth0": Login("http://127.0.0.1:9", "a", "b", {"audience": "https://a/api/v2/"})}
    policy = policy_with(auth0={"connection_id": "auth0", "patience": "0s"})
    account = open_account(policy, logins)
    with pytest.raises(ServiceUnavailable) as caught:
        open_source("auth0", account.access, account.policy)
    assert caught.value.message.startswith(
        "auth0 did not answer the request to give a token: [Errno "
    )
    assert caught.value.hint == (
        "check the network between the worker and auth0, and the host of the connection auth0"
    )


def test_two_things_of_one_name_are_refused(source: Source, production: Tenant) -> None:
    add(production, "/clients", name="Loan service")
    with pytest.raises(ConfigurationError) as caught:
        exported(source)
    assert caught.value.message == "there are two applications of auth0 named Loan service"
    assert caught.value.hint == (
        "give one of them another name: what is put back is found by its name"
    )


def test_what_the_service_says_of_a_request_is_told_without_its_secrets(source: Source) -> None:
    wanted = {"strategy": "oidc", "name": "new", "realms": [], "enabled_clients": []}
    wanted |= {"options": {}, "id": Secret("id-like-secret")}
    with pytest.raises(ServiceRefused) as caught:
        source.apply(Change("create", "connection/new", None, wanted))
    assert caught.value.message == "auth0 refused to make connection new (400)"
    assert caught.value.hint == (
        "Payload validation error: 'Additional properties not allowed: id'"
    )


def test_the_scope_is_the_tenant(source: Source) -> None:
    assert (source.scope().environment, source.scope().account) == ("production", DOMAIN)


def test_an_unchanged_tenant_gets_no_new_version(account: Account, source: Source) -> None:
    first = account.back_up(source)
    again = account.back_up(source)
    assert (first.is_new, again.is_new) == (True, False)


def test_no_secret_is_stored_or_logged_in_the_clear(
    account: Account, caplog: pytest.LogCaptureFixture, production: Tenant
) -> None:
    with caplog.at_level(logging.DEBUG):
        source = opened(account)
        version = account.back_up(source).version
    secrets = [one["client_secret"] for one in production.of("/clients").values()]
    secrets += ["staff-idp-secret", "siem-ingest-token", SECRET]
    for secret in secrets:
        assert all(secret.encode() not in one.body for one in account.store.objects.values())
        assert secret not in caplog.text
    assert "Bearer" not in caplog.text
    values = account.versions.values(version)
    assert values["connection/staff"] == {"/options/client_secret": "staff-idp-secret"}


def test_a_test_tenant_holds_copies_behind_a_label_and_loses_them_again(
    source: Source, test_tenant: Tenant, production: Tenant
) -> None:
    stored = exported(source)
    empty = {path: dict(things) for path, things in test_tenant.things.items()}
    beside = source.beside("Drill-7")
    assert beside is not None
    assert exported(beside) == {}
    put_back(beside, stored)
    left = {one.key for one in differences(exported(beside), stored)}
    kinds = {key.split("/")[0] for key in left}
    assert kinds == {
        "action-secret",
        "branding",
        "branding-template",
        "client-id",
        "custom-domain",
        "email-provider",
        "email-template",
        "factor",
        "factor-policies",
        "log-stream",
        "own-client",
        "own-client-grant",
        "rule-setting",
        "tenant",
        "trigger",
    }
    names = {one["name"] for one in test_tenant.of("/clients").values()}
    assert {"drill-7-Borrower portal", "drill-7-Loan service"} <= names
    beside.clear()
    assert {path: things for path, things in test_tenant.things.items() if things} == {
        path: things for path, things in empty.items() if things
    }
    assert exported(source) == stored


def test_a_test_tenant_that_is_the_original_is_refused(account: Account) -> None:
    source = opened(account, test_connection_id="auth0")
    with pytest.raises(ConfigurationError) as caught:
        source.beside("drill")
    assert caught.value.message == (
        f"the connection auth0 for tests leads to {DOMAIN}, which is the original"
    )


def test_without_a_test_tenant_there_is_no_isolated_place(account: Account) -> None:
    source = opened(account)
    assert source.beside("drill") is None
    assert source.why_no_place == (
        "auth0 has no isolated place within a tenant; name a test tenant's connection in "
        "configuration.sources.auth0.test_connection_id"
    )
    with pytest.raises(NotImplementedError):
        source.clear()
