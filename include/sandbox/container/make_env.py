"""Write `.sandbox/compose.env`, the secrets of a composed sandbox, if it is not there yet.

Needs nothing but Python: who has only Docker has no virtual environment of ours. Secrets are made
once. The databases keep the passwords that they were made with, so a file that exists is never
replaced; to start over, remove the volumes first (`docker compose … down --volumes`).
"""

import base64
import math
import os
import secrets
from pathlib import Path

ENV_FILE = Path(__file__).resolve().parents[3] / ".sandbox" / "compose.env"


def new_secrets() -> dict[str, str]:
    """A value for each secret that the compose file asks for.

    The alphabets need no quoting, neither in this file nor in the addresses they become part of.
    """
    return {
        "SANDBOX_DATABASE_PASSWORD": secrets.token_urlsafe(24),
        "SANDBOX_METADATA_PASSWORD": secrets.token_urlsafe(24),
        "SANDBOX_STORE_KEY": secrets.token_hex(10),
        "SANDBOX_STORE_SECRET": secrets.token_urlsafe(24),
        "SANDBOX_VAULT_KEY": secrets.token_hex(10),
        "SANDBOX_VAULT_SECRET": secrets.token_urlsafe(24),
        "SANDBOX_STORE_ADMIN_SECRET": secrets.token_urlsafe(24),
        "SANDBOX_STORE_ENCRYPTION_KEY": secrets.token_hex(32),
        "SANDBOX_ACCOUNT_SEED": secrets.token_urlsafe(24),
        "SANDBOX_SAAS_SECRET": secrets.token_urlsafe(24),
        "SANDBOX_DOCUSIGN_KEY": base64.b64encode(rsa_key()).decode(),
        "SANDBOX_AIRFLOW_ADMIN": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_APPROVER": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_VIEWER": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_TOKENS": secrets.token_urlsafe(72),
        "SANDBOX_AIRFLOW_SESSIONS": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_FERNET": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


def rsa_key(bits: int = 2048) -> bytes:
    """A private key as PKCS #1 has it (RFC 8017, A.1.2), for a stand-in: nobody's secrets."""
    public = 65537
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        order = (p - 1) * (q - 1)
        if p != q and order % public:
            break
    private = pow(public, -1, order)
    exponents = (private % (p - 1), private % (q - 1), pow(q, -1, p))
    return _der(0x30, b"".join(map(_integer, (0, p * q, public, private, p, q, *exponents))))


_SMALL = math.prod(range(3, 2000, 2))
"""Every odd prime below 2000 divides it: what shares a factor with it needs no costlier test."""


def _prime(bits: int) -> int:
    while True:
        # The two highest bits, so that the product of two has all of its bits.
        found = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if math.gcd(found, _SMALL) == 1 and _is_prime(found):
            return found


def _is_prime(number: int, rounds: int = 24) -> bool:
    """Miller and Rabin's test."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(rounds):
        power = pow(2 + secrets.randbelow(number - 4), odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _integer(number: int) -> bytes:
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def write(path: Path) -> bool:
    """Make the file, for its owner only; False when there is one, which is left alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{name}={value}\n" for name, value in new_secrets().items())
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(lines)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        return False
    finally:
        unfinished.unlink()
    return True


if __name__ == "__main__":
    print(f"{ENV_FILE} {'was made' if write(ENV_FILE) else 'is there already and stays as it is'}")
