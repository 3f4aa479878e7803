"""What goes wrong in an account: somebody changes by hand what nobody should.

Each change is one call, as somebody with a console makes it, and returns what it did in words.
"""

import json
from collections.abc import Callable

from include.sandbox.lender import identity, network
from include.sandbox.lender.account import LenderAccount
from include.sandbox.lender.seed import secret_value
from ledgerkeep.policy.configuration_sources import Sources

WORLD = "0.0.0.0/0"
SETTING = "MAX_LOAN_AMOUNT_EUR"
ROTATED = "credit-bureau-api-key"


def widen_policy(account: LenderAccount, _: Sources) -> str:
    """The policy that lets the application reach its documents lets it do anything."""
    iam = account.client("iam")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    iam.create_policy_version(
        PolicyArn=identity.policy_arn(account),
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
        SetAsDefault=True,
    )
    return f"the policy {identity.POLICY} allows everything"


def open_group(account: LenderAccount, _: Sources) -> str:
    """The database is open to the world."""
    account.client("ec2").authorize_security_group_ingress(
        GroupId=network.group_id(account, network.DATABASE),
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "IpRanges": [{"CidrIp": WORLD, "Description": "just for a moment"}],
            }
        ],
    )
    return f"the security group {network.DATABASE} is open to {WORLD}"


def change_parameter(account: LenderAccount, sources: Sources) -> str:
    """Ten times as much may be lent."""
    assert sources.parameters
    name = f"{sources.parameters.paths[0]}{SETTING}"
    account.client("ssm").put_parameter(Name=name, Value="7500000", Overwrite=True)
    return f"the parameter {name} is 7500000"


def rotate_secret(account: LenderAccount, sources: Sources) -> str:
    """A secret has a value that nobody else knows."""
    assert sources.secrets
    name = f"{sources.secrets.prefixes[0]}{ROTATED}"
    account.client("secretsmanager").put_secret_value(
        SecretId=name, SecretString=rotated_value(account)
    )
    return f"the secret {name} has another value"


def rotated_value(account: LenderAccount) -> str:
    """What `rotate_secret` sets."""
    return secret_value(account.seed, account.environment, "rotated", ROTATED)


DRIFT: dict[str, Callable[[LenderAccount, Sources], str]] = {
    "iam": widen_policy,
    "security_groups": open_group,
    "parameters": change_parameter,
    "secrets": rotate_secret,
}
"""Source → what goes wrong with it."""
