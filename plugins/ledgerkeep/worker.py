"""What belongs to the worker and not to the policy: where programs, rooms and policies lie.

A policy says what must be true of the protected system wherever it is operated from. Where this
machine keeps its PostgreSQL programs, or has room for a restored copy, is the machine's own
affair: environment variables `LEDGERKEEP_…`, declared here and nowhere else.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_REPOSITORY = Path(__file__).resolve().parents[2]


def _directories(given: object) -> object:
    """A list of directories as the PATH writes it: `/a/bin:/b/bin`."""
    if isinstance(given, str):
        return [part for part in given.split(os.pathsep) if part]
    return [given] if isinstance(given, Path) else given


Directories = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_directories)]


class WorkerSettings(BaseSettings):
    """Settings of this worker, each from the environment variable `LEDGERKEEP_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="LEDGERKEEP_", frozen=True)

    policies: Path = Field(
        default=_REPOSITORY / "include" / "policies",
        description="Directory of the policy files.",
    )
    expectations: Path = Field(
        default=_REPOSITORY / "include" / "expectations",
        description="Directory of the Great Expectations suites.",
    )
    report_templates: Path = Field(
        default=_REPOSITORY / "include" / "reports",
        description="Directory of the report templates.",
    )
    sql: Path = Field(
        default=_REPOSITORY / "include" / "sql",
        description="Directory of the application's checks (`checks`) and key queries (`queries`).",
    )
    runbooks: Path = Field(
        default=_REPOSITORY / "include" / "runbooks",
        description="Directory of the runbook templates.",
    )
    registers: Path = Field(
        default=_REPOSITORY / "include" / "registers",
        description="Directory of the registers of manual settings.",
    )
    postgres_programs: Directories = Field(
        default=(),
        description="Directories with postgres, pg_ctl, pg_amcheck …, one per major version, "
        "separated like those of the PATH; searched for when not set.",
    )
    rooms: Path = Field(
        default=Path("/var/tmp/ledgerkeep/rooms"),  # noqa: S108 - a default an operator changes
        description="Directory below which restored copies are placed, one directory each.",
    )
    server_account: str | None = Field(
        default=None,
        description="Account for PostgreSQL servers when the worker runs as root.",
    )
    store_encryption: Literal["policy", "AES256", "none"] = Field(
        default="policy",
        description="Server-side encryption where the store lacks KMS (S3-compatible stores).",
    )
    store_patience: float = Field(
        default=120.0,
        ge=0,
        description="Seconds for which a busy or absent object store is waited for.",
    )


def worker_settings() -> WorkerSettings:
    """Read the settings from the environment, afresh at each call."""
    return WorkerSettings()
