"""The PostgreSQL programs of this worker, and the account their servers run under.

Nothing is installed on the database host; this worker needs the programs of the same major
version to bring a restored copy up. A worker that restores several clusters may have several
versions side by side, and the backup decides which are used. `postgres` refuses to run as root, so
when the worker is root its servers run under an unprivileged account, and everything that account
must reach (programs, data, sockets) has to lie where it may enter.
"""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledgerkeep.errors import WorkerError
from ledgerkeep.worker import WorkerSettings

_BECOME = "setpriv"
_INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")


@dataclass(frozen=True)
class Account:
    """Whose processes and files the servers are."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether this is not the account we run under."""
        return self.uid != os.geteuid()

    def command(self, command: Sequence[str]) -> list[str]:
        """What to run so that a command runs under this account.

        `subprocess` itself would have to copy this process for a change of account, which takes
        as long as this process is large: 57 ms where it has 600 MB, 1 ms otherwise.
        (util-linux: setpriv(1), which replaces itself by the command.)
        """
        if not self.is_other:
            return list(command)
        become = [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        return [_BECOME, *become, "--", *command]

    def own(self, path: Path) -> None:
        """Give a file or directory to this account."""
        if self.is_other:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, directory: Path) -> bool:
        """Whether this account may pass through every directory down to `directory`."""
        return all(self._may_pass(step) for step in (directory, *directory.parents))

    def _may_pass(self, directory: Path) -> bool:
        try:
            status = directory.stat()
        except FileNotFoundError:
            return True
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        if status.st_gid == self.gid:
            return bool(status.st_mode & 0o010)
        return bool(status.st_mode & 0o001)


def server_account(settings: WorkerSettings) -> Account:
    """The account PostgreSQL servers run under: ours, unless we are root.

    :raises WorkerError: root, and neither the configured account nor a usual one exists, or
        nothing that runs a program under it.
    """
    if os.geteuid() != 0:
        us = pwd.getpwuid(os.geteuid())
        return Account(us.pw_name, us.pw_uid, us.pw_gid)
    if shutil.which(_BECOME) is None:
        raise WorkerError(
            f"PostgreSQL does not run as root, and this worker has no {_BECOME} to run it "
            "under another account",
            hint="install util-linux, or run the worker under an account of its own",
        )
    wanted = [settings.server_account] if settings.server_account else ["postgres", "nobody"]
    for name in wanted:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise WorkerError(
        f"PostgreSQL does not run as root, and this worker has no account {' or '.join(wanted)}",
        hint="create an unprivileged account and name it in LEDGERKEEP_SERVER_ACCOUNT",
    )


@dataclass(frozen=True)
class Programs:
    """A directory of PostgreSQL programs of one major version."""

    directory: Path
    major: int

    def path(self, name: str) -> str:
        """The full path of a program.

        :raises WorkerError: when it is not there.
        """
        path = self.directory / name
        if not path.exists():
            raise WorkerError(
                f"{name} is not in {self.directory}",
                hint="install the complete PostgreSQL server package on this worker, "
                "or point LEDGERKEEP_POSTGRES_PROGRAMS at one",
            )
        return str(path)


def find_programs(settings: WorkerSettings, major: int | None = None) -> Programs:
    """The PostgreSQL programs of this worker, of that major version.

    Looked for in the directories of LEDGERKEEP_POSTGRES_PROGRAMS, and where it is not set in the
    usual places of packages and the PATH. Without a major version the first ones found.

    :raises WorkerError: there are none of that version.
    """
    seen = []
    for directory in _candidates(settings):
        found = _major_of(directory)
        if found is None:
            continue
        if major is None or found == major:
            return Programs(directory, found)
        seen.append(f"{found} in {directory}")
    wanted = f"PostgreSQL {major}" if major else "PostgreSQL"
    raise WorkerError(
        f"this worker has no programs of {wanted}"
        + (f" (it has {', '.join(seen)})" if seen else ""),
        hint="install the server package of that major version on the worker, "
        "or add its bin directory to LEDGERKEEP_POSTGRES_PROGRAMS",
    )


def _candidates(settings: WorkerSettings) -> Iterator[Path]:
    if settings.postgres_programs:
        yield from settings.postgres_programs
        return
    for pattern in _INSTALLED:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _major_of(directory: Path) -> int | None:
    program = directory / "postgres"
    if not program.exists():
        return None
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, timeout=30
    ).stdout
    found = re.search(r"(\d+)(?:\.\d+|devel|beta|rc)", said)
    return int(found[1]) if found else None
