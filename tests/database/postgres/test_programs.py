"""Which PostgreSQL programs a worker uses, where it has those of several major versions."""

import os
import subprocess
from pathlib import Path

import pytest

from ledgerkeep.database.postgres.programs import Account, find_programs, server_account
from ledgerkeep.errors import WorkerError
from ledgerkeep.worker import WorkerSettings, worker_settings


def installed(home: Path, version: str) -> Path:
    """A directory with a `postgres` that says that it is of that version."""
    directory = home / version / "bin"
    directory.mkdir(parents=True)
    program = directory / "postgres"
    program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    program.chmod(0o755)
    return directory


def test_major_version_decides_which_directory_is_used(tmp_path: Path) -> None:
    sixteen, eighteen = installed(tmp_path, "16.15"), installed(tmp_path, "18.6")
    settings = WorkerSettings(postgres_programs=(sixteen, eighteen))
    assert find_programs(settings, 16).directory == sixteen
    assert find_programs(settings, 18).directory == eighteen
    assert find_programs(settings).directory == sixteen


def test_directories_are_written_like_those_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = (tmp_path / "15", tmp_path / "17")
    monkeypatch.setenv("LEDGERKEEP_POSTGRES_PROGRAMS", os.pathsep.join(map(str, wanted)))
    assert worker_settings().postgres_programs == wanted
    monkeypatch.setenv("LEDGERKEEP_POSTGRES_PROGRAMS", str(tmp_path))
    assert worker_settings().postgres_programs == (tmp_path,)


def test_version_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    sixteen, eighteen = installed(tmp_path, "16.15"), installed(tmp_path, "18.6")
    with pytest.raises(WorkerError) as refused:
        find_programs(WorkerSettings(postgres_programs=(sixteen, eighteen)), 17)
    assert refused.value.message == (
        f"this worker has no programs of PostgreSQL 17 (it has 16 in {sixteen}, 18 in {eighteen})"
    )
    assert refused.value.hint == (
        "install the server package of that major version on the worker, or add its bin directory "
        "to LEDGERKEEP_POSTGRES_PROGRAMS"
    )


def test_incomplete_package_is_said(tmp_path: Path) -> None:
    directory = installed(tmp_path, "18.6")
    programs = find_programs(WorkerSettings(postgres_programs=(directory,)))
    with pytest.raises(WorkerError) as refused:
        programs.path("pg_amcheck")
    assert refused.value.message == f"pg_amcheck is not in {directory}"


def test_command_under_our_own_account_is_the_command_itself() -> None:
    assert Account("us", os.geteuid(), os.getegid()).command(["id", "-u"]) == ["id", "-u"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands under another account")
def test_command_under_another_account_has_nothing_of_roots() -> None:
    command = Account("other", 54321, 54322).command(["cat", "/proc/self/status"])
    # Ours has a group more, which it must not keep.
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, extra_groups=[54323]
    ).stdout
    status = dict(line.split(":", 1) for line in said.splitlines())
    assert status["Uid"].split() == ["54321"] * 4
    assert status["Gid"].split() == ["54322"] * 4
    assert status["Groups"].split() == []
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


def test_root_that_cannot_become_another_account_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkerError) as refused:
        server_account(WorkerSettings())
    assert refused.value.message == (
        "PostgreSQL does not run as root, and this worker has no setpriv to run it under another "
        "account"
    )
    assert refused.value.hint == (
        "install util-linux, or run the worker under an account of its own"
    )
