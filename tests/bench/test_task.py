"""The process that forks for measured operations, asked for ones that cannot be carried out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.bench.measure import CommandFailed
from include.bench.task import TaskParent, task_parent


@pytest.fixture(scope="module")
def parent() -> Iterator[TaskParent]:
    with task_parent({**os.environ, "BENCH_STAGE": '{"sockets": "/nowhere", "port": 1}'}) as made:
        yield made


def test_operation_that_fails_is_told_with_what_it_said(parent: TaskParent, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        parent.measure(tmp_path / "log", "sing")

    assert str(caught.value).startswith("sing …\nTraceback")
    assert str(caught.value).endswith("KeyError: 'sing'\n")


def test_next_operation_begins_anew_after_one_that_failed(
    parent: TaskParent, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        with pytest.raises(CommandFailed, match=f"KeyError: '{name}'"):
            parent.measure(tmp_path / name, name)

    assert "first" not in (tmp_path / "second").read_text()


def test_parent_that_cannot_begin_is_told(tmp_path: Path) -> None:
    # Without its PYTHONPATH, nothing of ours can be imported.
    with (
        pytest.raises(CommandFailed, match="has ended"),
        task_parent({"PYTHONSAFEPATH": "1", "PYTHONPATH": str(tmp_path)}),
    ):
        pass
