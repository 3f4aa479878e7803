"""A chain of one full backup and six incrementals, restored as one.

Between two backups one row in every 100th block changes, as in the rows of the incrementals, so
nothing is left that all seven could share: each file of the large table must be put together.
pgBackRest has a repository of its own, with block maps, and the same changes in it.
"""

from pathlib import Path

from include.bench.incremental import change_some_blocks, with_block_maps
from include.bench.measure import Row
from include.bench.restore import restore_rows
from include.bench.stage import Stage

_INCREMENTALS = 6


def chain_rows(made: Stage, against_peer: bool, runs: int, log: Path) -> list[Row]:
    """The rows of the table.

    :param against_peer: whether there is a pgBackRest.
    """
    rival = with_block_maps(made, log, repository="chain") if against_peer else None
    made.ours(log, "backup")
    made.ours(log, "record")
    for number in range(1, _INCREMENTALS + 1):
        change_some_blocks(made, line=runs + number)
        made.ours(log, "incremental")
        made.ours(log, "record")
        if rival is not None:
            rival.run("backup", "--type=incr", log=log)
    what = f"restore of 1 full and {_INCREMENTALS} incremental backups"
    return restore_rows(made, rival, runs, log, what)
