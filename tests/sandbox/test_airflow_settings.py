"""What Airflow's processes in the sandbox import before they fork."""

import os
import subprocess
import sys

import pytest

from include.sandbox.environment import ROOT

SETTINGS = ROOT / "include" / "sandbox" / "airflow_settings"
SCRIPT = """
import sys
sys.argv = ["airflow", {component!r}]
import airflow_local_settings
found = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(found & {{"boto3", "croniter", "psycopg", "ledgerkeep", "great_expectations"}}))
"""


@pytest.mark.parametrize(
    ("component", "imported"),
    [
        ("scheduler", "['boto3', 'croniter', 'psycopg']"),
        ("dag-processor", "['boto3', 'croniter', 'psycopg']"),
        ("api-server", "[]"),
    ],
)
def test_only_who_forks_imports_other_peoples_libraries(component: str, imported: str) -> None:
    """Nothing of ours: it would stay as it was while somebody changes it."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(component=component)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SETTINGS)},
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == imported
