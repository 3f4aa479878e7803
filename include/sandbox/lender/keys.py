"""The KMS keys of an environment's account: what Ledgerkeep seals with, and the lender's own.

The server makes them, see `include.sandbox.aws_server`: they outlive a restart of it.
"""

from include.sandbox.lender.account import LenderAccount
from ledgerkeep.policy.model import Policy


def data_key(environment: str) -> str:
    """Alias of the key that the lender's data are encrypted with."""
    return f"alias/loan-management-{environment}"


def kms_keys(policy: Policy) -> dict[str, str]:
    """Alias → description."""
    name = policy.environment
    keys = {data_key(name): f"data of the loan system in {name}"}
    documents = policy.documents and policy.documents.encryption
    if documents and documents.key_id and documents.key_id.startswith("alias/"):
        keys[documents.key_id] = f"documents of the loan system in {name}"
    if policy.configuration is not None:
        sealing = policy.configuration.sealing_key
        keys[sealing] = f"seals the secrets in backups of {name}'s configuration"
    return keys


def stock(account: LenderAccount) -> None:
    """Let the lender's key be rotated every year."""
    account.client("kms").enable_key_rotation(KeyId=_id(account))


def _id(account: LenderAccount) -> str:
    found = account.client("kms").describe_key(KeyId=data_key(account.environment))
    key: str = found["KeyMetadata"]["KeyId"]
    return key
