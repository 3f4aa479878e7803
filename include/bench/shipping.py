"""Rows of WAL shipping: how fast a backlog is shipped, and what streaming keeps up with.

A backlog is the same WAL for all: ours over the slot to the store, pg_receivewal to the local disk,
and pgBackRest's asynchronous archive-push to the same store. Streaming is measured beside pgbench,
which writes as fast as it can on the same cores: its clients do not even wait for the disk. Its own
transactions are small, and the clients' processor time bounds them; inserts in bulk are bounded by
what the server can write.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from include.bench.measure import Measured, Row, measure
from include.bench.peers import PgBackRest, pg_receivewal
from include.bench.stage import Stage

_SEGMENT = 16_777_216
_CLIENTS = 4
_RUN = ("-c", str(_CLIENTS), "-j", "2")
_SCALE = 20
_ROW = " || ".join("md5(random()::text)" for _ in range(8))
_BULK_ROWS = 90
_WARM_SECONDS = 3.0
_LOOK_SECONDS = 0.2
_SLOT = "pg_replication_slots WHERE slot_name LIKE 'ledgerkeep%'"


def shipping_rows(made: Stage, peer: PgBackRest | None, segments: int, log: Path) -> list[Row]:
    """A backlog of about that many segments."""
    if peer is not None:
        made.execute("ALTER SYSTEM SET archive_command = '/bin/false'")
        made.execute("SELECT pg_reload_conf()")
    made.execute("SELECT pg_create_physical_replication_slot('peer', true)")
    made.ours(log, "ship")
    before = _position(made)
    _write_wal(made, segments)
    end = made.execute("SELECT pg_current_wal_lsn()")[0][0]
    count = (_position(made) - before) / _SEGMENT
    ours = made.ours(log, "ship")
    theirs = pg_receivewal(made, "peer", end, log)
    made.execute("SELECT pg_drop_replication_slot('peer')")
    rows = [_rate("WAL to the store / pg_receivewal to disk", ours, theirs, count)]
    if peer is not None:
        pushed = _push(peer, made)
        what = "WAL to the store / pgBackRest archive-push, async"
        rows.insert(0, _rate(what, ours, pushed, count))
    return rows


def streaming_rows(made: Stage, seconds: int, log: Path) -> list[Row]:
    """WAL that pgbench writes for some seconds, streamed meanwhile."""
    _pgbench(made, log, "-i", "-s", str(_SCALE), "-q")
    made.execute("CREATE TABLE bulk (content text)")
    script = made.home / "bulk.sql"
    script.write_text(f"INSERT INTO bulk SELECT {_ROW} FROM generate_series(1, {_BULK_ROWS});\n")
    own = _stream(made, seconds, log, _RUN)
    bulk = _stream(made, seconds, log, [*_RUN, "-n", "-f", str(script)])
    told = own.told
    return [
        own.row(f"WAL streamed while {_CLIENTS} pgbench clients write"),
        bulk.row("the same, each statement inserting 25 kB"),
        (
            "all of it durable after the last commit",
            f"{own.behind:.1f} s, bulk {bulk.behind:.1f} s",
            "",
            "",
        ),
        (
            "from commit to durable: half, 95 %, all",
            f"{told['p50_seconds']:.1f}, {told['p95_seconds']:.1f}, {told['max_seconds']:.1f} s",
            f"segment switched after {told['switch_after']:.0f} s",
            "",
        ),
    ]


@dataclass(frozen=True)
class _Streamed:
    """What one run kept up with; bytes a second, measured while the clients wrote."""

    written: float
    stored: float | None
    """None: too few segments to tell a rate."""
    behind: float
    """Seconds from the last commit until all of it was durable."""
    told: dict[str, float]
    """What the run said about itself."""

    def row(self, what: str) -> Row:
        """As the table shows it; the last figure is 1 when shipping keeps up."""
        written = f"{self.written / 1e6:.1f} MB/s written"
        if self.stored is None:
            return what, f"all stored {self.behind:.1f} s after the last", written, ""
        stored = f"{self.stored / 1e6:.1f} MB/s, {self.stored / _SEGMENT:.1f} segments/s stored"
        return what, stored, written, f"{self.written / self.stored:.2f}"


def _stream(made: Stage, seconds: int, log: Path, arguments: Sequence[str]) -> _Streamed:
    made.ours(log, "ship")
    with log.open("ab") as output, ThreadPoolExecutor(1) as beside:
        run = subprocess.Popen(
            [sys.executable, "-m", "include.bench.ours", "stream", f"{seconds + 15}s"],
            stdout=subprocess.PIPE,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=made.environment(),
            text=True,
        )
        try:
            _wait(made, "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
            writing = beside.submit(_pgbench, made, log, *arguments, "-T", str(seconds))
            begun, rates = _position(made), _rates(made, writing)
            spent = writing.result().seconds
            end, behind = _position(made), time.monotonic()
            _wait(made, f"SELECT 1 FROM {_SLOT} AND restart_lsn - '0/0'::pg_lsn >= {end}")
            behind = time.monotonic() - behind
            said, _ = run.communicate(timeout=seconds + 120)
        finally:
            run.kill()
    written, stored = rates or ((end - begun) / spent, None)
    return _Streamed(written, stored, behind, json.loads(said.splitlines()[-1]))


def _rates(made: Stage, writing: "Future[Measured]") -> tuple[float, float] | None:
    """Bytes a second that were written and stored, from when both are well under way.

    Both are read as often as a segment was stored: what is stored moves in steps of one. None when
    there were too few.
    """
    time.sleep(_WARM_SECONDS)
    seen = [(time.monotonic(), _position(made), _confirmed(made))]
    while not writing.done():
        time.sleep(_LOOK_SECONDS)
        now = (time.monotonic(), _position(made), _confirmed(made))
        if now[2] > seen[-1][2]:
            seen.append(now)
    if len(seen) < 3:
        return None
    # The first was read in the middle of a segment.
    (since, written, stored), (until, written_then, stored_then) = seen[1], seen[-1]
    spent = until - since
    return (written_then - written) / spent, (stored_then - stored) / spent


def _pgbench(made: Stage, log: Path, *arguments: str) -> Measured:
    return measure(
        made.place.account.command(
            [
                made.place.programs.path("pgbench"),
                *("-h", made.address.host, "-p", str(made.port), "-U", "postgres"),
                *arguments,
                "postgres",
            ]
        ),
        log=log,
        environment={**os.environ, "PGOPTIONS": "-c synchronous_commit=off"},
    )


def _position(made: Stage) -> int:
    return int(made.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])


def _confirmed(made: Stage) -> int:
    return int(made.execute(f"SELECT restart_lsn - '0/0'::pg_lsn FROM {_SLOT}")[0][0])


def _wait(made: Stage, query: str, *, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not made.execute(query):
        if time.monotonic() > deadline:
            raise TimeoutError(query)
        time.sleep(0.1)


def _write_wal(made: Stage, segments: int) -> None:
    made.execute("CREATE TABLE wal_noise (payload text)")
    while True:
        made.execute(
            "INSERT INTO wal_noise SELECT md5(random()::text) || md5(random()::text) "
            "FROM generate_series(1, 150000)"
        )
        size = made.execute("SELECT pg_table_size('wal_noise')")[0][0]
        if size > segments * _SEGMENT:
            made.execute("SELECT pg_switch_wal()")
            return


def _push(peer: PgBackRest, made: Stage) -> Measured:
    """From switching archiving on until every finished segment is archived."""
    (waiting,) = made.execute(
        "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
    )[0]
    made.execute(f"ALTER SYSTEM SET archive_command = '{peer.archive_command()}'")
    made.execute("SELECT pg_stat_reset_shared('archiver')")
    started = time.monotonic()
    made.execute("SELECT pg_reload_conf()")
    made.execute("SELECT pg_switch_wal()")
    while made.execute("SELECT archived_count FROM pg_stat_archiver")[0][0] < waiting:
        time.sleep(0.1)
    return Measured(time.monotonic() - started, 0)


def _rate(what: str, ours: Measured, theirs: Measured, segments: float) -> Row:
    mine, their = segments / ours.seconds, segments / theirs.seconds
    return what, f"{mine:.1f} segments/s", f"{their:.1f} segments/s", f"{their / mine:.2f}"
