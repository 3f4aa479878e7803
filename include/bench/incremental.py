"""Incremental backups after one row in every 100th block of the table was changed.

Ours against pgBackRest's with block maps in its full backup too, as its manual advises, in a
repository of its own, so that the rows of full backups stay as they are. Both back up the same
change: first one, then the other, in turns. What is stored is counted in the buckets; ours has the
WAL in it that makes the backup consistent, pgBackRest's lies in its archive and is not counted.
"""

from pathlib import Path

from include.bench.measure import Measured, middle
from include.bench.peers import STANZA, PgBackRest
from include.bench.stage import Stage
from ledgerkeep.catalog import keys
from ledgerkeep.progress import format_bytes

Row = tuple[str, str, str, str]

_EVERY = 100
_CHANGE = (
    "UPDATE noise SET payload = reverse(payload) WHERE ctid = ANY (ARRAY("
    "SELECT format('(%s,%s)', block, {line})::tid "
    "FROM generate_series(0, pg_relation_size('noise') / 8192 - 1, {every}) block))"
)


def incremental_rows(made: Stage, peer: PgBackRest | None, runs: int, log: Path) -> list[Row]:
    """The rows of the table.

    :param peer: None where there is no pgBackRest.
    """
    rival = with_block_maps(made, log) if peer is not None else None
    mine, theirs = [], []
    _take(made, "backup", log)
    for run in range(runs):
        change_some_blocks(made, line=run + 1)
        if rival is not None and run % 2:
            theirs.append(_theirs(made, rival, log))
        mine.append(_take(made, "incremental", log))
        if rival is not None and not run % 2:
            theirs.append(_theirs(made, rival, log))
    return _rows(mine, theirs)


def _rows(mine: list[tuple[Measured, int]], theirs: list[tuple[Measured, int]]) -> list[Row]:
    time, stored = "incremental, 1 % of the blocks changed / pgBackRest", "its stored bytes"
    seconds, size = _middle(mine)
    if not theirs:
        return [(time, f"{seconds:.1f} s", "", ""), (stored, format_bytes(size), "", "")]
    other, other_size = _middle(theirs)
    return [
        (time, f"{seconds:.1f} s", f"{other:.1f} s", f"{seconds / other:.2f}"),
        (stored, format_bytes(size), format_bytes(other_size), f"{size / other_size:.2f} of bytes"),
    ]


def _middle(taken: list[tuple[Measured, int]]) -> tuple[float, int]:
    seconds = middle([measured for measured, _ in taken]).seconds
    return seconds, sorted(size for _, size in taken)[len(taken) // 2]


def _take(made: Stage, operation: str, log: Path) -> tuple[Measured, int]:
    """One backup of ours, recorded so that the next builds on it, and what it added."""
    prefix = keys.databases("production")
    before = made.store.stored_bytes(made.bucket, prefix)
    measured = made.ours(log, operation)
    size = made.store.stored_bytes(made.bucket, prefix) - before
    made.ours(log, "record")
    return measured, size


def change_some_blocks(made: Stage, *, line: int) -> None:
    """Change one row in every 100th block of the table.

    :param line: which row of a block; one that was changed before is elsewhere by now.
    """
    made.execute(_CHANGE.format(line=line, every=_EVERY))


def with_block_maps(made: Stage, log: Path, *, repository: str = "blocks") -> PgBackRest:
    """A pgBackRest with a repository of its own, a full backup in it, and WAL archived there."""
    rival = PgBackRest(made, repository=repository, block_maps=True)
    rival.run("stanza-create", log=log)
    made.execute(f"ALTER SYSTEM SET archive_command = '{rival.archive_command()}'")
    made.execute("SELECT pg_reload_conf()")
    rival.run("backup", "--type=full", log=log)
    return rival


def _theirs(made: Stage, rival: PgBackRest, log: Path) -> tuple[Measured, int]:
    prefix = f"blocks/backup/{STANZA}/"
    before = made.store.stored_bytes("pgbackrest", prefix)
    measured = rival.run("backup", "--type=incr", log=log)
    return measured, made.store.stored_bytes("pgbackrest", prefix) - before
