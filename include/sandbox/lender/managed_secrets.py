"""The lender's secrets in Secrets Manager: one as JSON, which is escaped, and one as text."""

import json

from include.sandbox.lender.account import TAGS, LenderAccount
from include.sandbox.lender.seed import secret_value
from ledgerkeep.policy.configuration_sources import SecretsManager


def secrets(account: LenderAccount) -> dict[str, str]:
    """Name, without the policy's prefix → what Secrets Manager holds."""
    return {
        "database": json.dumps(
            {
                "username": "loans",
                "password": passwords(account)["database"],
                "host": "database.internal",
                "port": 5432,
            }
        ),
        "credit-bureau-api-key": passwords(account)["credit-bureau-api-key"],
    }


def passwords(account: LenderAccount) -> dict[str, str]:
    """Name → the part of it that is secret."""
    names = ("database", "credit-bureau-api-key")
    return {name: secret_value(account.seed, account.environment, name) for name in names}


def stock(account: LenderAccount, wanted: SecretsManager, key: str) -> None:
    """Make the secrets below the first prefix that the policy names.

    :param key: alias of the KMS key.
    """
    client, prefix = account.client("secretsmanager"), wanted.prefixes[0]
    there = {
        one["Name"]
        for page in client.get_paginator("list_secrets").paginate()
        for one in page["SecretList"]
    }
    for name, value in secrets(account).items():
        if f"{prefix}{name}" not in there:
            client.create_secret(
                Name=f"{prefix}{name}",
                Description=f"{name} of the loan system",
                KmsKeyId=key,
                SecretString=value,
                Tags=TAGS,
            )
