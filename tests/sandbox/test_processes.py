"""Servers outlive the command that started them, and none is left when they are ended."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from include.sandbox import processes
from include.sandbox.processes import Daemon, ServerFailed

SLEEP = "import time; time.sleep(60)"
PATH = {"PATH": os.environ["PATH"]}


def start(home: Path, *command: str, **more: str) -> Daemon:
    return processes.start(
        command, home=home, log=home / "x.log", directory=home, environment={**PATH, **more}
    )


def ids(home: Path, *known: Daemon) -> set[int]:
    return {process.pid for process in processes.leftovers(home, home / "servers", known)}


def test_a_daemon_is_known_by_its_start_not_by_its_id_alone(tmp_path: Path) -> None:
    daemon = start(tmp_path, sys.executable, "-c", SLEEP)
    assert daemon.process is not None
    assert Daemon(pid=daemon.pid, started=daemon.started - 100).process is None
    processes.end([daemon.process], first=signal.SIGTERM, grace=10)
    assert daemon.process is None


def test_what_a_server_left_behind_is_found_by_the_mark(tmp_path: Path) -> None:
    orphan = (
        "import subprocess, sys;"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
    )
    daemon = start(tmp_path, sys.executable, "-c", orphan, SLEEP)
    psutil.wait_procs([psutil.Process(daemon.pid)], timeout=20)
    [left] = processes.leftovers(tmp_path, tmp_path / "servers", [])
    assert left.pid != daemon.pid
    processes.end([left], first=signal.SIGTERM, grace=10)
    assert ids(tmp_path) == set()


def test_what_lost_its_mark_is_found_by_its_session(tmp_path: Path) -> None:
    again = "import os, sys; os.execve(sys.executable, [sys.executable, '-c', sys.argv[1]], {})"
    daemon = start(tmp_path, sys.executable, "-c", again, SLEEP)
    processes.wait_until(
        lambda: processes.MARK not in psutil.Process(daemon.pid).environ(),
        daemon,
        name="x",
        log=tmp_path / "x.log",
        timeout=20,
    )
    assert ids(tmp_path) == set()
    assert ids(tmp_path, daemon) == {daemon.pid}
    assert daemon.process is not None
    processes.end([daemon.process], first=signal.SIGTERM, grace=10)


def test_another_sandbox_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    theirs = start(tmp_path / "theirs", sys.executable, "-c", SLEEP)
    assert ids(tmp_path / "ours") == set()
    assert ids(tmp_path / "theirs") == {theirs.pid}
    assert theirs.process is not None
    processes.end([theirs.process], first=signal.SIGTERM, grace=10)


def test_who_only_looks_at_a_server_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "servers" / "database.log"
    log.parent.mkdir()
    log.touch()
    with subprocess.Popen(["tail", "-f", str(log)], stdout=subprocess.DEVNULL) as reader:
        assert ids(tmp_path) == set()
        reader.terminate()


def test_a_process_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"print('deaf', flush=True); {SLEEP}"
    )
    daemon = start(tmp_path, sys.executable, "-c", deaf)
    log = tmp_path / "x.log"
    processes.wait_until(lambda: "deaf" in log.read_text(), daemon, name="x", log=log, timeout=20)
    assert daemon.process is not None
    processes.end([daemon.process], first=signal.SIGTERM, grace=0.2)
    assert daemon.process is None


def test_a_server_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    daemon = start(tmp_path, sys.executable, "-c", "raise SystemExit('no disk')")
    log = tmp_path / "x.log"
    with pytest.raises(ServerFailed) as caught:
        processes.wait_until(lambda: False, daemon, name="the store", log=log, timeout=20)
    assert str(caught.value) == "the store ended before it answered"
    assert caught.value.end_of_log == "no disk"


def test_a_server_that_does_not_answer_is_reported(tmp_path: Path) -> None:
    daemon = start(tmp_path, sys.executable, "-c", SLEEP)
    with pytest.raises(ServerFailed) as caught:
        processes.wait_until(
            lambda: False, daemon, name="the store", log=tmp_path / "x.log", timeout=0
        )
    assert str(caught.value) == "the store did not answer within 0 s"
    assert daemon.process is not None
    processes.end([daemon.process], first=signal.SIGTERM, grace=10)


def test_a_server_inherits_no_account_and_no_other_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_PROFILE",
        "AIRFLOW_HOME",
        "PGHOST",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "LEDGERKEEP_ROOMS",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SSL_CERT_FILE", "/ca")
    inherited = processes.inherited_environment()
    assert "x" not in inherited.values()
    assert inherited["SSL_CERT_FILE"] == "/ca"


def test_end_of_the_log_is_told_although_the_log_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    problem = ServerFailed("SeaweedFS", log, "ended before it answered")
    log.unlink()
    assert problem.end_of_log.splitlines() == [f"line {number}" for number in range(75, 100)]
    assert problem.__notes__ == [f"the end of {log}:\n{problem.end_of_log}"]
    assert ServerFailed("SeaweedFS", log, "ended").end_of_log == "(no log)"
