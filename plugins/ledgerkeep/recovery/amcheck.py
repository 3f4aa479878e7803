"""pg_amcheck on a promoted copy: tables and indexes are sound from the inside.

A fingerprint reads every row through the table; it does not see an index that lost an entry, and
checksums do not see a page that was written whole but wrong. amcheck does both: line pointers,
tuple headers, toast, the order inside each B-tree, and (`heapallindexed`) that every row is in it.
It takes an extension, so it runs on the copy and never on the source, and where the extension was
not there before it is gone again afterwards (PostgreSQL: "pg_amcheck", "amcheck").
"""

import re
import subprocess
import time
from collections.abc import Sequence

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.database.postgres.programs import Account, Programs
from ledgerkeep.errors import RestoreFailed
from ledgerkeep.recovery.validation_report import ExpectationOutcome, ValidationReport

SUITE = "pg_amcheck"
AFFORDABLE = 50 * 1024**3
"""Bytes of databases up to which each row is looked up in each index (a second read of all)."""

_FOUND = re.compile(r'^(?P<kind>heap table|btree index) "(?P<name>.+)"(?P<where>,.+)?:$')
_CORRUPT = 2


def check_pages(
    address: ServerAddress,
    databases: Sequence[str],
    *,
    programs: Programs,
    account: Account,
    jobs: int = 2,
    affordable: int = AFFORDABLE,
) -> ValidationReport:
    """Check every table and B-tree index of the databases.

    :param address: of the copy's superuser, over its Unix socket.
    :param jobs: connections at a time.
    :param affordable: bytes of all databases up to which `heapallindexed` is used.
    :raises RestoreFailed: pg_amcheck itself could not do its work.
    """
    started = time.monotonic()
    thorough = _total_size(address, databases) <= affordable
    without = _without_extension(address, databases)
    command = [
        programs.path("pg_amcheck"),
        *("--host", address.host, "--port", str(address.port), "--username", address.user),
        "--no-password",
        "--install-missing",
        *("--jobs", str(jobs)),
        *(["--heapallindexed"] if thorough else []),
        *(f"--database={_literally(name)}" for name in databases),
    ]
    done = subprocess.run(
        account.command(command),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=programs.directory,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"},
    )
    for name in without:
        with connect(address.to(name)) as connection:
            connection.execute("DROP EXTENSION IF EXISTS amcheck")
    findings = parse_findings(done.stdout)
    if done.returncode not in (0, _CORRUPT) or (done.returncode == _CORRUPT and not findings):
        raise RestoreFailed(
            f"pg_amcheck could not check {', '.join(databases)}: "
            f"{' '.join((done.stderr or done.stdout).split())}",
            hint="is the contrib extension amcheck installed with this worker's PostgreSQL?",
        )
    return ValidationReport(
        suite=SUITE,
        database=", ".join(databases),
        outcomes=findings or [_sound(thorough)],
        seconds=round(time.monotonic() - started, 3),
    )


def parse_findings(output: str) -> list[ExpectationOutcome]:
    """What pg_amcheck printed: a line that names the relation and, indented, what is wrong."""
    findings: list[ExpectationOutcome] = []
    relation, lines = None, 0
    for line in output.splitlines():
        head = _FOUND.match(line)
        if head is not None:
            relation, lines = head, 0
        elif relation is not None and line.startswith(" ") and lines == 0:
            findings.append(_finding(relation, line.strip()))
            lines += 1
    return findings


def _finding(relation: "re.Match[str]", words: str) -> ExpectationOutcome:
    where = (relation["where"] or "").removeprefix(", ")
    place = f"{where}: " if where else ""
    return ExpectationOutcome(
        table=relation["name"],
        expectation=SUITE,
        words=f"the {relation['kind']} is sound",
        success=False,
        observed=f"{place}{words.removeprefix('ERROR:').strip()}",
    )


def _sound(thorough: bool) -> ExpectationOutcome:
    words = "all tables and indexes are sound"
    return ExpectationOutcome(
        table="",
        expectation=SUITE,
        words=f"{words}, and every row is in every index" if thorough else words,
        success=True,
        observed="no corruption",
    )


def _literally(name: str) -> str:
    """A database's name as a pattern that matches nothing else (as psql quotes patterns)."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _without_extension(address: ServerAddress, databases: Sequence[str]) -> list[str]:
    """Those of the databases that there are, and that do not have the extension."""
    without = []
    with connect(address) as connection:
        found = connection.execute(
            "SELECT datname FROM pg_database WHERE datname = ANY(%s)", [list(databases)]
        ).fetchall()
    for (name,) in found:
        with connect(address.to(name)) as connection:
            has = connection.execute("SELECT FROM pg_extension WHERE extname = 'amcheck'")
            if has.fetchone() is None:
                without.append(name)
    return without


def _total_size(address: ServerAddress, databases: Sequence[str]) -> int:
    with connect(address) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(pg_database_size(datname)), 0)::bigint FROM pg_database "
            "WHERE datname = ANY(%s)",
            [list(databases)],
        ).fetchone()
    return int(row[0]) if row else 0
