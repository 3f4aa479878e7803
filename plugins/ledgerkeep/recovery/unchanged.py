"""The files of an incremental backup that say no more than that nothing changed.

Every relation of the cluster has one in every incremental, and most say nothing: twelve bytes, the
same in very many. Making a file takes the file system several steps, and a second name for a file
only one; so of those with the same content one is made, and the others are links to it. Nobody
writes to them: they are read once, when the chain is combined, and removed.
"""

import os

from ledgerkeep.database.postgres.programs import Account

INCREMENTAL = "INCREMENTAL."
"""What the name of an incremental file begins with."""

ONLY_A_HEADER = 12
"""Bytes of an incremental file in which nothing changed (PostgreSQL: basebackup_incremental.c)."""


def is_incremental(path: str) -> bool:
    """Whether a file of a backup is an incremental one."""
    return path.rpartition("/")[2].startswith(INCREMENTAL)


def is_unchanged(path: str, size: int) -> bool:
    """Whether a file of a backup is one of these."""
    return size == ONLY_A_HEADER and is_incremental(path)


class UnchangedFiles:
    """Those of one archive."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._made: dict[tuple[bytes, int], str] = {}

    def make(self, path: str, content: bytes, mode: int) -> None:
        """Make one of them.

        :raises OSError: the file system is full, or refuses.
        """
        same = self._made.get((content, mode))
        if same is None or not _linked(same, path):
            self._create(path, content, mode)
            self._made[content, mode] = path

    def _create(self, path: str, content: bytes, mode: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            os.write(descriptor, content)
            if self._account.is_other:
                os.fchown(descriptor, self._account.uid, self._account.gid)
        finally:
            os.close(descriptor)


def _linked(same: str, path: str) -> bool:
    """Give a file a second name; not where it has too many, or the file system knows no links."""
    try:
        os.link(same, path)
    except OSError:
        return False
    return True
