"""A sandbox of the test run's own: the same servers and the same Airflow as `make up` starts."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.sandbox import sandbox
from include.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session")
def ours() -> Iterator[Sandbox]:
    """It is up, with a small loan database."""
    home = Path(tempfile.mkdtemp(prefix="lk-e-", dir="/var/tmp"))
    home.chmod(0o755)
    made = Sandbox(home)
    try:
        sandbox.up(made, size_mb=20)
        yield made
    finally:
        sandbox.clean(made)
        shutil.rmtree(home, ignore_errors=True)
