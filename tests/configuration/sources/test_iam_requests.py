"""What is asked of IAM, where moto cannot show it: refusals, pages, waiting, and its gaps.

Refusals and pages are put into botocore's own events, so that its parsing and paging are real.
"""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import ANY, Stubber

from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change
from ledgerkeep.configuration.sources.iam import api as api_module
from ledgerkeep.configuration.sources.iam.account import OidcProviders, SamlProviders, Settings
from ledgerkeep.configuration.sources.iam.api import WAITS, Api, tags_of
from ledgerkeep.configuration.sources.iam.documents import canonical_document
from ledgerkeep.configuration.sources.iam.managed import Policies
from ledgerkeep.configuration.sources.iam.principals import Groups, Roles, Users
from ledgerkeep.errors import AwsRefused, AwsUnavailable, ConfigurationError
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.iam_account import (
    METADATA,
    OIDC,
    OWN,
    allow,
    contents,
    load_managed_policies,
    stock,
    trust,
)

__all__ = ["aws"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Account:
    load_managed_policies(monkeypatch)
    request.getfixturevalue("aws")
    account = open_account(policy_with(iam={}))
    stock(account.client("iam"))
    return account


class Body:
    """An answer's bytes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def stream(self) -> Iterator[bytes]:
        yield self.text.encode()


def answer(code: str, status: int) -> Any:
    """A handler that answers a request with an error, as IAM does."""
    text = (
        '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error>'
        f"<Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    )
    return lambda **_: AWSResponse("https://iam.amazonaws.com", status, {}, Body(text))


READS = {
    "GetAccountAuthorizationDetails": "list every LocalManagedPolicy in IAM",
    "ListRoles": "list the roles",
    "GetPolicy": "read policy/LoanBoundary",
    "ListInstanceProfiles": "list the instance profiles",
    "GetInstanceProfile": "read instance-profile/loan-bastion",
    "ListOpenIDConnectProviders": "list the OIDC providers",
    "GetOpenIDConnectProvider": f"read oidc-provider/{OIDC}",
    "ListSAMLProviders": "list the SAML providers",
    "GetSAMLProvider": "read saml-provider/office",
    "GetAccountPasswordPolicy": "read the password policy",
    "ListAccountAliases": "read the account's alias",
}


def exported_refusing(account: Account, operation: str, code: str, status: int) -> AwsRefused:
    """What exporting says when IAM refuses one operation."""
    source: Any = open_source("iam", account.access, account.policy)
    client = source.api.client
    client.meta.events.register(f"before-send.iam.{operation}", answer(code, status))
    with pytest.raises(AwsRefused) as refused:
        list(source.export({}))
    return refused.value


@pytest.mark.parametrize("operation", READS)
def test_a_permission_that_is_missing_is_named(account: Account, operation: str) -> None:
    if operation == "GetPolicy":
        keep_one_policy(account)
    refused = exported_refusing(account, operation, "AccessDenied", 403)
    assert type(refused) is AwsRefused
    assert refused.message == f"aws refused to {READS[operation]} (AccessDenied)"
    assert refused.hint == f"allow iam:{operation} to the identity of the connection"


def keep_one_policy(account: Account) -> None:
    """moto lists policies in no order."""
    iam = account.client("iam")
    for name in ("LoanRead", "LoanWrite"):
        arn = f"{OWN}policy/loan/{name}"
        for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
        iam.delete_policy(PolicyArn=arn)


def test_a_busy_iam_can_be_asked_again(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    refused = exported_refusing(account, "ListRoles", "Throttling", 400)
    assert isinstance(refused, AwsUnavailable)
    assert refused.message == "aws was too busy to list the roles (Throttling)"
    assert refused.hint == "nothing was changed; it is tried again"


def test_a_permission_missing_for_one_change_is_named(account: Account) -> None:
    source: Any = open_source("iam", account.access, account.policy)
    live = contents(source)["role/deploy"]
    events = source.api.client.meta.events
    events.register("before-send.iam.PutRolePolicy", answer("AccessDenied", 403))
    wanted = {**live, "inline": {"pass": canonical_document(allow("*"))}}
    with pytest.raises(AwsRefused) as refused:
        source.apply(Change("update", "role/deploy", live, wanted))
    assert refused.value.message == (
        "aws refused to write the inline policy pass of role/deploy (AccessDenied)"
    )
    assert refused.value.hint == "allow iam:PutRolePolicy to the identity of the connection"


class OneToAPage:
    """IAM with one entity to a page, where moto has no pages."""

    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies", "InstanceProfiles")

    def __init__(self, events: Any) -> None:
        self.at = 0
        self.requests = 0
        for operation in ("GetAccountAuthorizationDetails", "ListInstanceProfiles"):
            events.register(f"before-parameter-build.iam.{operation}", self.asked)
            events.register(f"after-call.iam.{operation}", self.answered)

    def asked(self, params: dict[str, Any], **_: Any) -> None:
        self.at = int(params.get("Marker", "0"))
        self.requests += 1

    def answered(self, parsed: dict[str, Any], **_: Any) -> None:
        longest = 0
        for name in self.lists:
            # moto has some of them in no order.
            found = sorted(parsed.get(name, []), key=lambda one: one["Arn"])
            longest = max(longest, len(found))
            parsed[name] = found[self.at : self.at + 1]
        parsed["IsTruncated"] = self.at + 1 < longest
        if parsed["IsTruncated"]:
            parsed["Marker"] = str(self.at + 1)


def test_all_pages_are_read(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(open_source("iam", account.access, account.policy))
    source: Any = open_source("iam", account.access, account.policy)
    pages = OneToAPage(source.api.client.meta.events)
    monkeypatch.setattr(api_module, "_PAGE", 1)
    assert contents(source) == whole
    assert pages.requests == 3 + 2 + 1 + 4 + 2  # policies, groups, users, roles, profiles


def test_tags_of_aws_itself_are_left_out() -> None:
    """CloudFormation tags what it makes, and the stand-in has no CloudFormation."""
    told = {
        "Tags": [
            {"Key": "owner", "Value": "lending"},
            {"Key": "aws:cloudformation:stack-name", "Value": "loans"},
        ]
    }
    assert tags_of(told) == {"owner": "lending"}


def test_a_role_made_while_it_is_listed_is_read_by_itself(account: Account) -> None:
    """One listing does not tell of it yet, and the other does."""
    whole = contents(open_source("iam", account.access, account.policy))
    source: Any = open_source("iam", account.access, account.policy)

    def forget(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Roles"] = [one for one in parsed["Roles"] if one["RoleName"] != "loan-backend"]

    source.api.client.meta.events.register("after-call.iam.ListRoles", forget)
    assert contents(source) == whole


@pytest.fixture
def stub() -> Iterator[Stubber]:
    """IAM that takes these requests, in this order, and no others."""
    client = boto3.client("iam", "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def api(stub: Stubber, waited: list[float]) -> Api:
    return Api(stub.client, OWN, waited.append)


USER = {"path": "/", "groups": [], "boundary": "", "inline": {}, "attached": [], "tags": {}}
ROLE = {
    "path": "/loan/",
    "description": "",
    "max_session_duration": 3600,
    "trust": canonical_document(trust({"AWS": f"{OWN}role/loan/deploy"})),
    "boundary": "",
    "inline": {},
    "attached": [],
    "tags": {},
}
MADE = {
    "Path": "/loan/",
    "RoleName": "deploy",
    "RoleId": "AROA1234567890123",
    "Arn": f"{OWN}role/loan/deploy",
    "CreateDate": "2026-11-22T00:00:00Z",
}


def test_a_user_gets_its_boundary_and_loses_it(stub: Stubber, api: Api) -> None:
    bound = {**USER, "boundary": "policy/loan/LoanBoundary"}
    stub.add_response(
        "put_user_permissions_boundary",
        {},
        {"UserName": "alice", "PermissionsBoundary": f"{OWN}policy/loan/LoanBoundary"},
    )
    stub.add_response("delete_user_permissions_boundary", {}, {"UserName": "alice"})
    Users(api).alter("alice", USER, bound)
    Users(api).alter("alice", bound, USER)


def test_a_user_is_made_within_its_boundary(stub: Stubber, api: Api) -> None:
    stub.add_response(
        "create_user",
        {},
        {
            "UserName": "alice",
            "Path": "/",
            "PermissionsBoundary": "arn:aws:iam::aws:policy/ReadOnlyAccess",
        },
    )
    Users(api).create("alice", {**USER, "boundary": "arn:aws:iam::aws:policy/ReadOnlyAccess"})


def test_a_user_that_can_still_log_in_is_not_deleted(stub: Stubber, api: Api) -> None:
    stub.add_client_error("delete_user", "DeleteConflict", "must delete access keys first")
    with pytest.raises(AwsRefused) as refused:
        Users(api).remove("alice", USER)
    assert refused.value.message == "aws refused to delete user/alice (DeleteConflict)"
    assert refused.value.hint == (
        "take away its password, access keys, certificates and MFA devices first, which "
        "Ledgerkeep never touches, and run the recovery again; or leave the user"
    )


def test_a_group_is_moved(stub: Stubber, api: Api) -> None:
    stub.add_response("update_group", {}, {"GroupName": "lenders", "NewPath": "/loan/"})
    there = {"path": "/", "inline": {}, "attached": []}
    Groups(api).alter("lenders", there, {**there, "path": "/loan/"})


def test_a_policy_is_taken_from_everybody_and_its_versions_deleted_before_it(
    stub: Stubber, api: Api
) -> None:
    """IAM refuses to delete it otherwise; moto does not."""
    of = {"PolicyArn": f"{OWN}policy/loan/LoanWrite"}
    for kind, member in (
        ("Role", "PolicyRoles"),
        ("User", "PolicyUsers"),
        ("Group", "PolicyGroups"),
    ):
        stub.add_response(
            "list_entities_for_policy",
            {member: [{f"{kind}Name": "holder"}]},
            {**of, "EntityFilter": kind, "MaxItems": 1000},
        )
        operation = f"detach_{kind.lower()}_policy"
        stub.add_response(operation, {}, {**of, f"{kind}Name": "holder"})
    versions = [
        {"VersionId": "v10", "IsDefaultVersion": True},
        {"VersionId": "v9", "IsDefaultVersion": False},
        {"VersionId": "v2", "IsDefaultVersion": False},
    ]
    stub.add_response("list_policy_versions", {"Versions": versions}, {**of, "MaxItems": 1000})
    stub.add_response("delete_policy_version", {}, {**of, "VersionId": "v2"})
    stub.add_response("delete_policy_version", {}, {**of, "VersionId": "v9"})
    stub.add_client_error("delete_policy", "DeleteConflict", "cannot delete", expected_params=of)
    with pytest.raises(AwsRefused) as refused:
        Policies(api).remove("LoanWrite", {"path": "/loan/"})
    assert refused.value.message == "aws refused to delete policy/LoanWrite (DeleteConflict)"
    assert refused.value.hint == (
        "it is the permissions boundary of a role or user: give that another one, or none, first"
    )


def test_a_role_is_taken_out_of_its_profiles_before_it_is_deleted(stub: Stubber, api: Api) -> None:
    profile = {
        "InstanceProfileName": "loan-bastion",
        "InstanceProfileId": "AIPA1234567890123",
        "Path": "/",
        "Arn": f"{OWN}instance-profile/loan-bastion",
        "CreateDate": "2026-11-22T00:00:00Z",
        "Roles": [],
    }
    stub.add_response(
        "list_instance_profiles_for_role",
        {"InstanceProfiles": [profile], "IsTruncated": False},
        {"RoleName": "deploy", "MaxItems": 1000},
    )
    of = {"RoleName": "deploy"}
    stub.add_response(
        "remove_role_from_instance_profile", {}, {**of, "InstanceProfileName": "loan-bastion"}
    )
    attached = {**of, "PolicyArn": f"{OWN}policy/loan/LoanRead"}
    stub.add_response("detach_role_policy", {}, attached)
    stub.add_response("delete_role_policy", {}, {**of, "PolicyName": "pass"})
    stub.add_client_error("delete_role", "NoSuchEntity", "gone", expected_params=of)
    live = {**ROLE, "attached": ["policy/loan/LoanRead"], "inline": {"pass": {}}}
    Roles(api).remove("deploy", live)


def test_the_clients_of_an_oidc_provider_are_set_exactly(stub: Stubber, api: Api) -> None:
    arn = {"OpenIDConnectProviderArn": f"{OWN}oidc-provider/{OIDC}"}
    stub.add_response(
        "add_client_id_to_open_id_connect_provider", {}, {**arn, "ClientID": "wanted"}
    )
    stub.add_response(
        "remove_client_id_from_open_id_connect_provider", {}, {**arn, "ClientID": "surplus"}
    )
    live = {"clients": ["kept", "surplus"], "thumbprints": [], "tags": {}}
    OidcProviders(api).alter(OIDC, live, {**live, "clients": ["kept", "wanted"]})


def test_a_saml_provider_is_set_exactly(stub: Stubber, api: Api) -> None:
    arn = {"SAMLProviderArn": f"{OWN}saml-provider/office"}
    stub.add_response(
        "update_saml_provider",
        {},
        {**arn, "SAMLMetadataDocument": METADATA, "AssertionEncryptionMode": "Required"},
    )
    stub.add_response("untag_saml_provider", {}, {**arn, "TagKeys": ["old"]})
    stub.add_response("tag_saml_provider", {}, {**arn, "Tags": [{"Key": "new", "Value": "1"}]})
    live = {"metadata": "other", "encryption": "Allowed", "tags": {"old": "1"}}
    wanted = {"metadata": METADATA, "encryption": "Required", "tags": {"new": "1"}}
    SamlProviders(api).alter("office", live, wanted)


UNKNOWN = 'Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/loan/deploy"'


def test_a_role_that_trusts_itself_is_made_closed_and_opened_when_iam_knows_it(
    stub: Stubber, api: Api, waited: list[float]
) -> None:
    """IAM refuses a trust that names what it does not know, for some time after it was made."""
    stub.add_client_error("create_role", "MalformedPolicyDocument", UNKNOWN)
    request = {
        "RoleName": "deploy",
        "Path": "/loan/",
        "MaxSessionDuration": 3600,
    }
    nobody = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    closed = json.dumps({"Version": "2012-10-17", "Statement": nobody}, separators=(",", ":"))
    stub.add_response(
        "create_role",
        {"Role": {**MADE, "AssumeRolePolicyDocument": "%7B%7D"}},
        {**request, "AssumeRolePolicyDocument": closed},
    )
    stub.add_client_error("update_assume_role_policy", "MalformedPolicyDocument", UNKNOWN)
    stub.add_response(
        "update_assume_role_policy", {}, {"RoleName": "deploy", "PolicyDocument": ANY}
    )
    roles = Roles(api)
    roles.alter("deploy", roles.create("deploy", ROLE), ROLE)
    assert waited == [WAITS[0]]


def test_a_trust_that_iam_never_accepts_is_given_up(
    stub: Stubber, api: Api, waited: list[float]
) -> None:
    for _ in range(len(WAITS) + 1):
        stub.add_client_error("update_assume_role_policy", "MalformedPolicyDocument", UNKNOWN)
    with pytest.raises(AwsRefused) as refused:
        Roles(api).alter("deploy", {**ROLE, "trust": {}}, ROLE)
    assert refused.value.message == (
        "aws refused to set the trust of role/deploy (MalformedPolicyDocument)"
    )
    assert refused.value.hint == UNKNOWN
    assert waited == list(WAITS)


def test_a_trust_that_is_malformed_is_not_waited_for(
    stub: Stubber, api: Api, waited: list[float]
) -> None:
    stub.add_client_error(
        "update_assume_role_policy", "MalformedPolicyDocument", "Syntax errors in policy."
    )
    with pytest.raises(AwsRefused):
        Roles(api).alter("deploy", {**ROLE, "trust": {}}, ROLE)
    assert waited == []


def alias(stub: Stubber, *names: str) -> None:
    stub.add_response("list_account_aliases", {"AccountAliases": list(names), "IsTruncated": False})


def test_what_was_changed_is_read_back_until_iam_tells_it(
    stub: Stubber, api: Api, waited: list[float]
) -> None:
    alias(stub, "taken-over")
    stub.add_response("create_account_alias", {}, {"AccountAlias": "lender"})
    alias(stub, "taken-over")
    alias(stub, "taken-over")
    alias(stub, "lender")
    Settings(api).bring("alias", "", {"alias": "lender"})
    assert waited == list(WAITS[:2])


def test_what_iam_never_tells_is_an_error(stub: Stubber, api: Api, waited: list[float]) -> None:
    alias(stub)
    stub.add_response("create_account_alias", {}, {"AccountAlias": "lender"})
    for _ in range(len(WAITS) + 1):
        alias(stub)
    with pytest.raises(ConfigurationError) as problem:
        Settings(api).bring("alias", "", {"alias": "lender"})
    assert problem.value.message == (
        "account/alias was changed, and 31.5 s later IAM still tells another state of it"
    )
    assert problem.value.hint == (
        "somebody else may be changing it too: see CloudTrail, compare again, and run the "
        "recovery again"
    )
