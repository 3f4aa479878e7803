"""Incremental on which backup, or full, and why: the decision before a backup is streamed.

An incremental backup is right only if the server knows every block that changed since its parent.
Whatever leaves a doubt makes it a full backup: that is never wrong, only larger, and the record
says why. One case goes further than the server does: after a switch of timelines it would take an
incremental, but minor releases up to late 2026 could leave changed blocks out of it.

Pure: what the server and the catalog say comes in as records.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledgerkeep.catalog.chain import by_id, chain_of, is_whole
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup
from ledgerkeep.database.postgres.description import ServerDescription
from ledgerkeep.database.postgres.wal_summaries import WalSummaries
from ledgerkeep.errors import DatabaseError
from ledgerkeep.policy.model import IncrementalBackup

FIRST_VERSION = 17
"""The first major version that takes incremental backups."""


@dataclass(frozen=True)
class Increment:
    """An incremental backup on that parent."""

    parent: BaseBackup


@dataclass(frozen=True)
class Full:
    """A full backup instead of an incremental one."""

    because: str


def decide(
    server: ServerDescription,
    backups: Sequence[BaseBackup],
    summaries: WalSummaries | None,
    policy: IncrementalBackup,
) -> Increment | Full:
    """What to take when an incremental backup is asked for.

    :param backups: the catalog's backups of this cluster.
    :param summaries: None on a server that makes none.
    :raises DatabaseError: the server is too old, and the policy says to refuse then.
    """
    if summaries is None or server.major < FIRST_VERSION:
        return _too_old(server, policy)
    known = by_id(backups)
    parent = choose_parent(backups)
    if parent is None:
        return Full("there is no backup to build on yet")
    because = _other_line(server, parent) or _unlike(server, parent)
    because = because or _too_long(chain_of(parent, known), policy)
    because = because or _not_summarized(summaries, parent) or _other_past(summaries, parent)
    return Full(because) if because else Increment(parent)


def choose_parent(backups: Sequence[BaseBackup]) -> BaseBackup | None:
    """The newest backup that an incremental one may build on, or None.

    One from before a deployment is none: it goes when the deployment is verified, and must not be
    held back by what was built on it.
    """
    known = by_id(backups)
    possible = [one for one in backups if one.deployment is None and is_whole(one, known)]
    return max(possible, key=lambda backup: backup.stopped_at, default=None)


def _too_old(server: ServerDescription, policy: IncrementalBackup) -> Full:
    if policy.before_17 == "refuse":
        raise DatabaseError(
            f"the server is PostgreSQL {server.major}, which takes no incremental backups, "
            "and the policy refuses a full one in their place",
            hint=f"upgrade to PostgreSQL {FIRST_VERSION} or later, or set "
            "database.incremental_backup.before_17: full",
        )
    return Full(f"PostgreSQL {server.major} takes no incremental backups")


def _other_line(server: ServerDescription, parent: BaseBackup) -> str:
    """A failover, or a restored copy that is the database now."""
    if parent.timeline != server.timeline:
        return (
            f"the server is on timeline {server.timeline}, backup {parent.id} "
            f"on timeline {parent.timeline}"
        )
    if server.lsn < parent.stop_lsn:
        return (
            f"the server stands at {format_lsn(server.lsn)}, "
            f"before the end of backup {parent.id} at {format_lsn(parent.stop_lsn)}"
        )
    return ""


def _unlike(server: ServerDescription, parent: BaseBackup) -> str:
    """Combining does not write page checksums anew, nor heal a damaged page."""
    if parent.data_checksums != server.data_checksums:
        now = "on" if server.data_checksums else "off"
        return f"data checksums were switched {now} since backup {parent.id}"
    if parent.page_checksum_failures:
        return f"the server found wrong page checksums in backup {parent.id}"
    return ""


def _too_long(chain: Sequence[BaseBackup], policy: IncrementalBackup) -> str:
    if len(chain) > policy.longest_chain:
        return f"the chain of {chain[0].id} has its {policy.longest_chain} incremental backups"
    return ""


def _not_summarized(summaries: WalSummaries, parent: BaseBackup) -> str:
    if not summaries.enabled:
        return "the server does not summarize its WAL (summarize_wal is off)"
    gap = summaries.gap_since(parent.timeline, parent.start_lsn)
    if gap is None:
        return ""
    start, end = gap
    return (
        f"the server has no WAL summary from {format_lsn(start)} to {format_lsn(end)}, "
        f"after the start of backup {parent.id} (it keeps them for {summaries.keep_time})"
    )


def _other_past(summaries: WalSummaries, parent: BaseBackup) -> str:
    """A disk that was set back to an earlier snapshot, and has written other WAL since then.

    Neither system identifier nor timeline tell, and an increment would mix the two histories.
    """
    if summaries.knows_start(parent.timeline, parent.start_lsn):
        return ""
    return (
        f"backup {parent.id} is not in this server's past: no checkpoint began at "
        f"{format_lsn(parent.start_lsn)}; was its disk set back to an earlier state?"
    )
