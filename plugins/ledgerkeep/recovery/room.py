"""A room: the directory of one restored copy, with everything that belongs to it and nothing else.

    room.json      who made it, for what, from which plan
    data/          the data directory
    tablespaces/   one directory per tablespace, by its oid
    chain/         while a chain is restored: each of its backups, until they are combined
    sockets/       the Unix socket, the only way in (mode 0700)
    wal-spool/     WAL on its way into the server
    handover.json  once the copy was handed over to a person: nothing here touches it any more
    ledgerkeep.conf, pg_hba.conf, pg_ident.conf, fetch-wal, server.log

A room belongs to one run. Whoever works in it holds its lock, which dies with the process; the
server in it dies with the process too. So a room that nobody holds can always be removed.

Public: `Room.create(directory, record, account)`, `Room.open(directory)`, `room.held()`,
`room.remove()`, `RoomRecord`.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.errors import OperationRunning, RestoreFailed
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.recovery.plan import RecoveryPlan

Purpose = Literal["test", "recovery"]
_LONGEST_SOCKETS = 85
"""Bytes: a socket's path is at most 107 long and ends in /.s.PGSQL.5432.lock."""

_WARD_SECONDS = 10.0
"""How long a ward may take to end the server of a keeper that was killed."""


@dataclass(frozen=True)
class Destination:
    """Where the files of one backup go."""

    data: Path
    tablespaces: Path
    """One directory per tablespace, by its oid; the data directory links to them."""

    def make(self, account: Account) -> None:
        """Make the directories, for that account alone."""
        for part in (self.data, self.tablespaces):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.chmod(0o700)
            account.own(part)


class RoomRecord(Record):
    """Who made the room, and from what."""

    run: str
    """The Airflow run (`dag_id/run_id`) or `cli`."""
    purpose: Purpose
    """A test copy is disposable: it may lose everything in a power cut. A recovery may not."""
    created_at: UtcDatetime
    plan: RecoveryPlan
    server_settings: dict[str, str]
    """Settings a hot standby must not undercut, as on the source, and the libraries to load."""


class Room:
    """One restored copy's directory."""

    def __init__(self, directory: Path, record: RoomRecord) -> None:
        self.directory = directory
        self.record = record
        self.data = directory / "data"
        self.tablespaces = directory / "tablespaces"
        self.chain = directory / "chain"
        self.spool = directory / "wal-spool"
        self.log = directory / "server.log"
        self.configuration = directory / "ledgerkeep.conf"
        self.sockets = _sockets(directory)

    @classmethod
    def create(cls, directory: Path, record: RoomRecord, account: Account) -> "Room":
        """Make an empty room; the directory is absent or empty (see `preflight`)."""
        room = cls(directory, record)
        directory.parent.mkdir(parents=True, exist_ok=True)
        for part in (directory, room.spool):
            part.mkdir(mode=0o700, exist_ok=True)
            part.chmod(0o700)
            account.own(part)
        room.destination.make(account)
        (directory / "room.json").write_bytes(record.to_json())
        return room

    @classmethod
    def open(cls, directory: Path) -> "Room":
        """A room that was made before, perhaps by another process.

        :raises RestoreFailed: there is none.
        """
        room = cls.find(directory)
        if room is None:
            raise RestoreFailed(
                f"{directory} holds no restored copy",
                hint="it was removed, or made on another worker: all tasks of a restore must run "
                "on the worker that holds the copy, or on shared storage",
            )
        return room

    @classmethod
    def find(cls, directory: Path) -> "Room | None":
        """The room in that directory, if it is one."""
        try:
            return cls(directory, RoomRecord.from_json((directory / "room.json").read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    @property
    def destination(self) -> Destination:
        """Where the server's own files go."""
        return Destination(self.data, self.tablespaces)

    def member(self, backup_id: str) -> Destination:
        """Where one backup of a chain goes until it is combined with the others."""
        place = self.chain / backup_id
        return Destination(place / "data", place / "tablespaces")

    def remove_members(self) -> None:
        """Remove the backups of the chain: they are combined, and may share files with the copy."""
        shutil.rmtree(self.chain)

    @property
    def complete(self) -> bool:
        """Whether the whole backup is in place and made ours."""
        return (self.directory / "complete").exists()

    def mark_complete(self) -> None:
        """Note that the whole backup is in place and made ours."""
        (self.directory / "complete").touch()

    @property
    def promoted(self) -> bool:
        """Whether the copy has left recovery (the server then removes its signal file)."""
        return self.complete and not (self.data / "standby.signal").exists()

    @property
    def handover(self) -> Path:
        """Written when the copy was handed over: from then on it is no longer ours."""
        return self.directory / "handover.json"

    def make_sockets(self, account: Account) -> None:
        """The directory of the socket, which nobody else may enter.

        :raises RestoreFailed: somebody else owns its place.
        """
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        if self.sockets.stat().st_uid not in (os.geteuid(), account.uid):
            raise RestoreFailed(
                f"{self.sockets} belongs to somebody else",
                hint="remove it, or restore to a directory with a shorter path",
            )
        account.own(self.sockets)

    @contextmanager
    def held(self) -> Iterator[int]:
        """Hold the room for a block, without a server in it.

        Yields the lock, an open file: a child that keeps it holds the room as well, until it ends.

        :raises OperationRunning: another process does.
        :raises RestoreFailed: the copy was handed over; a server in it may be production by now.
        """
        with (self.directory / "room.json").open("rb") as record:
            try:
                fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OperationRunning(
                    f"another process works in {self.directory}",
                    hint="wait for it to end, or restore to another directory",
                ) from None
            if self.handover.exists():
                raise RestoreFailed(
                    f"the copy in {self.directory} was handed over, and may be in use",
                    hint="restore to another directory; remove this one by hand when nobody "
                    "needs it",
                )
            self._end_server()
            yield record.fileno()

    def remove(self) -> None:
        """Stop a server that was left behind and remove everything; idempotent.

        :raises OperationRunning: another process works in it.
        :raises RestoreFailed: the copy was handed over.
        """
        if not self.directory.exists():
            return
        with self.held():
            shutil.rmtree(self.sockets, ignore_errors=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    def _end_server(self) -> None:
        """End a server whose keeper was killed: its ward is about to, so it is given a moment."""
        deadline = time.monotonic() + _WARD_SECONDS
        while (pid := self.server_pid()) is not None:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def server_pid(self) -> int | None:
        """The process id of a server on this room's data, None when none runs."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        # The file outlives its server, and process ids are used again: the command line tells.
        return pid if os.fsencode(self.data) in _command_line(pid) else None


def _command_line(pid: int) -> bytes:
    """The command line of a process, empty when there is none."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return b""
    listing = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(listing, capture_output=True, check=False).stdout


def _sockets(directory: Path) -> Path:
    inside = directory / "sockets"
    if len(os.fsencode(inside)) <= _LONGEST_SOCKETS:
        return inside
    tag = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path("/tmp") / f"ledgerkeep-{tag}"  # noqa: S108 - mode 0700, and its owner is checked
