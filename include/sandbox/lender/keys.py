"""The KMS keys of an environment's account: what Ledgerkeep seals with, and the lender's own."""

from ledgerkeep.policy.model import Policy


def kms_keys(policy: Policy) -> dict[str, str]:
    """Alias → description. The server makes them, see `include.sandbox.aws_server`."""
    name = policy.environment
    keys = {f"alias/loan-management-{name}": f"data of the loan system in {name}"}
    documents = policy.documents and policy.documents.encryption
    if documents and documents.key_id and documents.key_id.startswith("alias/"):
        keys[documents.key_id] = f"documents of the loan system in {name}"
    if policy.configuration is not None:
        sealing = policy.configuration.sealing_key
        keys[sealing] = f"seals the secrets in backups of {name}'s configuration"
    return keys
