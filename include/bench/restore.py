"""Restores, each until the server accepts connections.

Ours twice: as a recovery, which must survive a power cut, and as a test's copy, which need not.
pgBackRest's copies are always flushed to the disk.
"""

import json
import shutil
import time
from pathlib import Path

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
    for run in range(runs):
        room = made.place.rooms / f"bench-{run}"
        lasting.append(_restore_with_ours(made, room, "recovery", log))
        disposable.append(_restore_with_ours(made, room, "test", log))
        if peer is not None:
            theirs.append(_restore_with(peer, made, log))
    rows = [(what, middle(lasting)), ("the same for a test, not flushed", middle(disposable))]
    if not theirs:
        return [(words, f"{mine.seconds:.1f} s", "", "") for words, mine in rows]
    return [compared(f"{words} / pgBackRest", mine, middle(theirs)) for words, mine in rows]


def _restore_with_ours(made: Stage, room: Path, purpose: Purpose, log: Path) -> Measured:
    measured = made.ours(log, "restore", str(room), purpose)
    shutil.rmtree(room)
    said = log.read_text().splitlines()[-1]
    return Measured(json.loads(said)["ready_seconds"], measured.peak_mb)


def _restore_with(peer: PgBackRest, made: Stage, log: Path) -> Measured:
    target = made.place.servers / "theirs"
    target.mkdir(mode=0o700)
    made.place.account.own(target)
    sockets = made.place.servers / "t"
    sockets.mkdir(mode=0o700, exist_ok=True)
    made.place.account.own(sockets)
    settle()
    started = time.monotonic()
    try:
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
    finally:
        shutil.rmtree(target, ignore_errors=True)
    return Measured(seconds, restored.peak_mb)
