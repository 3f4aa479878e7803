"""What a newcomer types works, or says what is missing."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def make(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_make_alone_lists_the_targets() -> None:
    said = make(ROOT).stdout
    for target in (
        "install",
        "demo",
        "demo-documents",
        "demo-configuration",
        "up",
        "down",
        "test",
        "lint",
        "bench",
        "clean",
    ):
        assert f"make {target} " in said


def test_an_old_python_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old-python"
    old.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "sys.version_info, sys.version = (3, 9, 1), '3.9.1 (main)'\n"
        "exec(sys.argv[2])\n"
    )
    old.chmod(0o755)
    done = make(tmp_path, "install", "PYTHON=./old-python")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == (
        "Ledgerkeep needs Python 3.11 or newer, and ./old-python is 3.9.1. "
        "Name another one: make install PYTHON=python3.12"
    )
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_lint_and_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == ["make lint", "make test"]
