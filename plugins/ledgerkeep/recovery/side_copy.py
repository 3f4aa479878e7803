"""A restored copy beside production, to read from: this run's own, or one that was handed over.

A copy that was handed over belongs to a person. It is read if its server runs, and otherwise left
alone, with the command that starts it.

Public: `open_side_copy(…)` yields the address of its superuser; `find_handed_over(directory, …)`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import DatabaseUnavailable, RecoveryError
from ledgerkeep.recovery.handover import Handover
from ledgerkeep.recovery.replay import open_copy
from ledgerkeep.recovery.room import Room
from ledgerkeep.worker import WorkerSettings


def find_handed_over(directory: Path, system_identifier: str) -> Room:
    """The room of a copy of that cluster which was handed over.

    :raises RestoreFailed: there is no copy.
    :raises RecoveryError: it was not handed over, or is another cluster's.
    """
    room = Room.open(directory)
    if Handover.find(room) is None:
        raise RecoveryError(
            f"the copy in {directory} was not handed over: another run may work on it",
            hint="wait for that recovery to end, or restore a copy of its own: leave the field "
            "empty",
        )
    if room.record.plan.system_identifier != system_identifier:
        raise RecoveryError(
            f"the copy in {directory} is one of the cluster {room.record.plan.system_identifier}, "
            f"not of {system_identifier}",
            hint="name the directory of a copy of this environment's database",
        )
    return room


@contextmanager
def open_side_copy(
    catalog: Catalog, directory: Path, *, settings: WorkerSettings
) -> Iterator[ServerAddress]:
    """The address of a copy for a block.

    :param directory: of its room.
    :raises DatabaseUnavailable: it was handed over and does not run.
    """
    room = Room.open(directory)
    handover = Handover.find(room)
    if handover is None:
        with open_copy(catalog, room, settings=settings) as copy:
            yield copy.address
        return
    address = ServerAddress(host=handover.socket_directory, port=handover.port, user=handover.user)
    try:
        connect(address).close()
    except DatabaseUnavailable as problem:
        raise RecoveryError(
            f"the copy in {directory} was handed over and does not run",
            hint=handover.describe()[0],
        ) from problem
    yield address
