"""The application's own questions to a restored copy: whether it is right, and fast enough.

Two kinds of files, named by the policy and kept under `include/sql/`:

    checks/{name}.sql     one SELECT that returns a row for each thing that is wrong; none is good
    queries/{name}.sql    one SELECT that the application lives by

Each opens with a comment that says in one line what it is about. A check returns what identifies a
wrong row and what is wrong with it, never a person's data: its first rows are quoted in messages.

Times are the servers' own (EXPLAIN ANALYZE), so neither the network nor this process is measured.
A ratio means something only against the source as it is now; where the source cannot answer, which
is what recoveries are for, only the copy's time is told. Everything runs in a read-only session
with the policy's timeout, one statement a file.
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import DatabaseError, ValidationFailed, WorkerError
from ledgerkeep.model import Record
from ledgerkeep.policy.model import ApplicationCheck, KeyQuery
from ledgerkeep.recovery.validation_report import ExpectationOutcome, ValidationReport

SUITE = "application checks"
RUNS = 5
"""Measured runs of a query, after one that warms the caches; the median counts."""
IMPERCEPTIBLE = 0.005
"""Seconds: below this a query is as fast as anybody can tell, whatever the ratio."""
_QUOTED_ROWS = 3
_LONGEST_QUOTE = 120


class QueryTime(Record):
    """How long one key query takes on the copy, and on the source if that could be asked."""

    name: str
    database: str
    copy_seconds: float
    """Median."""
    source_seconds: float | None
    why_no_source: str = ""
    slowest_ratio: float

    @property
    def ratio(self) -> float | None:
        """The copy's time divided by the source's; None without a source."""
        if self.source_seconds is None:
            return None
        return self.copy_seconds / max(self.source_seconds, 1e-6)

    @property
    def within(self) -> bool | None:
        """Whether the copy is fast enough; None where there is nothing to hold it against."""
        if self.ratio is None:
            return None
        return self.ratio <= self.slowest_ratio or self.copy_seconds < IMPERCEPTIBLE

    def describe(self) -> str:
        """The times in words."""
        copy = f"{self.name}: {1000 * self.copy_seconds:.2f} ms on the copy"
        if self.source_seconds is None or self.ratio is None:
            return f"{copy}, not compared: {self.why_no_source}"
        return (
            f"{copy}, {1000 * self.source_seconds:.2f} ms on the source "
            f"(ratio {self.ratio:.1f}, at most {self.slowest_ratio:g})"
        )


def run_checks(
    address: ServerAddress, checks: Sequence[ApplicationCheck], *, directory: Path
) -> list[ValidationReport]:
    """Ask every check of the copy, one report a database; what is broken is not raised here.

    :param directory: the worker's `include/sql`.
    :raises WorkerError: a file of the policy is not there.
    """
    reports = []
    for database in dict.fromkeys(check.database for check in checks):
        started = time.monotonic()
        outcomes = [
            _ask(address, check, directory) for check in checks if check.database == database
        ]
        reports.append(
            ValidationReport(
                suite=SUITE,
                database=database,
                outcomes=outcomes,
                seconds=round(time.monotonic() - started, 3),
            )
        )
    return reports


def time_queries(
    copy: ServerAddress,
    source: ServerAddress | None,
    queries: Sequence[KeyQuery],
    *,
    directory: Path,
) -> list[QueryTime]:
    """Time every key query on the copy and on the source.

    :param source: None where there is none any more.
    :raises ValidationFailed: the copy cannot answer a query.
    :raises WorkerError: a file of the policy is not there.
    """
    return [_timed(copy, source, query, directory) for query in queries]


def refuse_slow(times: Sequence[QueryTime]) -> None:
    """Raise when a query is slower on the copy than the policy allows.

    :raises ValidationFailed: naming each.
    """
    slow = [one for one in times if one.within is False]
    if slow:
        raise ValidationFailed(
            f"the restored copy is too slow: {'; '.join(one.describe() for one in slow)}",
            hint="compare EXPLAIN (ANALYZE, BUFFERS) of the query on both: is an index missing, "
            "are the statistics old, or is this worker's disk slower?",
        )


def read_sql(directory: Path, kind: str, name: str) -> str:
    """The statement of a file, without a semicolon at its end.

    :param kind: `checks` or `queries`.
    :raises WorkerError: there is no such file.
    """
    path = directory / kind / f"{name}.sql"
    try:
        return path.read_text().rstrip().rstrip(";")
    except FileNotFoundError:
        raise WorkerError(
            f"there is no file {path}",
            hint="correct database.validation in the policy, or LEDGERKEEP_SQL",
        ) from None


def subject(sql: str) -> str:
    """What a file is about: its opening comment."""
    first = sql.lstrip().partition("\n")[0]
    return first.removeprefix("--").strip().rstrip(".") if first.startswith("--") else "holds"


def _ask(address: ServerAddress, check: ApplicationCheck, directory: Path) -> ExpectationOutcome:
    sql = read_sql(directory, "checks", check.name)
    # The count and some rows in one pass, however many there are.
    limited = (
        f"SELECT count(*) OVER (), to_json(wrong)::text FROM (\n{sql}\n) AS wrong "  # noqa: S608
        f"LIMIT {_QUOTED_ROWS}"
    )
    count, observed = None, ""
    try:
        with connect(_reading(address.to(check.database), check.timeout)) as connection:
            rows = connection.execute(limited.encode(), prepare=True).fetchall()
    except (psycopg.Error, DatabaseError) as problem:
        observed = f"it could not be asked: {_words(problem)}"
    else:
        count = int(rows[0][0]) if rows else 0
        observed = f"rows: {count}" + "".join(f", {_short(row[1])}" for row in rows)
    return ExpectationOutcome(
        table=check.name,
        expectation=SUITE,
        words=subject(sql),
        success=count == 0,
        observed=observed,
        unexpected_count=count,
    )


def _timed(
    copy: ServerAddress, source: ServerAddress | None, query: KeyQuery, directory: Path
) -> QueryTime:
    sql = read_sql(directory, "queries", query.name)
    try:
        on_copy = _median(copy, query, sql)
    except (psycopg.Error, DatabaseError) as problem:
        raise ValidationFailed(
            f"the restored copy cannot answer {query.name}: {_words(problem)}",
            hint="does the source answer it? if it does, do not rely on this backup",
        ) from problem
    on_source, why_not = None, "there is no source"
    if source is not None:
        try:
            on_source, why_not = _median(source, query, sql), ""
        except (psycopg.Error, DatabaseError) as problem:
            # A source that is down or damaged is why a recovery is made, and no fault of the copy.
            why_not = f"the source cannot answer: {_words(problem)}"
    return QueryTime(
        name=query.name,
        database=query.database,
        copy_seconds=on_copy,
        source_seconds=on_source,
        why_no_source=why_not,
        slowest_ratio=query.slowest_ratio,
    )


def _median(address: ServerAddress, query: KeyQuery, sql: str) -> float:
    """Seconds of the server, without planning and transfer."""
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)\n{sql}".encode()
    seconds: list[float] = []
    with connect(_reading(address.to(query.database), query.timeout)) as connection:
        for _ in range(RUNS + 1):
            row = connection.execute(explain, prepare=True).fetchone()
            plan = row[0] if row else []
            plan = json.loads(plan) if isinstance(plan, str) else plan
            seconds.append(plan[0]["Execution Time"] / 1000)
    return round(statistics.median(seconds[1:]), 6)


def _reading(address: ServerAddress, timeout: timedelta) -> ServerAddress:
    """The same database in a session that cannot write, nor take longer than the timeout."""
    limits = (
        f"{address.options.get('options', '')} -c default_transaction_read_only=on "
        f"-c statement_timeout={int(1000 * timeout.total_seconds())}"
    )
    return replace(address, options={**address.options, "options": limits.strip()})


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _words(problem: Exception) -> str:
    return " ".join((getattr(problem, "message", "") or str(problem)).split())
