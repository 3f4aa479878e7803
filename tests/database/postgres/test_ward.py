"""The ward of a child process: what is left of both when it has ended."""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from include.sandbox.place import Place
from ledgerkeep.database.postgres.ward import Ward


@pytest.mark.integration
def test_nothing_of_a_ward_that_ended_holds_an_inherited_lock(place: Place) -> None:
    """Or the room of a failed restore could not be removed at once; tried often, since it raced."""
    directory = place.servers
    lock = directory / "ward.lock"
    lock.touch()
    try:
        for _ in range(100):
            with lock.open("rb") as held, (directory / "ward.out").open("ab") as output:
                fcntl.flock(held, fcntl.LOCK_EX)
                ward = _run(["/bin/false"], place, directory, held.fileno(), output)
            assert ward.process.returncode == 1
            with lock.open("rb") as again:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        lock.unlink()
        (directory / "ward.out").unlink(missing_ok=True)


def _run(command: list[str], place: Place, directory: Path, lock: int, output: BinaryIO) -> Ward:
    inherited = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, 10)
    try:
        ward = Ward.start(
            command,
            place.account,
            directory=directory,
            output=output,
            ending="KILL",
            inherited=[inherited],
        )
    finally:
        os.close(inherited)
    assert ward.ended_within(10)
    ward.end()
    return ward
