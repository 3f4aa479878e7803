"""A child process that cannot outlive us, whatever we die of.

Between this process and the child stands a *ward*, a ten-line shell script that waits on a pipe
whose other end only we hold. When we end, by whatever way, SIGKILL included, the kernel closes the
pipe and the ward ends the child. So a killed worker leaves no orphan, on any Unix, without polling.

The ward is a shell script because it runs under the servers' account, which may not be able to
reach our Python interpreter. Nothing in it comes from a parameter: the signal and the command are
its arguments. It waits for its own watcher, too: when it has ended, nothing of it holds a file or a
lock any more.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ledgerkeep.database.postgres.programs import Account

_SCRIPT = """
exec 3<&0 </dev/null
ending=$1
shift
"$@" 3<&- &
child=$!
( read -r _ <&3; kill -s "$ending" "$child" 2>/dev/null ) &
watch=$!
exec 3<&-
wait "$child"
status=$?
kill "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
exit "$status"
"""
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class Ward:
    """A running child and the hold on it; it ends when the hold is let go."""

    def __init__(self, process: "subprocess.Popen[bytes]", hold: int) -> None:
        self.process = process
        self._hold: int | None = hold

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        account: Account,
        *,
        directory: Path,
        output: BinaryIO,
        ending: str = "QUIT",
        inherited: Sequence[int] = (),
    ) -> "Ward":
        """Start a command under the account, in a session of its own.

        :param output: takes what it prints, on both of its streams.
        :param ending: name of the signal that ends it when we are gone.
        :param inherited: open files that it keeps too; numbers from 10 on, for the script uses
            the lower ones.
        """
        theirs, ours = os.pipe()
        try:
            process = subprocess.Popen(
                account.command(["/bin/sh", "-c", _SCRIPT, "ward", ending, *command]),
                stdin=theirs,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,
                env=_ENVIRONMENT,
                pass_fds=inherited,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self.process.poll() is None

    def ended_within(self, seconds: float) -> bool:
        """Wait for the child to end by itself."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def let_go(self) -> None:
        """Let the ward end the child; idempotent, and returns at once."""
        # Taken out first: a descriptor that is closed twice may be somebody else's by then.
        hold, self._hold = self._hold, None
        if hold is not None:
            os.close(hold)

    def end(self, *, patience: float = 10) -> None:
        """Let go of the child and wait until it and the ward are gone; idempotent.

        :param patience: seconds after which both are killed.
        """
        self.let_go()
        if not self.ended_within(patience):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
