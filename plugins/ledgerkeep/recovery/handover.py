"""A restored copy handed over to a person: out of recovery, stopped, ready to be started.

As long as a copy is in recovery it depends on our process, which feeds it WAL. Whoever restores by
hand wants a database that stands on its own: so recovery is ended at the target, the server is shut
down cleanly, and its configuration no longer names anything of ours. It still archives nothing and
listens on its own socket only: what it may replace is for a person to decide.
"""

import shlex

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.model import Record
from ledgerkeep.recovery.preflight import find_worker
from ledgerkeep.recovery.replay import open_copy, promote_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.recovery.settings import configure
from ledgerkeep.worker import WorkerSettings


class Handover(Record):
    """How to use a copy that was handed over."""

    account: str
    """Whose files they are, and who must start the server."""
    start: list[str]
    """The command that starts the server."""
    socket_directory: str
    """What clients name as their host."""

    def describe(self) -> list[str]:
        """The next steps, for people."""
        return [
            f"start it:      (as {self.account}) {shlex.join(self.start)}",
            f"reach it:      psql -h {shlex.quote(self.socket_directory)} -U postgres",
        ]


def hand_over(catalog: Catalog, room: Room, *, settings: WorkerSettings) -> Handover:
    """End the copy's recovery at its target and leave it stopped; repeatable.

    :raises RestoreFailed, RecoveryStopped: it did not come up, or could not be promoted.
    """
    worker = find_worker(settings, room.record.plan.major)
    if not room.promoted:
        with open_copy(catalog, room, settings=settings) as copy:
            promote_copy(copy)
    with room.held():
        room.make_sockets(worker.account)
        configure(room, {"unix_socket_directories": str(room.sockets)}, worker.account)
    return Handover(
        account=worker.account.name,
        start=[
            worker.programs.path("pg_ctl"),
            *("-D", str(room.data)),
            *("-o", f"-c config_file={shlex.quote(str(room.configuration))}"),
            *("-l", str(room.log)),
            "start",
        ],
        socket_directory=str(room.sockets),
    )
