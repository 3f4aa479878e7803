"""A KMS key by its ARN: a bucket may name by that what the policy names by an alias."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


def key_arn(kms: Any, name: str) -> str | None:
    """The key's ARN; None: KMS does not tell, and the names alone have to do.

    :param kms: a client of the key's region.
    """
    try:
        arn: str = kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"]
    except (BotoCoreError, ClientError):
        # Without kms:DescribeKey a key that goes by two names shows as drift, which is seen.
        return None
    return arn
