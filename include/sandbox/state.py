"""What a sandbox must remember between two commands: secrets, ports, and which servers it started.

It is one file that only its owner can read, replaced as a whole. Secrets are made once, when the
sandbox is; ports are kept as long as nobody else took them, so that addresses stay the same.
"""

import base64
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from include.sandbox.ports import free_ports, is_free
from include.sandbox.processes import Daemon


def _secret() -> str:
    return secrets.token_urlsafe(24)


def _rsa_key() -> str:
    """Base64 of the DER (PKCS #1): one line, as an environment variable can hold it."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoded = made.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return base64.b64encode(encoded).decode()


class Secrets(BaseModel):
    """Passwords and keys of one sandbox."""

    model_config = ConfigDict(frozen=True)

    database_password: str = Field(default_factory=_secret)
    metadata_password: str = Field(default_factory=_secret)
    store_key: str = Field(default_factory=lambda: secrets.token_hex(10))
    store_secret: str = Field(default_factory=_secret)
    vault_key: str = Field(default_factory=lambda: secrets.token_hex(10))
    vault_secret: str = Field(default_factory=_secret)
    store_admin_secret: str = Field(default_factory=_secret)
    account_seed: str = Field(default_factory=_secret)
    saas_secret: str = Field(default_factory=_secret)
    docusign_key: str = Field(default_factory=_rsa_key)
    airflow_admin: str = Field(default_factory=_secret)
    airflow_approver: str = Field(default_factory=_secret)
    airflow_viewer: str = Field(default_factory=_secret)
    # Airflow floods its logs with warnings about a key under 64 bytes.
    airflow_tokens: str = Field(default_factory=lambda: secrets.token_urlsafe(72))
    airflow_sessions: str = Field(default_factory=_secret)
    airflow_fernet: str = Field(
        default_factory=lambda: base64.urlsafe_b64encode(os.urandom(32)).decode()
    )


class Ports(BaseModel):
    """Ports on 127.0.0.1."""

    model_config = ConfigDict(frozen=True)

    database: int
    metadata: int
    store: int
    store_filer: int
    replica: int
    replica_filer: int
    aws: int
    saas: int
    airflow: int
    task_logs: int
    trigger_logs: int

    @model_validator(mode="before")
    @classmethod
    def _choose_what_is_new(cls, known: dict[str, int]) -> dict[str, int]:
        """A sandbox that was made before there was such a server gets a port for it."""
        missing = [name for name in cls.model_fields if name not in known]
        free = [port for port in free_ports(len(cls.model_fields)) if port not in known.values()]
        return {**known, **dict(zip(missing, free, strict=False))}

    @classmethod
    def choose(cls) -> "Ports":
        """Ports that are free now."""
        return cls.model_validate({})

    def all_free(self) -> bool:
        """Whether nobody listens on any of them."""
        return all(is_free(port) for port in self.model_dump().values())


class State(BaseModel):
    """Everything of one sandbox that is remembered."""

    secrets: Secrets = Field(default_factory=Secrets)
    ports: Ports = Field(default_factory=Ports.choose)
    servers: dict[str, Daemon] = {}
    replicates_backwards: bool = False
    """Whether documents flow from the replica to the primary, as after a failover."""

    @classmethod
    def load(cls, home: Path) -> "State":
        """The state of the sandbox in `home`; a new one when there is none yet."""
        try:
            return cls.model_validate_json(_file(home).read_text())
        except FileNotFoundError:
            return cls()

    def save(self, home: Path) -> None:
        """Remember it."""
        write_private(_file(home), self.model_dump_json(indent=1))

    @property
    def running(self) -> list[str]:
        """Names of the servers that run."""
        return [name for name, server in self.servers.items() if server.process]


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only we can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _file(home: Path) -> Path:
    return home / "state.json"
