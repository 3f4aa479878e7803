"""What follows from the sandbox's seed: the lender's secrets, and the keys of its KMS.

The same name gives the same value as long as the sandbox is the same one, so an account that was
stocked anew holds what it held before, and nothing of it has to be remembered.
"""

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64encode

_SECRETS_BYTES = 24


def secret_value(seed: str, *name: str) -> str:
    """32 characters that tell nothing about the seed."""
    return urlsafe_b64encode(_bytes(seed, "secret", *name)[:_SECRETS_BYTES]).decode()


def key_id(seed: str, *name: str) -> str:
    """Of a KMS key."""
    return str(uuid.UUID(bytes=_bytes(seed, "key id", *name)[:16], version=4))


def key_material(seed: str, *name: str) -> bytes:
    """Of a KMS key: 32 bytes."""
    return _bytes(seed, "key material", *name)


def _bytes(seed: str, *name: str) -> bytes:
    return hmac.new(seed.encode(), "\0".join(name).encode(), hashlib.sha256).digest()
