"""Programs that sources run: what they see, and that none of them stays."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.configuration.children import Program, inherited, program
from ledgerkeep.errors import ConfigurationError, WorkerError

PATIENCE = timedelta(minutes=1)


def shell(tmp_path: Path, script: str, patience: timedelta = PATIENCE) -> Program:
    path = tmp_path / "said"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return program(str(path), {"PATH": os.environ["PATH"], "SEEN": "yes"}, patience)


def test_a_program_sees_what_it_is_handed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN", "secret")
    said = shell(tmp_path, 'echo "$SEEN $MORE $HIDDEN $1"').run(
        "a b; c", directory=tmp_path, MORE="1"
    )
    assert (said.code, said.output) == (0, "yes 1  a b; c\n")


def test_a_program_reads_no_input(tmp_path: Path) -> None:
    assert shell(tmp_path, "cat; echo end").run(directory=tmp_path).output == "end\n"


def test_what_a_program_says_last_is_told_in_one_line(tmp_path: Path) -> None:
    said = shell(tmp_path, "echo first >&2; echo second >&2; exit 3").run(directory=tmp_path)
    assert (said.code, said.errors) == (3, "first second")


def test_a_stream_that_fails_says_why(tmp_path: Path) -> None:
    failing = shell(tmp_path, "echo some; echo 'no room' >&2; exit 1")
    with pytest.raises(ConfigurationError) as caught:
        list(failing.stream(directory=tmp_path, what="bundle it"))
    assert caught.value.message == "said could not bundle it: no room"
    assert caught.value.hint == "look at what it says; nothing was stored"


def test_a_stream_that_nobody_reads_on_is_ended(tmp_path: Path) -> None:
    stream = shell(tmp_path, f"echo $$ > {tmp_path}/pid; yes").stream(directory=tmp_path, what="x")
    next(stream)
    child = int((tmp_path / "pid").read_text())
    assert Path(f"/proc/{child}").exists()
    stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stream_that_takes_too_long_is_ended_and_told(tmp_path: Path) -> None:
    waiting = shell(tmp_path, "echo some; sleep 1000", timedelta(seconds=1))
    with pytest.raises(ConfigurationError) as caught:
        list(waiting.stream("bundle", directory=tmp_path, what="bundle it"))
    assert caught.value.message == "said bundle took longer than 1s and was ended"


def test_a_program_that_is_not_there_is_the_workers_fault() -> None:
    with pytest.raises(WorkerError) as caught:
        program("no-such-program", {}, PATIENCE)
    assert caught.value.message == "no-such-program is not on this worker's PATH"


def test_only_named_variables_are_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "1")
    monkeypatch.setenv("TWO", "2")
    assert inherited(["ONE", "THREE"]) == {"ONE": "1"}
