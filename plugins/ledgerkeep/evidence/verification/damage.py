"""What a damaged or missing object takes with it, in words.

That a segment is damaged says little to who has to act. What counts is which backups cannot be
restored any more, or no further than to which moment, and from which backup on all is well again.

Pure: no I/O.
"""

from collections.abc import Collection
from dataclasses import replace

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.chain import descendants
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup, WalStretch
from ledgerkeep.evidence.report.words import moment
from ledgerkeep.evidence.verification.inventory import Unreadable
from ledgerkeep.recovery.reach import Reach, reaches
from ledgerkeep.recovery.wal_index import WalIndex

_NAMED = 5


def lost_backup(backup: BaseBackup, problem: str, snapshot: CatalogSnapshot) -> str:
    """A backup of which an object is damaged or gone."""
    return (
        f"backup {backup.id} of {moment(backup.stopped_at)} cannot be restored: {problem}; "
        f"{_built_on(backup.id, snapshot)}"
    )


def lost_segments(
    stretch: WalStretch,
    damaged: Collection[str],
    problem: str,
    snapshot: CatalogSnapshot,
    wal: WalIndex,
) -> str:
    """A stretch of which segments are damaged or gone.

    :param damaged: their names; :param problem: what is wrong with the first.
    """
    count = f"{len(damaged)} segments" if len(damaged) > 1 else "a segment"
    return (
        f"WAL stretch {stretch.id} has lost {count}, first {min(damaged)}: {problem}; "
        f"{_unreachable(stretch, damaged, snapshot, wal)}"
    )


def lost_record(lost: Unreadable, snapshot: CatalogSnapshot) -> str:
    """A record that cannot be read: what it describes does not exist for a recovery."""
    words = f"the record of {lost.name} cannot be read: {lost.problem}"
    built = descendants(lost.name, snapshot.backups)
    return f"{words}; {_built_on(lost.name, snapshot)}" if built else words


def gone_record(backup_id: str, trace: str, snapshot: CatalogSnapshot) -> str:
    """A backup that was complete and has no record any more.

    :param trace: what says that it was complete.
    """
    return (
        f"backup {backup_id} cannot be restored: its record is gone, but {trace}; put the record "
        f"back (an earlier version of the object may be there); {_built_on(backup_id, snapshot)}"
    )


def _built_on(backup_id: str, snapshot: CatalogSnapshot) -> str:
    lost = sorted(descendants(backup_id, snapshot.backups))
    if not lost:
        return "no other backup builds on it"
    verb = (
        "cannot be restored either, since they build"
        if len(lost) > 1
        else ("cannot be restored either, since it builds")
    )
    return f"{_listed(lost)} {verb} on it"


def _unreachable(
    stretch: WalStretch, damaged: Collection[str], snapshot: CatalogSnapshot, wal: WalIndex
) -> str:
    timeline = max(one.timeline for one in snapshot.stretches)
    if all(branch.timeline != stretch.timeline for branch in wal.lineage(timeline)):
        timeline = stretch.timeline  # of a history that was left
    left = {name: size for name, size in wal.segments.items() if name not in damaged}
    whole = {one.backup.id: one for one in reaches(snapshot, wal, timeline)}
    cut = reaches(snapshot, replace(wal, segments=left), timeline)
    # A segment that is no longer listed cuts the reach in both; then the walk ends inside it.
    short = [one for one in cut if one.end != whole[one.backup.id].end or _ends(one, damaged)]
    if not short:
        return "no backup that is kept needs it"
    after = [one.backup.id for one in cut if one.start.lsn > short[-1].end.lsn]
    again = f"; from {after[0]} on recovery goes past it" if after else ""
    return (
        f"from {_listed([one.backup.id for one in short])} nothing after "
        f"{format_lsn(short[-1].end.lsn)} ({moment(short[-1].end.at)}) can be reached{again}"
    )


def _ends(reach: Reach, damaged: Collection[str]) -> bool:
    following = list(reach.segments(reach.end_number, reach.end_number + 1))
    return bool(reach.blocked_by) and following[0] in damaged


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
