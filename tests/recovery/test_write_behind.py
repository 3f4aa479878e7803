import os

import pytest

from ledgerkeep.recovery import write_behind
from ledgerkeep.recovery.write_behind import STEP, WriteBehind


@pytest.fixture
def flushed(monkeypatch):
    """Files that were flushed, by their inode."""
    inodes: list[int] = []
    fsync = os.fsync

    def noted(descriptor):
        inodes.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(write_behind.os, "fsync", noted)
    return inodes


def test_a_file_is_flushed_though_its_writer_closed_it_at_once(tmp_path, flushed):
    with WriteBehind() as behind, (tmp_path / "big").open("wb") as file:
        file.write(b"x")
        file.flush()
        behind.wrote(file.fileno(), STEP)

    assert flushed == [(tmp_path / "big").stat().st_ino]


def test_small_pieces_wait_until_they_are_worth_a_flush(tmp_path, flushed):
    with WriteBehind() as behind, (tmp_path / "small").open("wb") as file:
        behind.wrote(file.fileno(), STEP - 1)
        assert flushed == []
        behind.wrote(file.fileno(), 1)

    assert len(flushed) == 1


def test_a_disposable_copy_is_not_flushed(tmp_path, flushed):
    with WriteBehind(None) as behind, (tmp_path / "big").open("wb") as file:
        behind.wrote(file.fileno(), 10 * STEP)

    assert flushed == []


def test_a_disk_that_refuses_is_told(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(write_behind.os, "fsync", refuse)
    with (
        pytest.raises(OSError, match="Input/output error"),
        WriteBehind() as behind,
        (tmp_path / "file").open("wb") as file,
    ):
        behind.wrote(file.fileno(), STEP)


def test_no_descriptor_stays_open(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with (tmp_path / "file").open("wb") as file, WriteBehind() as behind:
        for _ in range(5):
            behind.wrote(file.fileno(), STEP)

    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before
