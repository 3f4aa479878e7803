"""Great Expectations on a restored database: that the content makes sense to the business.

A suite is a folder of files in Great Expectations' own JSON format, one per table, each naming its
table as `meta.table`. Conditions across tables are `unexpected_rows_expectation`s: a query that
returns the rows which should not exist. The copy itself is asked, over its Unix socket; nothing is
loaded into this process but counts.

Great Expectations is imported when it is needed: that alone takes seconds.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgerkeep.database.postgres.address import ServerAddress
from ledgerkeep.errors import WorkerError
from ledgerkeep.recovery.validation_report import ExpectationOutcome, ValidationReport

_logger = logging.getLogger(__name__)

# Counts, and never a value: rows of the copy are people's data.
_COUNTS_ONLY = {"result_format": "SUMMARY", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class TableSuite:
    """The expectations of one file."""

    name: str
    table: str
    expectations: list[dict[str, Any]]


def validate_copy(
    address: ServerAddress, database: str, suite: str, *, expectations: Path
) -> ValidationReport:
    """Run a suite on a database and report every outcome; what is broken is not raised here.

    :param suite: a folder below `expectations`.
    :raises WorkerError: there is no such suite, or a file of it is not one.
    """
    table_suites = load_suite(expectations / suite)
    started = time.monotonic()
    context = _quiet_context()
    source = context.data_sources.add_postgres(
        database, connection_string=_connection_string(address, database)
    )
    try:
        outcomes = [
            outcome
            for table_suite in table_suites
            for outcome in _timed(context, source, table_suite)
        ]
    finally:
        source.get_engine().dispose()
    return ValidationReport(
        suite=suite,
        database=database,
        outcomes=outcomes,
        seconds=round(time.monotonic() - started, 3),
    )


def load_suite(folder: Path) -> list[TableSuite]:
    """The files of a suite, in the order of their names.

    :raises WorkerError: there are none, or one of them is not a suite.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise WorkerError(
            f"there is no suite of expectations in {folder}",
            hint="correct validation.suites in the policy, or LEDGERKEEP_EXPECTATIONS",
        )
    return [_load(file) for file in files]


def _load(file: Path) -> TableSuite:
    try:
        plain = json.loads(file.read_text())
        return TableSuite(
            name=plain["name"],
            table=plain["meta"]["table"],
            expectations=[
                {key: one[key] for key in ("type", "kwargs", "description") if key in one}
                for one in plain["expectations"]
            ],
        )
    except (ValueError, KeyError, TypeError) as problem:
        raise WorkerError(
            f"{file} is not a suite of expectations: {type(problem).__name__}: {problem}",
            hint="it needs name, meta.table and expectations, each with type and kwargs "
            "(Great Expectations' JSON format)",
        ) from problem


def _quiet_context() -> Any:
    """A context in memory that draws no progress bars and reports to nobody."""
    # Before the import, which logs hundreds of lines on what it registers.
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _connection_string(address: ServerAddress, database: str) -> str:
    from sqlalchemy import URL

    # Great Expectations insists on a host; libpq takes the one in the query, a directory.
    return URL.create(
        "postgresql+psycopg",
        username=address.user,
        password=address.password,
        host="localhost",
        database=database,
        query={"host": address.host, "port": str(address.port), "application_name": "ledgerkeep"},
    ).render_as_string(hide_password=False)


def _timed(context: Any, source: Any, table_suite: TableSuite) -> list[ExpectationOutcome]:
    """Run one file's expectations; a line in the log each, since large tables take their time."""
    started = time.monotonic()
    outcomes = _run(context, source, table_suite)
    _logger.info(
        "%s: %d of %d expectations hold, %.1f s",
        table_suite.name,
        sum(outcome.success for outcome in outcomes),
        len(outcomes),
        time.monotonic() - started,
    )
    return outcomes


def _run(context: Any, source: Any, table_suite: TableSuite) -> list[ExpectationOutcome]:
    import great_expectations as gx
    from great_expectations.datasource.fluent.interfaces import TestConnectionError

    try:
        asset = source.add_table_asset(table_suite.name, table_name=table_suite.table)
    except TestConnectionError:
        return [_table_missing(table_suite)]
    suite = context.suites.add(
        gx.ExpectationSuite(name=table_suite.name, expectations=table_suite.expectations)
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=table_suite.name, data=asset.add_batch_definition_whole_table("all"), suite=suite
        )
    )
    results = definition.run(result_format=_COUNTS_ONLY).results
    return [_outcome(table_suite.table, result) for result in results]


def _table_missing(table_suite: TableSuite) -> ExpectationOutcome:
    return ExpectationOutcome(
        table=table_suite.table,
        expectation="table",
        words="the table exists",
        success=False,
        observed="it does not",
    )


def _outcome(table: str, result: Any) -> ExpectationOutcome:
    config, found = result.expectation_config, result.result or {}
    count = found.get("unexpected_count")
    if config.type == "unexpected_rows_expectation":
        count = found.get("observed_value")
    return ExpectationOutcome(
        table=table,
        expectation=config.type,
        words=config.description or _plain_words(config),
        success=bool(result.success),
        observed=_observed(result, found, count),
        unexpected_count=count,
    )


def _observed(result: Any, found: dict[str, Any], count: int | None) -> str:
    message = _exception(result.exception_info)
    if message:
        return f"it could not be evaluated: {message}"
    if count is not None:
        return f"rows that break it: {count}"
    return str(found.get("observed_value", ""))


def _exception(information: dict[str, Any]) -> str:
    """The message of what was raised; Great Expectations nests it by metric."""
    for one in (information, *(value for value in information.values() if isinstance(value, dict))):
        if one.get("raised_exception"):
            lines = str(one.get("exception_message") or "unknown error").strip().splitlines()
            return lines[0]
    return ""


def _plain_words(config: Any) -> str:
    column = config.kwargs.get("column")
    words = str(config.type).removeprefix("expect_").replace("_", " ")
    return f"{words}: {column}" if column else words
