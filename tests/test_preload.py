"""What a process imports of Ledgerkeep before it forks: everything, and nothing is begun."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

SCRIPT = """
import json, sys
import psutil
from tests.support import airflow_home
from ledgerkeep.preload import preload

preload()
after = set(sys.modules)
from ledgerkeep.storage.session import open_session

read = []
import botocore.loaders
load = botocore.loaders.JSONFileLoader.load_file
botocore.loaders.JSONFileLoader.load_file = lambda self, path: read.append(path) or load(self, path)
for service in ("s3", "cloudwatch"):
    open_session("key", "secret", region="eu-central-1").client(service)
read = [path for path in read if not path.endswith("sdk-extras")]
print(json.dumps(sorted(name for name in after if name.partition(".")[0] == "ledgerkeep")))
print(psutil.Process().num_threads(), read)
"""


def _after_preload() -> tuple[set[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin"},
    )
    modules, state = done.stdout.strip().splitlines()[-2:]
    return set(json.loads(modules)), state


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT / "plugins").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_all_but_console_and_command_line_are_imported_and_s3_is_described() -> None:
    modules, state = _after_preload()
    ours = {_module(path) for path in (ROOT / "plugins" / "ledgerkeep").rglob("*.py")}
    elsewhere = {
        name for name in ours if name.startswith(("ledgerkeep.console.", "ledgerkeep.cli."))
    }
    assert elsewhere
    assert modules == ours - elsewhere
    assert state == "1 []", "threads of the process, descriptions read again"
