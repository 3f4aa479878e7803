"""The backups of a chain, each written to a directory of its own, from where they are combined.

Each is checked against its own manifest, as a full backup is. Two are under way at a time: the
incrementals are many and small, and would otherwise wait for the store one after the other, while
the full backup at the head of the chain keeps one of the two busy for most of the time. When one
fails, the other is given up too.

Of the WAL that each brings only the last one's is needed; that of the others is checked and not
written.

Public: `extract_chain(...)`.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait

from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.programs import Account
from ledgerkeep.errors import ObjectCorrupt
from ledgerkeep.progress import Progress
from ledgerkeep.recovery.extract import Extracted, extract_backup
from ledgerkeep.recovery.room import Room
from ledgerkeep.storage.port import ObjectStore

_AT_ONCE = 2


def extract_chain(
    store: ObjectStore,
    chain: Sequence[BaseBackup],
    room: Room,
    account: Account,
    progress: Progress,
    *,
    lasting: bool,
) -> Extracted:
    """Write every backup of a chain into the room.

    :param chain: from the full backup to the last incremental.
    :param lasting: see `extract_backup`.
    :raises ObjectCorrupt, RestoreFailed: see `extract_backup`; the backup is named.
    """
    together = _Together(progress, sum(backup.raw_bytes for backup in chain))

    def extract(backup: BaseBackup) -> Extracted:
        destination = room.member(backup.id)
        destination.make(account)
        try:
            return extract_backup(
                store,
                backup,
                destination,
                account,
                together.part(),
                lasting=lasting,
                with_wal=backup is chain[-1],
            )
        except ObjectCorrupt as problem:
            raise ObjectCorrupt(
                f"backup {backup.id} of the chain of {chain[-1].id}: {problem.message}",
                hint=problem.hint,
            ) from problem

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="extract") as workers:
        futures = [workers.submit(extract, backup) for backup in chain]
        try:
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            parts = [future.result() for future in ended]
        finally:
            together.give_up()
            for future in futures:
                future.cancel()
    return Extracted(
        sum(part.files for part in parts),
        sum(part.raw_bytes for part in parts),
        [path for part in parts for path in part.changed],
    )


class _Together:
    """Progress of several backups, told as that of the whole; and the way to end them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._given_up = False

    def part(self) -> Progress:
        """Progress of one backup.

        :raises CancelledError: nobody waits for it any more.
        """
        before = 0

        def told(done: int, total: int | None, what: str) -> None:
            nonlocal before
            with self._lock:
                if self._given_up:
                    raise CancelledError
                self._done += done - before
                before = done
                self._progress(self._done, self._total, what)

        return told

    def give_up(self) -> None:
        """End whatever is still under way, at its next piece; those that have ended do not mind."""
        self._given_up = True
