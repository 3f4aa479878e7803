"""Chains of base backups: a full one, and the incrementals that build on it one after the other.

An incremental without all of its ancestors is nothing. So whoever chooses, restores, copies or
removes backups thinks in chains, and asks here. Pure.
"""

from collections.abc import Iterable, Mapping

from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.errors import ChainBroken


def by_id(backups: Iterable[BaseBackup]) -> dict[str, BaseBackup]:
    """The backups by their ids."""
    return {backup.id: backup for backup in backups}


def chain_of(backup: BaseBackup, known: Mapping[str, BaseBackup]) -> list[BaseBackup]:
    """What must be there to restore a backup: from its full one to itself, in order.

    :raises ChainBroken: one of them is not known.
    """
    chain = [backup]
    while (parent_id := chain[-1].parent_id) is not None:
        parent = known.get(parent_id)
        if parent is None:
            raise ChainBroken(
                f"backup {backup.id} builds on {parent_id}, which is gone",
                hint="it cannot be restored; choose another backup, and take a new full one",
            )
        chain.append(parent)
    return chain[::-1]


def is_whole(backup: BaseBackup, known: Mapping[str, BaseBackup]) -> bool:
    """Whether everything that a backup builds on is known."""
    try:
        chain_of(backup, known)
    except ChainBroken:
        return False
    return True


def descendants(backup_id: str, backups: Iterable[BaseBackup]) -> set[str]:
    """Ids of all backups that cannot be restored without this one; not its own."""
    children: dict[str, list[str]] = {}
    for backup in backups:
        if backup.parent_id is not None:
            children.setdefault(backup.parent_id, []).append(backup.id)
    found: set[str] = set()
    waiting = [backup_id]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found
