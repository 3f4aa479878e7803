"""`python -m include.bench`: print the table."""

import argparse
import platform
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from include.bench.catalog import POINTS, catalog_rows
from include.bench.chain import chain_rows
from include.bench.configuration import ENTITIES, GROUPS, PARAMETERS, configuration_rows
from include.bench.documents import DOCUMENTS, document_rows
from include.bench.documents_replica import REAL, SIMULATED, replica_rows
from include.bench.incremental import incremental_rows
from include.bench.measure import Row, compared, middle
from include.bench.peers import PgBackRest, pg_basebackup, pgbackrest_version
from include.bench.restore import restore_rows
from include.bench.shipping import shipping_rows, streaming_rows
from include.bench.stage import Stage, stage


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m include.bench", description=__doc__)
    parser.add_argument("--size-mb", type=int, default=3000, help="size of the cluster")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command, interleaved")
    parser.add_argument("--segments", type=int, default=48, help="WAL segments to ship")
    parser.add_argument("--streaming", type=int, default=30, help="seconds of WAL to stream")
    words = f"recovery points of a catalog; {POINTS} are seven years, and take ten minutes to make"
    parser.add_argument("--points", type=int, default=4_000, help=words)
    parser.add_argument("--versions", type=int, default=REAL, help="versions of documents")
    words = "documents of a bulk recovery"
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help=words)
    words = "parameters of an account; its IAM entities and security groups grow with them"
    parser.add_argument("--parameters", type=int, default=PARAMETERS, help=words)
    given = parser.parse_args()
    console = Console(width=110)
    with stage(given.size_mb) as made:
        log = made.home / "bench.log"
        size = made.execute("SELECT sum(pg_database_size(oid)) FROM pg_database")[0][0]
        version = made.execute("SHOW server_version")[0][0]
        peer = PgBackRest(made) if pgbackrest_version() else None
        rows = [
            *_backups(made, peer, given.runs, log),
            *restore_rows(made, peer, given.runs, log, "restore until it accepts connections"),
            *incremental_rows(made, peer, given.runs, log),
            *chain_rows(made, peer is not None, given.runs, log),
            *shipping_rows(made, peer, given.segments, log),
            *streaming_rows(made, given.streaming, log),
            *_imports(made, log),
            *catalog_rows(given.points),
            *document_rows(given.documents),
            *replica_rows(SIMULATED, given.versions, log),
            *configuration_rows(given.parameters, *_in_turn(given.parameters)),
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


def _in_turn(parameters: int) -> tuple[int, int]:
    """IAM entities and security groups of an account with so many parameters."""
    return ENTITIES * parameters // PARAMETERS, GROUPS * parameters // PARAMETERS


def _backups(made: Stage, peer: PgBackRest | None, runs: int, log: Path) -> list[Row]:
    ours, anew, reads, plain, theirs = [], [], [], [], []
    if peer is not None:
        peer.run("stanza-create", log=log)
        made.execute(f"ALTER SYSTEM SET archive_command = '{peer.archive_command()}'")
        made.execute("SELECT pg_reload_conf()")
    for _ in range(runs):
        ours.append(made.ours(log, "backup"))
        reads.append(made.ours(log, "record"))
        anew.append(made.ours_anew(log, "backup"))
        made.ours(log, "record")
        plain.append(pg_basebackup(made, log))
        if peer is not None:
            theirs.append(peer.run("backup", "--type=full", log=log))
    mine = middle(ours)
    rows = [
        compared("full backup to the store / pg_basebackup to disk", mine, middle(plain)),
        ("read back, every file", f"{middle(reads).seconds:.1f} s", "no peer does this", ""),
        (
            "peak memory of a backup in a Python of its own",
            f"{middle(anew).peak_mb:.0f} MB",
            "goal: under 300 MB",
            "",
        ),
    ]
    if theirs:
        peers = middle(theirs)
        alone = "the same in a Python of its own / pgBackRest"
        rows.insert(0, compared("full backup / pgBackRest", mine, peers))
        rows.insert(1, compared(alone, middle(anew), peers))
    return rows


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


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(main())
