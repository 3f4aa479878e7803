"""Restores, each until the server accepts connections.

Ours twice: as a recovery, which must survive a power cut, and as a test's copy, which need not.
pgBackRest's copies are always flushed to the disk.

A copy that was measured is emptied, and removed only at the end of the bench: ext4 without a
journal does not give the inode of a file that was removed in the last minutes to a new one, and
passes over every such inode for each file that is made. The next copies would pay for it.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.bench.measure import Measured, Row, compared, middle, settle
from include.bench.peers import PgBackRest
from include.bench.stage import Stage
from ledgerkeep.database.postgres.postmaster import Postmaster
from ledgerkeep.recovery.room import Purpose


def restore_rows(
    made: Stage, peer: PgBackRest | None, runs: int, log: Path, what: str
) -> list[Row]:
    """Restores of the newest backup that each has, in turns."""
    lasting, disposable, theirs = [], [], []
    made.ours(log, "newest")
    newest = _said(log)
    for _ in range(runs):
        lasting.append(_restore_with_ours(made, "recovery", newest, log))
        disposable.append(_restore_with_ours(made, "test", newest, log))
        if peer is not None:
            theirs.append(_restore_with(peer, made, log))
    rows = [(what, middle(lasting)), ("the same for a test, not flushed", middle(disposable))]
    if not theirs:
        return [(words, f"{mine.seconds:.1f} s", "", "") for words, mine in rows]
    return [compared(f"{words} / pgBackRest", mine, middle(theirs)) for words, mine in rows]


def _put_aside(made: Stage, copy: Path) -> None:
    graveyard = made.place.servers / "emptied"
    graveyard.mkdir(exist_ok=True)
    for folder, _, names in os.walk(copy):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.truncate(path, 0)
    copy.rename(graveyard / str(len(os.listdir(graveyard))))


def _said(log: Path) -> Any:
    """What the last operation of ours has printed at its end."""
    return json.loads(log.read_text().splitlines()[-1])


def _restore_with_ours(made: Stage, purpose: Purpose, newest: Sequence[str], log: Path) -> Measured:
    room = made.place.rooms / "bench"
    measured = made.ours(log, "restore", str(room), purpose, *newest)
    _put_aside(made, room)
    ready = measured.seconds - _said(log)["ready_since_seconds"]
    return Measured(ready, measured.peak_mb)


def _restore_with(peer: PgBackRest, made: Stage, log: Path) -> Measured:
    target = made.place.servers / "theirs"
    target.mkdir(mode=0o700)
    made.place.account.own(target)
    sockets = made.place.servers / "t"
    sockets.mkdir(mode=0o700, exist_ok=True)
    made.place.account.own(sockets)
    settle()
    started = time.monotonic()
    restored = peer.run("restore", f"--pg1-path={target}", "--type=immediate", log=log)
    server = Postmaster.start(
        made.place.programs,
        made.place.account,
        target,
        sockets=sockets,
        log=made.place.servers / "theirs.log",
        settings={"archive_mode": "off", "recovery_init_sync_method": "syncfs"},
    )
    try:
        server.wait_until_ready(timeout=600)
        seconds = time.monotonic() - started
    finally:
        server.stop(immediate=True)
    _put_aside(made, target)
    return Measured(seconds, restored.peak_mb)
