"""The lender's IAM: who may do what in the account."""

import json
from typing import Any

from include.sandbox.lender.account import ROLE, TAGS, LenderAccount

POLICY = "loan-management-documents"
BACKEND, EXECUTION, DEPLOY = (
    "loan-management-backend",
    "loan-management-execution",
    "loan-management-deploy",
)
PROFILE = "loan-management-bastion"
_PATH = "/loan-management/"


def policy_arn(account: LenderAccount) -> str:
    """Of the policy for documents."""
    return f"arn:aws:iam::{account.id}:policy{_PATH}{POLICY}"


def documents_policy(account: LenderAccount) -> dict[str, Any]:
    """What the application may do with documents, and no more."""
    bucket = f"arn:aws:s3:::loan-management-documents-{account.environment}"
    return _policy(
        _allow(["s3:GetObject", "s3:PutObject"], f"{bucket}/*"),
        _allow(["s3:ListBucket"], bucket),
    )


def stock(account: LenderAccount) -> None:
    """Make the policy, the roles with all that is attached to them, and the instance profile."""
    iam = account.client("iam")
    there = {one["RoleName"] for one in iam.list_roles()["Roles"]}
    if DEPLOY in there:
        return
    iam.create_policy(
        PolicyName=POLICY,
        Path=_PATH,
        Description="documents of the loan system",
        PolicyDocument=json.dumps(documents_policy(account)),
        Tags=TAGS,
    )
    _role(iam, BACKEND, _trust("ecs-tasks.amazonaws.com"))
    iam.attach_role_policy(RoleName=BACKEND, PolicyArn=policy_arn(account))
    _role(iam, EXECUTION, _trust("ecs-tasks.amazonaws.com"))
    secrets = _allow(["secretsmanager:GetSecretValue", "ssm:GetParameters"], "*")
    _inline(iam, EXECUTION, "secrets", _policy(secrets))
    _role(iam, PROFILE, _trust("ec2.amazonaws.com"))
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=PROFILE)
    # What Ledgerkeep itself enters the account with.
    _role(iam, ROLE, _trust_account(account.id))
    _inline(iam, ROLE, "everything", _policy(_allow(["*"], "*")))
    # Last: with it, all the rest is there.
    _role(iam, DEPLOY, _trust_account(account.id))
    deploy = ["ecs:UpdateService", "ecs:RegisterTaskDefinition", "iam:PassRole"]
    _inline(iam, DEPLOY, "deploy", _policy(_allow(deploy, "*")))


def _role(iam: Any, name: str, trust: dict[str, Any]) -> None:
    iam.create_role(
        RoleName=name,
        Description=f"{name} of the loan system",
        AssumeRolePolicyDocument=json.dumps(trust),
        MaxSessionDuration=3600,
        Tags=TAGS,
    )


def _inline(iam: Any, role: str, name: str, policy: dict[str, Any]) -> None:
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def _trust(service: str) -> dict[str, Any]:
    return _policy(
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    )


def _trust_account(account: str) -> dict[str, Any]:
    principal = {"AWS": f"arn:aws:iam::{account}:root"}
    return _policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}
