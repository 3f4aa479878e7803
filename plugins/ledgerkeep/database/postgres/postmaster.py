"""A PostgreSQL server as our child: it lives as long as we hold it, and dies with us.

A ward stands between this process and the postmaster (see `ward`): a killed worker leaves no
orphaned server.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg import pq

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.database.postgres.programs import Account, Programs
from ledgerkeep.database.postgres.ward import Ward
from ledgerkeep.errors import RestoreFailed


class Postmaster:
    """A running server of ours.

    Started by `Postmaster.start`, or for a block by `running`. The data directory decides
    nothing here: ports, sockets and settings are given on the command line as `-c` settings,
    so they win over every file in it.
    """

    def __init__(
        self,
        ward: Ward,
        log: Path,
        data: Path,
        address: ServerAddress,
    ) -> None:
        self._ward = ward
        self.log = log
        self.data = data
        self.address = address

    @classmethod
    def start(
        cls,
        programs: Programs,
        account: Account,
        data: Path,
        *,
        sockets: Path,
        log: Path,
        port: int = 5432,
        listen: str = "",
        settings: Mapping[str, str] | None = None,
        user: str = "postgres",
    ) -> "Postmaster":
        """Start the server and return at once; `wait_until` follows it.

        :param sockets: directory of the Unix socket (its path must stay under 100 bytes).
        :param listen: `listen_addresses`; empty: reachable over the Unix socket only.
        :param settings: further server settings; never a secret, they are visible in argv.
        """
        options = {
            "listen_addresses": listen,
            "port": str(port),
            "unix_socket_directories": str(sockets),
            **(settings or {}),
        }
        command = [programs.path("postgres"), "-D", str(data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with log.open("ab") as output:
            account.own(log)
            ward = Ward.start(command, account, directory=data, output=output)
        address = ServerAddress(host=str(sockets), port=port, user=user)
        return cls(ward, log, data, address)

    @property
    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._ward.alive

    def answers(self) -> bool:
        """Whether it accepts connections (read-only ones included)."""
        status = pq.PGconn.ping(self.address.conninfo().encode())
        return status == pq.Ping.OK

    def wait_until_ready(self, *, timeout: float = 60) -> None:
        """Return when the server accepts connections.

        :raises RestoreFailed: it ended first, or the time (seconds) is over; with its log's tail.
        """
        deadline = time.monotonic() + timeout
        while not self.answers():
            if not self.alive or time.monotonic() > deadline:
                how = "ended at once" if not self.alive else f"is not ready after {timeout:.0f} s"
                raise RestoreFailed(
                    f"the server on {self.data} {how}; its last words: {self.last_words()}",
                    hint=f"the whole log is {self.log}",
                )
            time.sleep(0.05)

    def last_words(self, lines: int = 5) -> str:
        """The end of the server's log, on one line."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 8192))
                tail = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return "(no log)"
        return " | ".join(tail[-lines:])

    def stop(self, *, immediate: bool = False, timeout: float = 60) -> None:
        """Stop the server (fast shutdown, or immediate) and wait for it; idempotent."""
        if self.alive:
            pid = self._postmaster_pid()
            if pid is not None and not immediate:
                _signal(pid, signal.SIGINT)
                if self._ward.ended_within(timeout):
                    self._ward.let_go()
                    return
        self._ward.end()

    def _postmaster_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@contextmanager
def running(
    programs: Programs, account: Account, data: Path, *, timeout: float = 60, **how: object
) -> Iterator[Postmaster]:
    """A server for a block: ready at its start, stopped at its end."""
    server = Postmaster.start(programs, account, data, **how)  # type: ignore[arg-type]
    try:
        server.wait_until_ready(timeout=timeout)
        yield server
    finally:
        server.stop()


def init_cluster(programs: Programs, account: Account, data: Path, *arguments: str) -> None:
    """Make a new cluster in `data` (`initdb`), owned by the account, trusting its socket.

    :raises RestoreFailed: initdb said no.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    account.own(data)
    done = subprocess.run(
        account.command(
            [
                programs.path("initdb"),
                *("-D", str(data), "-U", "postgres", "-A", "trust", "-N"),
                *("-E", "UTF8", "--locale=C.UTF-8"),
                *arguments,
            ]
        ),
        capture_output=True,
        text=True,
        check=False,
        cwd=data,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    )
    if done.returncode != 0:
        raise RestoreFailed(
            f"initdb failed in {data}: {' '.join(done.stderr.split())}",
            hint="look at the permissions and the free space of that directory",
        )
