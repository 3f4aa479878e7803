"""The key that secrets are marked with: made once per environment, stored only sealed.

Without it nobody can try out which value a mark stands for. If it is lost, marks of old and new
versions can no longer be compared, and everything that holds a secret looks changed once; so it is
never replaced silently.
"""

import secrets

from ledgerkeep.catalog import keys
from ledgerkeep.configuration.sealing import Sealer
from ledgerkeep.errors import ObjectConflict
from ledgerkeep.policy.model import Policy
from ledgerkeep.storage.port import ObjectStore

_WHAT = "the key of the secrets' marks"
_SEALED_WITH = "sealed-with"
"""Metadata: ARN of the KMS key. The policy may name another one by now."""


def hash_key(store: ObjectStore, policy: Policy, sealer: Sealer) -> bytes:
    """The environment's key; made and stored where there is none yet. 32 bytes.

    :raises SealBroken: it is there and cannot be opened.
    :raises StorageError, AwsRefused, AwsUnavailable:
    """
    key = keys.configuration_hash_key(policy.environment)
    context = {"environment": policy.environment, "purpose": "marks of secrets"}
    found = store.head(key)
    if found is None:
        made = sealer.seal(secrets.token_bytes(32), context)
        try:
            store.put(key, made, metadata={_SEALED_WITH: sealer.key_arn})
        except ObjectConflict:  # the task of another source was first
            found = store.head(key)
        else:
            return sealer.open(made, context, key_arn=sealer.key_arn, what=_WHAT)
    sealed_with = found.metadata[_SEALED_WITH] if found else sealer.key_arn
    return sealer.open(store.get(key), context, key_arn=sealed_with, what=_WHAT)
