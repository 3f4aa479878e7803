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
print(sorted({{"airflow.timetables.trigger", "ledgerkeep.operators.wal"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("component", "imported"),
    [
        ("scheduler", "['airflow.timetables.trigger', 'ledgerkeep.operators.wal']"),
        ("dag-processor", "['airflow.timetables.trigger', 'ledgerkeep.operators.wal']"),
        ("api-server", "[]"),
    ],
)
def test_who_forks_imports_beforehand_what_its_forks_need(component: str, imported: str) -> None:
    path = os.pathsep.join([str(SETTINGS), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(component=component)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == imported
