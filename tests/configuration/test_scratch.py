"""Directories of a moment: gone with who made them, killed or not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledgerkeep.configuration.scratch import Scratch

_LEFT = (
    "from ledgerkeep.configuration.scratch import Scratch; s = Scratch(); import os; os._exit(9)"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_nobody_elses_and_goes_when_nobody_holds_it(place: Path) -> None:
    scratch = Scratch()
    assert scratch.path.stat().st_mode & 0o077 == 0
    (scratch.path / "file").write_text("x")
    del scratch
    assert list(place.iterdir()) == []


def test_it_goes_with_its_block_and_may_be_removed_twice(place: Path) -> None:
    scratch = Scratch()
    with scratch as path:
        assert path.exists()
    scratch.remove()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_is_not(
    place: Path,
) -> None:
    living = Scratch()
    subprocess.run(
        [sys.executable, "-c", _LEFT],
        env={**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert len(list(place.iterdir())) == 2
    mine = Scratch()
    assert set(place.iterdir()) == {living.path, mine.path}
