"""The registration file: all that Airflow's loader sees, and it costs nothing."""

import json
import os
import subprocess
import sys

from tests.conftest import ROOT
from tests.support import airflow_home

_LOAD = """
import json, sys
import airflow.sdk
import airflow.plugins_manager
before = set(sys.modules)
plugins, errors = airflow.plugins_manager._get_plugins()
names = [plugin.name for plugin in plugins if type(plugin).__module__.startswith("ledgerkeep")]
new = sorted(set(sys.modules) - before)
stems = [name for name in ("ledgerkeep_plugin", "app", "model", "load", "s3") if name in new]
print(json.dumps([names, errors, stems, [name for name in new if name.startswith("fastapi")],
    [name for name in new if name.startswith("ledgerkeep.")]]))
"""


def load() -> list[object]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD],
        env={**os.environ, "PYTHONPATH": str(ROOT), "AIRFLOW_HOME": airflow_home.HOME},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_loader_sees_one_file_and_imports_no_web_framework() -> None:
    names, errors, stems, web, ours = load()
    assert names == ["ledgerkeep"]
    assert errors == {}
    assert stems == ["ledgerkeep_plugin"]
    assert web == []
    assert ours == []
