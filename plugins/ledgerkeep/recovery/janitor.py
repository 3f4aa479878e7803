"""Removes restored copies that nobody needs any more, and what killed runs left.

A room that somebody works in is never removed: its lock says so, and the lock dies with whoever
held it. A server that still runs in an unheld room has lost its keeper and is ended.

Public: `remove_old_rooms(rooms, *, keep, now) -> list[RemovedRoom]`.
"""

from datetime import datetime, timedelta
from pathlib import Path

from ledgerkeep.errors import OperationRunning
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.recovery.room import Room


class RemovedRoom(Record):
    """A room that is gone."""

    directory: str
    run: str
    created_at: UtcDatetime


def remove_old_rooms(rooms: Path, *, keep: timedelta, now: datetime) -> list[RemovedRoom]:
    """Remove the test copies below `rooms` that are older than `keep`; a recovery is never one.

    :param keep: the policy's `restore_tests.keep_copies`.
    """
    removed = []
    for directory in sorted(rooms.iterdir()) if rooms.exists() else []:
        room = Room.find(directory)
        if room is None or room.record.purpose != "test":
            continue
        if now - room.record.created_at < keep:
            continue
        try:
            room.remove()
        except OperationRunning:
            # Somebody uses it, however old it is; the next sweep looks again.
            continue
        removed.append(
            RemovedRoom(
                directory=str(directory), run=room.record.run, created_at=room.record.created_at
            )
        )
    return removed
