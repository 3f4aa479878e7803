"""Ledgerkeep never changes what decides what it may do itself: that is left to a person."""

from typing import Any

import boto3
import pytest

from ledgerkeep.configuration.access import Access
from ledgerkeep.configuration.registry import open_source
from ledgerkeep.configuration.source import Change, Source
from ledgerkeep.errors import ConfigurationError
from tests.support.configuration import REGION, Account, aws, open_account, policy_with
from tests.support.iam_account import (
    ACCOUNT,
    OWN,
    allow,
    bring_back,
    contents,
    create_policy,
    create_role,
    planned,
    trust,
)

__all__ = ["aws"]


@pytest.fixture
def account(aws: None) -> Account:
    return open_account(policy_with(iam={}))


@pytest.fixture
def iam(account: Account) -> Any:
    return account.client("iam")


def open_as(account: Account, credentials: dict[str, str]) -> Source:
    """The source, over a connection with these credentials."""
    access = Access(
        client=lambda service, _connection, region: boto3.client(  # type: ignore[call-overload]
            service, region, **credentials
        ),
        login=account.access.login,
    )
    return open_source("iam", access, account.policy)


def as_role(account: Account, name: str) -> Source:
    sts = boto3.client("sts", REGION)
    assumed = sts.assume_role(RoleArn=f"{OWN}role/loan/{name}", RoleSessionName="worker-1")
    given = assumed["Credentials"]
    return open_as(
        account,
        {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        },
    )


def as_user(account: Account, name: str) -> Source:
    key = account.client("iam").create_access_key(UserName=name)["AccessKey"]
    return open_as(
        account,
        {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )


def stock_role(iam: Any) -> None:
    boundary = create_policy(iam, "KeeperBoundary", allow("*"))
    policy = create_policy(iam, "Keeper", allow("iam:*"))
    create_policy(iam, "Other", allow("s3:*"))
    create_role(iam, "keeper", trust({"AWS": "*"}), PermissionsBoundary=boundary)
    create_role(iam, "other", trust({"AWS": "*"}))
    iam.attach_role_policy(RoleName="keeper", PolicyArn=policy)
    for name in ("keeper", "other"):
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def left_to_a_person(source: Source) -> list[str]:
    """Keys of what this source would not delete."""
    changes = planned(contents(source), {})
    return [one.key for one in changes if source.by_hand(one)]


def test_its_role_is_left_alone_with_its_policies_boundary_and_profile(
    account: Account, iam: Any
) -> None:
    stock_role(iam)
    assert left_to_a_person(as_role(account, "keeper")) == [
        "instance-profile/keeper",
        "policy/Keeper",
        "policy/KeeperBoundary",
        "role/keeper",
    ]


def test_by_way_of_whom_its_role_is_assumed_is_left_alone_too(account: Account, iam: Any) -> None:
    url = "oidc.eks.eu-central-1.amazonaws.com/id/ABC"
    for one in (url, "elsewhere.example"):
        iam.create_open_id_connect_provider(Url=f"https://{one}", ThumbprintList=["a" * 40])
    create_role(iam, "worker", trust({"Service": "ec2.amazonaws.com"}))
    create_role(iam, "other", trust({"Service": "ec2.amazonaws.com"}))
    principals = {"Federated": f"{OWN}oidc-provider/{url}", "AWS": f"{OWN}role/loan/worker"}
    create_role(iam, "keeper", trust(principals))
    assert left_to_a_person(as_role(account, "keeper")) == [
        f"oidc-provider/{url}",
        "role/keeper",
        "role/worker",
    ]


def test_the_words_name_the_identity(account: Account, iam: Any) -> None:
    stock_role(iam)
    source = as_role(account, "keeper")
    live = contents(source)
    (change,) = planned(
        live, {**live, "policy/Keeper": {**live["policy/Keeper"], "tags": {"a": "b"}}}
    )
    assert source.by_hand(change) == (
        f"policy/Keeper decides what arn:aws:sts::{ACCOUNT}:assumed-role/keeper/worker-1 may do, "
        "as which Ledgerkeep runs: change it as somebody else, after the difference that is shown, "
        "or run the recovery over a connection with another identity"
    )


def test_a_change_of_its_own_role_is_refused_even_when_it_is_asked_for(
    account: Account, iam: Any
) -> None:
    stock_role(iam)
    source = as_role(account, "keeper")
    live = contents(source)
    with pytest.raises(ConfigurationError) as refused:
        source.apply(Change("delete", "role/keeper", live["role/keeper"], None))
    assert refused.value.message == "role/keeper was not changed"
    assert refused.value.hint.startswith("role/keeper decides what ")
    assert contents(source) == live


def test_its_user_is_left_alone_with_its_groups_and_their_policies(
    account: Account, iam: Any
) -> None:
    for name in ("Keepers", "Keeper", "Other"):
        create_policy(iam, name, allow("*"))
    iam.create_group(GroupName="keepers")
    iam.create_group(GroupName="others")
    iam.attach_group_policy(GroupName="keepers", PolicyArn=f"{OWN}policy/loan/Keepers")
    iam.create_user(UserName="keeper", Path="/loan/")
    iam.create_user(UserName="other")
    iam.add_user_to_group(UserName="keeper", GroupName="keepers")
    iam.attach_user_policy(UserName="keeper", PolicyArn=f"{OWN}policy/loan/Keeper")
    assert left_to_a_person(as_user(account, "keeper")) == [
        "group/keepers",
        "policy/Keeper",
        "policy/Keepers",
        "user/keeper",
    ]


def test_a_copy_of_its_role_in_an_isolated_place_is_nothing_of_its_own(
    account: Account, iam: Any
) -> None:
    stock_role(iam)
    source = as_role(account, "keeper")
    before = contents(source)
    beside = source.beside("run-1")
    assert beside is not None
    bring_back(beside, before)
    assert contents(beside) == before
    beside.clear()
    assert contents(source) == before
