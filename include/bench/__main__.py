"""`python -m include.bench`: print the table."""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from include.bench.incremental import incremental_rows
from include.bench.measure import Measured, middle
from include.bench.peers import PgBackRest, pg_basebackup, pg_receivewal, pgbackrest_version
from include.bench.stage import Stage, stage
from ledgerkeep.database.postgres.postmaster import Postmaster
from ledgerkeep.recovery.room import Purpose

Row = tuple[str, str, str, str]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m include.bench", description=__doc__)
    parser.add_argument("--size-mb", type=int, default=3000, help="size of the cluster")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command, interleaved")
    parser.add_argument("--segments", type=int, default=48, help="WAL segments to ship")
    given = parser.parse_args()
    console = Console(width=110)
    with stage(given.size_mb) as made:
        log = made.home / "bench.log"
        size = made.execute("SELECT sum(pg_database_size(oid)) FROM pg_database")[0][0]
        version = made.execute("SHOW server_version")[0][0]
        peer = PgBackRest(made) if pgbackrest_version() else None
        rows = [
            *_backups(made, peer, given.runs, log),
            *_restores(made, peer, given.runs, log),
            *incremental_rows(made, peer, given.runs, log),
            *_shipping(made, peer, given.segments, log),
            *_imports(made, log),
        ]
    table = Table(title=f"PostgreSQL {version}, {int(size) / 1e6:.0f} MB, S3 over TLS")
    for heading in ("what", "Ledgerkeep", "peer", "ratio of times"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print(
        f"Python {platform.python_version()}, {_cores()} cores, "
        f"pgBackRest {pgbackrest_version() or 'not on the PATH'}; medians of {given.runs}"
    )
    return 0


def _backups(made: Stage, peer: PgBackRest | None, runs: int, log: Path) -> list[Row]:
    ours, reads, plain, theirs = [], [], [], []
    if peer is not None:
        peer.run("stanza-create", log=log)
        made.execute(f"ALTER SYSTEM SET archive_command = '{peer.archive_command()}'")
        made.execute("SELECT pg_reload_conf()")
    for _ in range(runs):
        ours.append(made.ours(log, "backup"))
        reads.append(made.ours(log, "record"))
        plain.append(pg_basebackup(made, log))
        if peer is not None:
            theirs.append(peer.run("backup", "--type=full", log=log))
    mine = middle(ours)
    rows = [
        _row("full backup to the store / pg_basebackup to disk", mine, middle(plain)),
        ("read back, every file", f"{middle(reads).seconds:.1f} s", "no peer does this", ""),
        ("peak memory of the backup", f"{mine.peak_mb:.0f} MB", "goal: under 300 MB", ""),
    ]
    if theirs:
        rows.insert(0, _row("full backup / pgBackRest", mine, middle(theirs)))
    return rows


def _restores(made: Stage, peer: PgBackRest | None, runs: int, log: Path) -> list[Row]:
    """Until the server accepts connections; pgBackRest's copies are always flushed to the disk."""
    lasting, disposable, theirs = [], [], []
    for run in range(runs):
        room = made.place.rooms / f"bench-{run}"
        lasting.append(_restore_with_ours(made, room, "recovery", log))
        disposable.append(_restore_with_ours(made, room, "test", log))
        if peer is not None:
            theirs.append(_restore_with(peer, made, log))
    rows = [
        ("restore until it accepts connections", middle(lasting)),
        ("the same for a test, not flushed", middle(disposable)),
    ]
    if not theirs:
        return [(words, f"{mine.seconds:.1f} s", "", "") for words, mine in rows]
    return [_row(f"{words} / pgBackRest", mine, middle(theirs)) for words, mine in rows]


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


def _shipping(made: Stage, peer: PgBackRest | None, segments: int, log: Path) -> list[Row]:
    """The same WAL: ours over the slot to the store, pg_receivewal to disk, pgBackRest pushed."""
    if peer is not None:
        made.execute("ALTER SYSTEM SET archive_command = '/bin/false'")
        made.execute("SELECT pg_reload_conf()")
    made.execute("SELECT pg_create_physical_replication_slot('peer', true)")
    made.ours(log, "ship")
    before = made.execute("SELECT pg_current_wal_lsn()")[0][0]
    _write_wal(made, segments)
    end = made.execute("SELECT pg_current_wal_lsn()")[0][0]
    count = made.execute(f"SELECT ('{end}'::pg_lsn - '{before}'::pg_lsn) / 16777216")[0][0]
    ours = made.ours(log, "ship")
    theirs = pg_receivewal(made, "peer", end, log)
    made.execute("SELECT pg_drop_replication_slot('peer')")
    rows = [_rate("WAL to the store / pg_receivewal to disk", ours, theirs, float(count))]
    if peer is not None:
        rows.insert(
            0,
            _rate(
                "WAL to the store / pgBackRest archive-push, async",
                ours,
                _push(peer, made),
                float(count),
            ),
        )
    return rows


def _write_wal(made: Stage, segments: int) -> None:
    made.execute("CREATE TABLE wal_noise (payload text)")
    while True:
        made.execute(
            "INSERT INTO wal_noise SELECT md5(random()::text) || md5(random()::text) "
            "FROM generate_series(1, 150000)"
        )
        size = made.execute("SELECT pg_table_size('wal_noise')")[0][0]
        if size > segments * 16_777_216:
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


def _imports(made: Stage, log: Path) -> list[Row]:
    """What the DAG files of all policies cost beyond Airflow's own import."""
    code = (
        "import time, pathlib\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "from airflow.sdk import DAG, BaseOperator\n"
        "started = time.monotonic()\n"
        "bag = DagBag(dag_folder=pathlib.Path('dags'), bundle_path=pathlib.Path('dags'), "
        "bundle_name='dags-folder')\n"
        "print('SECONDS', time.monotonic() - started, len(bag.dags), len(bag.import_errors))\n"
    )
    environment = {
        **made.environment(),
        "AIRFLOW_HOME": str(made.home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{made.home}/airflow.db",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    (line,) = [text for text in done.stdout.splitlines() if text.startswith("SECONDS")]
    _, seconds, dags, errors = line.split()
    return [
        (
            f"import of {dags} DAGs ({errors} errors)",
            f"{float(seconds):.2f} s",
            "goal: under 2 s",
            "",
        )
    ]


def _row(what: str, ours: Measured, theirs: Measured) -> Row:
    ratio = ours.seconds / theirs.seconds
    return what, f"{ours.seconds:.1f} s", f"{theirs.seconds:.1f} s", f"{ratio:.2f}"


def _rate(what: str, ours: Measured, theirs: Measured, segments: float) -> Row:
    mine, their = segments / ours.seconds, segments / theirs.seconds
    return what, f"{mine:.1f} segments/s", f"{their:.1f} segments/s", f"{their / mine:.2f}"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
