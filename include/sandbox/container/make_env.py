"""Write `.sandbox/compose.env`, the secrets of a composed sandbox, if it is not there yet.

Needs nothing but Python: who has only Docker has no virtual environment of ours. Secrets are made
once. The databases keep the passwords that they were made with, so a file that exists is never
replaced; to start over, remove the volumes first (`docker compose … down --volumes`).
"""

import base64
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
        "SANDBOX_AIRFLOW_ADMIN": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_APPROVER": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_VIEWER": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_TOKENS": secrets.token_urlsafe(72),
        "SANDBOX_AIRFLOW_SESSIONS": secrets.token_urlsafe(24),
        "SANDBOX_AIRFLOW_FERNET": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }


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
