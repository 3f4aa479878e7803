"""IAM as a source: everything is exported, put back exactly as it was, and nothing else is touched.

AWS-managed policies exist in moto only where it is told to load them.
"""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Known, Scope, Source
from ledgerkeep.errors import ConfigurationError
from tests.support.configuration import Account, aws, open_account, policy_with
from tests.support.iam_account import (
    ACCOUNT,
    ADMINISTRATOR,
    METADATA,
    OIDC,
    OWN,
    READ_ONLY,
    allow,
    bring_back,
    contents,
    create_policy,
    create_role,
    load_managed_policies,
    planned,
    stock,
    trust,
)

__all__ = ["aws"]

SERVICE_LINKED = "role/AWSServiceRoleForecs"
"""AWS writes ECS."""
LOAN_WRITE = f"{OWN}policy/loan/LoanWrite"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Account:
    load_managed_policies(monkeypatch)
    request.getfixturevalue("aws")
    account = open_account(policy_with(iam={}))
    stock(account.client("iam"))
    return account


@pytest.fixture
def iam(account: Account) -> Any:
    return account.client("iam")


@pytest.fixture
def source(account: Account) -> Source:
    return open_source("iam", account.access, account.policy)


def test_every_entity_is_exported_by_its_name(source: Source) -> None:
    assert sorted(contents(source)) == [
        "account/alias",
        "account/password-policy",
        "group/auditors",
        "group/lenders",
        "instance-profile/empty",
        "instance-profile/loan-bastion",
        f"oidc-provider/{OIDC}",
        "policy/LoanBoundary",
        "policy/LoanRead",
        "policy/LoanWrite",
        SERVICE_LINKED,
        "role/deploy",
        "role/loan-backend",
        "role/loan-bastion",
        "saml-provider/office",
        "user/alice",
    ]


def test_a_role_is_exported_with_all_that_hangs_on_it(source: Source) -> None:
    assert contents(source)["role/loan-backend"] == {
        "path": "/loan/",
        "description": "The loan system",
        "max_session_duration": 7200,
        "trust": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": ["ecs-tasks.amazonaws.com"]},
                    "Action": ["sts:AssumeRole"],
                }
            ],
        },
        "boundary": "policy/loan/LoanBoundary",
        "inline": {"secrets": allow(["kms:Decrypt", "secretsmanager:GetSecretValue"], ["*"])},
        "attached": [READ_ONLY, "policy/loan/LoanRead", "policy/loan/LoanWrite"],
        "tags": {"system": "loan-management"},
    }


def test_of_a_policy_the_version_in_force_is_exported(source: Source) -> None:
    found = contents(source)
    assert found["policy/LoanWrite"] == {
        "path": "/loan/",
        "description": "",
        "document": allow(["s3:DeleteObject", "s3:PutObject"], ["*"]),
        "tags": {},
    }
    assert found["policy/LoanRead"]["description"] == "Reads loans"
    assert found["policy/LoanRead"]["tags"] == {"system": "loan-management"}


def test_users_groups_and_profiles_are_exported_with_what_they_refer_to(source: Source) -> None:
    found = contents(source)
    assert found["user/alice"] == {
        "path": "/loan/",
        "groups": ["lenders"],
        "boundary": "",
        "inline": {"own": allow(["iam:GetUser"], ["*"])},
        "attached": ["policy/loan/LoanWrite"],
        "tags": {"system": "loan-management"},
    }
    assert found["group/lenders"] == {
        "path": "/loan/",
        "inline": {"mail": allow(["ses:SendEmail"], ["*"])},
        "attached": ["policy/loan/LoanRead"],
    }
    assert found["instance-profile/loan-bastion"] == {
        "path": "/loan/",
        "role": "loan-bastion",
        "tags": {"system": "loan-management"},
    }
    assert found["instance-profile/empty"]["role"] == ""


def test_what_an_account_has_once_is_exported(source: Source) -> None:
    found = contents(source)
    assert found[f"oidc-provider/{OIDC}"] == {
        "clients": ["sts.amazonaws.com"],
        "thumbprints": ["a" * 40],
        "tags": {},
    }
    assert found["saml-provider/office"]["metadata"] == METADATA
    assert found["account/alias"] == {"alias": "lender"}
    assert found["account/password-policy"]["MinimumPasswordLength"] == 14
    assert "ExpirePasswords" not in found["account/password-policy"]


def test_no_credential_of_a_user_is_exported(account: Account, source: Source, iam: Any) -> None:
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    iam.create_login_profile(UserName="alice", Password="Pa55-word-of-alice")
    account.back_up(source)
    for secret in (key["AccessKeyId"], key["SecretAccessKey"], "Pa55-word-of-alice"):
        assert all(secret.encode() not in one.body for one in account.store.objects.values())


def test_the_scope_is_the_account_in_no_region(source: Source) -> None:
    assert source.scope() == Scope(environment="production", account=ACCOUNT)


def test_an_unchanged_account_gets_no_new_version_and_is_hardly_read(
    account: Account, source: Source
) -> None:
    first = account.back_up(source)
    again = account.back_up(source)
    assert (again.is_new, again.version.id) == (False, first.version.id)
    assert first.items - again.read_items == 5  # three policies, two instance profiles


def test_a_policy_is_read_again_when_another_version_is_in_force(source: Source, iam: Any) -> None:
    marks = {one.key: one.mark for one in source.export({}) if not isinstance(one, Known)}
    iam.set_default_policy_version(PolicyArn=LOAN_WRITE, VersionId="v1")
    known = {one.key for one in source.export(marks) if isinstance(one, Known)}
    assert "policy/LoanWrite" not in known
    assert "policy/LoanRead" in known


def test_paths_and_names_choose_what_is_exported(account: Account, iam: Any) -> None:
    policy = policy_with(iam={"paths": ["/loan/"], "names": ["loan-*"], "account_settings": False})
    found = contents(open_source("iam", account.access, policy))
    assert sorted(found) == [
        "instance-profile/loan-bastion",
        "role/loan-backend",
        "role/loan-bastion",
    ]


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        policy_with(iam={"paths": ["/loan"]})


def damage(iam: Any) -> None:
    """Every way in which somebody changes what is exported."""
    iam.create_policy_version(
        PolicyArn=LOAN_WRITE, PolicyDocument=json.dumps(allow("*")), SetAsDefault=True
    )
    iam.tag_policy(
        PolicyArn=f"{OWN}policy/loan/LoanRead", Tags=[{"Key": "system", "Value": "none"}]
    )
    iam.untag_role(RoleName="loan-backend", TagKeys=["system"])
    iam.tag_role(RoleName="loan-backend", Tags=[{"Key": "more", "Value": "1"}])
    iam.detach_role_policy(RoleName="loan-backend", PolicyArn=READ_ONLY)
    iam.attach_role_policy(RoleName="loan-backend", PolicyArn=ADMINISTRATOR)
    iam.delete_role_permissions_boundary(RoleName="loan-backend")
    iam.update_role(RoleName="loan-backend", Description="Changed", MaxSessionDuration=3600)
    iam.delete_role_policy(RoleName="loan-backend", PolicyName="secrets")
    anybody = json.dumps(allow("*"))
    iam.put_role_policy(RoleName="deploy", PolicyName="pass", PolicyDocument=anybody)
    iam.put_role_policy(RoleName="deploy", PolicyName="more", PolicyDocument=anybody)
    iam.update_assume_role_policy(RoleName="deploy", PolicyDocument=json.dumps(trust({"AWS": "*"})))
    iam.detach_group_policy(GroupName="lenders", PolicyArn=f"{OWN}policy/loan/LoanRead")
    iam.remove_user_from_group(UserName="alice", GroupName="lenders")
    iam.add_user_to_group(UserName="alice", GroupName="auditors")
    iam.update_user(UserName="alice", NewPath="/elsewhere/")
    profile = "loan-bastion"
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName="deploy")
    iam.untag_instance_profile(InstanceProfileName=profile, TagKeys=["system"])
    iam.delete_instance_profile(InstanceProfileName="empty")
    iam.update_open_id_connect_provider_thumbprint(
        OpenIDConnectProviderArn=f"{OWN}oidc-provider/{OIDC}", ThumbprintList=["b" * 40]
    )
    iam.update_account_password_policy(MinimumPasswordLength=6)
    iam.create_account_alias(AccountAlias="taken-over")
    add_intruder(iam)


def add_intruder(iam: Any) -> None:
    """A role, a policy, a group, a user and a profile that hang on each other."""
    document = json.dumps(allow("*"))
    arn = iam.create_policy(PolicyName="Intruder", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(allow("s3:*")))
    create_role(iam, "intruder", trust({"AWS": "*"}))
    iam.attach_role_policy(RoleName="intruder", PolicyArn=arn)
    iam.attach_role_policy(RoleName="loan-bastion", PolicyArn=arn)
    iam.put_role_policy(RoleName="intruder", PolicyName="all", PolicyDocument=document)
    iam.create_group(GroupName="intruders")
    iam.attach_group_policy(GroupName="intruders", PolicyArn=arn)
    iam.create_user(UserName="intruder")
    iam.add_user_to_group(UserName="intruder", GroupName="intruders")
    iam.put_user_policy(UserName="intruder", PolicyName="all", PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName="intruder")
    iam.add_role_to_instance_profile(InstanceProfileName="intruder", RoleName="intruder")


def test_damage_of_every_kind_is_named_exactly_and_put_back(source: Source, iam: Any) -> None:
    before = contents(source)
    damage(iam)
    live = contents(source)
    assert [(one.action, one.key) for one in planned(live, before)] == [
        ("update", "account/alias"),
        ("update", "account/password-policy"),
        ("delete", "group/intruders"),
        ("update", "group/lenders"),
        ("create", "instance-profile/empty"),
        ("delete", "instance-profile/intruder"),
        ("update", "instance-profile/loan-bastion"),
        ("update", f"oidc-provider/{OIDC}"),
        ("delete", "policy/Intruder"),
        ("update", "policy/LoanRead"),
        ("update", "policy/LoanWrite"),
        ("update", "role/deploy"),
        ("delete", "role/intruder"),
        ("update", "role/loan-backend"),
        ("update", "role/loan-bastion"),
        ("update", "user/alice"),
        ("delete", "user/intruder"),
    ]
    bring_back(source, before)
    assert contents(source) == before
    assert bring_back(source, before) == []


def test_an_account_that_is_lost_is_made_again(source: Source, iam: Any) -> None:
    """Each change is applied twice, as by a task that was killed before it could say so."""
    before = contents(source)
    for one in source.order(planned(before, {})):
        if not source.by_hand(one):
            source.apply(Change(one.action, one.key, before[one.key], None))
            source.apply(Change(one.action, one.key, before[one.key], None))
    kept = {key: one for key, one in before.items() if key == SERVICE_LINKED}
    assert contents(source) == kept
    for one in source.order(planned(kept, before)):
        source.apply(Change(one.action, one.key, None, before[one.key]))
        source.apply(Change(one.action, one.key, None, before[one.key]))
    assert contents(source) == before


def test_a_change_that_was_interrupted_is_finished(source: Source, iam: Any) -> None:
    """The role is there, with a part of what it shall have and something it shall not."""
    before = contents(source)
    bring_back(source, {key: one for key, one in before.items() if key != "role/deploy"})
    create_role(iam, "deploy", trust({"AWS": "*"}))
    iam.attach_role_policy(RoleName="deploy", PolicyArn=READ_ONLY)
    source.apply(Change("create", "role/deploy", None, before["role/deploy"]))
    assert contents(source) == before


def test_a_document_in_another_form_is_no_difference(source: Source, iam: Any) -> None:
    before = contents(source)
    same = {
        "Statement": {
            "Resource": ["arn:aws:s3:::loans/*", "arn:aws:s3:::loans"],
            "Action": ["s3:ListBucket", "s3:GetObject"],
            "Effect": "Allow",
        },
        "Version": "2012-10-17",
    }
    iam.create_policy_version(
        PolicyArn=f"{OWN}policy/loan/LoanRead", PolicyDocument=json.dumps(same), SetAsDefault=True
    )
    assert contents(source) == before


def versions(iam: Any, arn: str) -> dict[str, bool]:
    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    return {one["VersionId"]: one["IsDefaultVersion"] for one in listed}


def test_the_oldest_version_not_in_force_makes_room_for_the_sixth(source: Source, iam: Any) -> None:
    before = contents(source)
    for action in ("s3:Get*", "s3:Put*", "s3:List*"):
        iam.create_policy_version(
            PolicyArn=LOAN_WRITE, PolicyDocument=json.dumps(allow(action)), SetAsDefault=True
        )
    iam.set_default_policy_version(PolicyArn=LOAN_WRITE, VersionId="v1")
    iam.delete_policy_version(PolicyArn=LOAN_WRITE, VersionId="v2")
    iam.create_policy_version(PolicyArn=LOAN_WRITE, PolicyDocument=json.dumps(allow("s3:Head*")))
    assert list(versions(iam, LOAN_WRITE)) == ["v1", "v3", "v4", "v5", "v6"]
    bring_back(source, before)
    assert versions(iam, LOAN_WRITE) == {
        "v1": False,
        "v4": False,
        "v5": False,
        "v6": False,
        "v7": True,
    }
    assert contents(source) == before


def test_a_version_that_says_the_same_is_put_in_force_again(source: Source, iam: Any) -> None:
    before = contents(source)
    iam.set_default_policy_version(PolicyArn=LOAN_WRITE, VersionId="v1")
    bring_back(source, before)
    assert versions(iam, LOAN_WRITE) == {"v1": False, "v2": True}
    assert contents(source) == before


def test_a_policy_made_anew_gets_its_document_back_but_not_its_description(
    source: Source, iam: Any
) -> None:
    before = contents(source)
    arn = f"{OWN}policy/loan/LoanRead"
    iam.detach_group_policy(GroupName="lenders", PolicyArn=arn)
    iam.detach_role_policy(RoleName="loan-backend", PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)
    create_policy(iam, "LoanRead", allow("*"))
    live = contents(source)
    key = "policy/LoanRead"
    with pytest.raises(ConfigurationError) as problem:
        source.apply(Change("update", key, live[key], before[key]))
    assert problem.value.message == (
        "policy/LoanRead has its document and tags again, but not its description, which IAM sets "
        "only when a policy is made"
    )
    assert problem.value.hint == (
        "leave it; or delete it, once nothing uses it any more, and run the recovery again"
    )
    bring_back(source, before)
    assert contents(source) == {**before, key: {**before[key], "description": ""}}


def test_copies_lie_beside_closed_and_are_removed_whole(source: Source, iam: Any) -> None:
    before = contents(source)
    beside = source.beside("run-1")
    assert beside is not None
    bring_back(beside, before)
    copied = contents(beside)
    by_hand = {one.key for one in planned({}, before) if beside.by_hand(one)}
    assert copied == {key: one for key, one in before.items() if key not in by_hand}
    assert by_hand == {
        "account/alias",
        "account/password-policy",
        f"oidc-provider/{OIDC}",
        SERVICE_LINKED,
        "saml-provider/office",
    }
    assert contents(source) == before
    copies = iam.list_roles(PathPrefix="/ledgerkeep-restore-test/run-1/")["Roles"]
    assert len(copies) == 3
    for copy in copies:
        found = iam.list_role_policies(RoleName=copy["RoleName"])["PolicyNames"]
        assert "ledgerkeep-restore-test-closed" in found
    beside.clear()
    assert contents(beside) == {}
    assert contents(source) == before


def test_a_copy_refers_to_copies(source: Source, iam: Any) -> None:
    beside = source.beside("run-1")
    assert beside is not None
    bring_back(beside, contents(source))
    (role,) = [
        one["RoleName"]
        for one in iam.list_roles()["Roles"]
        if one["Path"] == "/ledgerkeep-restore-test/run-1/loan/deploy/"
    ]
    trusted = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    place = f"{OWN}role/ledgerkeep-restore-test/run-1/loan/loan-backend/loan-backend-"
    assert trusted["Principal"]["AWS"].startswith(place)
    passed = iam.get_role_policy(RoleName=role, PolicyName="pass")["PolicyDocument"]
    pattern, copy = passed["Statement"]["Resource"]
    assert copy.startswith(place) or pattern.startswith(place)
    assert f"{OWN}role/loan/*" in (pattern, copy)


def test_another_place_is_left_alone(source: Source) -> None:
    first, second = source.beside("run-1"), source.beside("run-10")
    assert first is not None
    assert second is not None
    before = contents(source)
    bring_back(first, before)
    bring_back(second, before)
    first.clear()
    assert contents(first) == {}
    assert len(contents(second)) == 11


def test_only_an_isolated_place_can_be_cleared(source: Source) -> None:
    with pytest.raises(NotImplementedError):
        source.clear()
