"""A sandbox of the test run's own: the same servers and the same Airflow as `make up` starts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from include.sandbox import environment, sandbox
from include.sandbox.sandbox import Sandbox
from tests.support.ground import make_ground


@pytest.fixture(scope="session")
def ours() -> Iterator[Sandbox]:
    """It is up, with a small loan database."""
    home = make_ground("lk-e-")
    made = Sandbox(home, _policies(home / "policies"))
    try:
        sandbox.up(made, size_mb=20)
        yield made
    finally:
        sandbox.clean(made)
        shutil.rmtree(home, ignore_errors=True)


def _policies(directory: Path) -> Path:
    """As they are shipped, but for what would take too long to be seen.

    Staging ships its WAL without end, and is soon sure of an outage; production's replica has
    seconds instead of an hour before a version counts as missing.
    """
    shutil.copytree(environment.POLICIES, directory)
    staging = directory / "staging.yaml"
    policy = yaml.safe_load(staging.read_text())
    policy["database"]["wal_shipping"] |= {
        "schedule": None,
        "continuous": {"interval": "5s", "switch_after": "2s"},
    }
    policy["documents"]["failover"]["watch"] |= {"schedule": None, "interval": "1s"}
    staging.write_text(yaml.safe_dump(policy))
    production = directory / "production.yaml"
    policy = yaml.safe_load(production.read_text())
    policy["alerts"]["replication_lag"] = "5s"
    production.write_text(yaml.safe_dump(policy))
    return directory
