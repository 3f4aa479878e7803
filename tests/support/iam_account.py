"""An account's IAM as a lender would have it, for tests of the source.

moto keeps no boundary of a user, moves no group, adds no client to an OIDC provider and tags no
SAML provider; those requests are shown against a stub instead.
"""

import json
from functools import cache
from typing import Any

import pytest
from moto.iam import models

from ledgerkeep.configuration.compare import compare
from ledgerkeep.configuration.items import Item
from ledgerkeep.configuration.source import Change, Found, Planned, Source

ACCOUNT = "123456789012"
OWN = f"arn:aws:iam::{ACCOUNT}:"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
OIDC = "token.actions.githubusercontent.com"
METADATA = (
    f"<EntityDescriptor entityID='https://lender.example/saml'>{'x' * 1000}</EntityDescriptor>"
)
TAGS = [{"Key": "system", "Value": "loan-management"}]


def load_managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto know the two policies of AWS's that the tests use; before it starts.

    All 1,400 of them would take it seconds in each test.
    """
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
    monkeypatch.setattr(models, "aws_managed_policies_data", _two_managed_policies())


@cache
def _two_managed_policies() -> str:
    found = json.loads(models.aws_managed_policies_data)
    return json.dumps(
        {arn.split("/")[-1]: found[arn.split("/")[-1]] for arn in (READ_ONLY, ADMINISTRATOR)}
    )


def allow(actions: str | list[str], resource: str | list[str] = "*") -> dict[str, Any]:
    """A policy's document."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust(principal: dict[str, Any], action: str = "sts:AssumeRole") -> dict[str, Any]:
    """A role's trust policy."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return {"Version": "2012-10-17", "Statement": [statement]}


def stock(iam: Any) -> None:
    """Everything that the source exports."""
    _policies(iam)
    _groups_and_users(iam)
    _roles(iam)
    iam.create_instance_profile(InstanceProfileName="loan-bastion", Path="/loan/", Tags=TAGS)
    iam.add_role_to_instance_profile(InstanceProfileName="loan-bastion", RoleName="loan-bastion")
    iam.create_instance_profile(InstanceProfileName="empty")
    iam.create_open_id_connect_provider(
        Url=f"https://{OIDC}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40]
    )
    iam.create_saml_provider(Name="office", SAMLMetadataDocument=METADATA)
    iam.update_account_password_policy(
        MinimumPasswordLength=14, RequireSymbols=True, MaxPasswordAge=90, PasswordReusePrevention=5
    )
    iam.create_account_alias(AccountAlias="lender")


def contents(source: Source) -> dict[str, dict[str, Any]]:
    """Key → content of everything that is live."""
    return {one.key: dict(one.content) for one in source.export({}) if isinstance(one, Found)}


def planned(before: dict[str, Any], after: dict[str, Any]) -> list[Planned]:
    """What makes one state of contents the other."""
    return compare(_items(before), _items(after))


def bring_back(source: Source, wanted: dict[str, Any]) -> list[tuple[str, str]]:
    """Carry out everything that IAM lets a program do; what it was."""
    live = contents(source)
    done = []
    for one in source.order(planned(live, wanted)):
        if not source.by_hand(one):
            source.apply(Change(one.action, one.key, live.get(one.key), wanted.get(one.key)))
            done.append((one.action, one.key))
    return done


def _items(found: dict[str, Any]) -> dict[str, Item]:
    return {key: Item(key=key, content=content) for key, content in found.items()}


def _policies(iam: Any) -> None:
    read = allow(["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::loans", "arn:aws:s3:::loans/*"])
    create_policy(iam, "LoanRead", read, Description="Reads loans", Tags=TAGS)
    create_policy(iam, "LoanWrite", allow("s3:PutObject"))
    iam.create_policy_version(
        PolicyArn=f"{OWN}policy/loan/LoanWrite",
        PolicyDocument=json.dumps(allow(["s3:PutObject", "s3:DeleteObject"])),
        SetAsDefault=True,
    )
    create_policy(iam, "LoanBoundary", allow("s3:*"))


def create_policy(iam: Any, name: str, document: dict[str, Any], **more: Any) -> str:
    """Its ARN."""
    made = iam.create_policy(
        PolicyName=name, Path="/loan/", PolicyDocument=json.dumps(document), **more
    )
    arn: str = made["Policy"]["Arn"]
    return arn


def _groups_and_users(iam: Any) -> None:
    iam.create_group(GroupName="lenders", Path="/loan/")
    iam.attach_group_policy(GroupName="lenders", PolicyArn=f"{OWN}policy/loan/LoanRead")
    iam.put_group_policy(
        GroupName="lenders",
        PolicyName="mail",
        PolicyDocument=json.dumps(allow("ses:SendEmail")),
    )
    iam.create_group(GroupName="auditors")
    iam.create_user(UserName="alice", Path="/loan/", Tags=TAGS)
    iam.add_user_to_group(UserName="alice", GroupName="lenders")
    iam.attach_user_policy(UserName="alice", PolicyArn=f"{OWN}policy/loan/LoanWrite")
    iam.put_user_policy(
        UserName="alice", PolicyName="own", PolicyDocument=json.dumps(allow("iam:GetUser"))
    )


def _roles(iam: Any) -> None:
    create_role(
        iam,
        "loan-backend",
        trust({"Service": "ecs-tasks.amazonaws.com"}),
        Description="The loan system",
        MaxSessionDuration=7200,
        PermissionsBoundary=f"{OWN}policy/loan/LoanBoundary",
        Tags=TAGS,
    )
    for arn in (f"{OWN}policy/loan/LoanRead", f"{OWN}policy/loan/LoanWrite", READ_ONLY):
        iam.attach_role_policy(RoleName="loan-backend", PolicyArn=arn)
    iam.put_role_policy(
        RoleName="loan-backend",
        PolicyName="secrets",
        PolicyDocument=json.dumps(allow(["secretsmanager:GetSecretValue", "kms:Decrypt"])),
    )
    # By name it comes before the role that its trust names.
    create_role(iam, "deploy", trust({"AWS": f"{OWN}role/loan/loan-backend"}))
    iam.put_role_policy(
        RoleName="deploy",
        PolicyName="pass",
        PolicyDocument=json.dumps(
            allow("iam:PassRole", [f"{OWN}role/loan/loan-backend", f"{OWN}role/loan/*"])
        ),
    )
    create_role(iam, "loan-bastion", trust({"Service": "ec2.amazonaws.com"}))
    iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


def create_role(iam: Any, name: str, document: dict[str, Any], **more: Any) -> None:
    """Below `/loan/`."""
    iam.create_role(
        RoleName=name, Path="/loan/", AssumeRolePolicyDocument=json.dumps(document), **more
    )
