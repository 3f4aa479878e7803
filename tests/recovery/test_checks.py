"""The application's checks and key queries against real databases, right ones and broken ones."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ledgerkeep.errors import ValidationFailed, WorkerError
from ledgerkeep.policy.load import load_environment
from ledgerkeep.policy.model import ApplicationCheck, KeyQuery
from ledgerkeep.recovery.checks import QueryTime, refuse_slow, run_checks, time_queries
from tests.conftest import ROOT, Cluster
from tests.recovery.loans import make_loans

SQL = ROOT / "include" / "sql"
pytestmark = pytest.mark.integration


@pytest.fixture
def loans(cluster: Cluster) -> Iterator[str]:
    """A database with two loans that are right in every respect."""
    name = f"t_{secrets.token_hex(4)}"
    cluster.execute(f"CREATE DATABASE {name}")
    make_loans(cluster.address.to(name))
    yield name
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sql(tmp_path: Path) -> Path:
    """Directories for a test's own files."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "queries").mkdir()
    return tmp_path


def shipped(database: str) -> list[ApplicationCheck]:
    """Production's checks, for another database."""
    checks = load_environment("production").database.validation.checks
    return [check.model_copy(update={"database": database}) for check in checks]


def asked(cluster: Cluster, checks: list[ApplicationCheck], directory: Path = SQL) -> dict:
    reports = run_checks(cluster.address, checks, directory=directory)
    return {one.table: one for report in reports for one in report.outcomes}


# -- checks


def test_sound_loans_pass_the_shipped_checks(cluster: Cluster, loans: str) -> None:
    found = asked(cluster, shipped(loans))
    assert {name: one.success for name, one in found.items()} == {
        "ledger_is_balanced": True,
        "documents_have_owners": True,
    }
    assert found["ledger_is_balanced"].describe() == (
        "ledger_is_balanced: Every journal entry has lines, and they sum to zero (rows: 0)"
    )


def test_broken_ledger_is_found_and_only_some_rows_are_quoted(cluster: Cluster, loans: str) -> None:
    cluster.execute("UPDATE ledger_lines SET amount = amount + 1 WHERE account_id = 1", loans)
    found = asked(cluster, shipped(loans))["ledger_is_balanced"]
    assert (found.success, found.unexpected_count) == (False, 4)
    assert found.observed.startswith('rows: 4, {"ledger_entry":')
    assert found.observed.count("ledger_entry") == 3
    assert '"difference":1.00}' in found.observed


def test_document_without_an_owner_is_found(cluster: Cluster, loans: str) -> None:
    cluster.execute("ALTER TABLE documents_documentpackage DISABLE TRIGGER ALL", loans)
    cluster.execute("ALTER TABLE documents_document DISABLE TRIGGER ALL", loans)
    cluster.execute("DELETE FROM documents_documentpackage", loans)
    assert asked(cluster, shipped(loans))["documents_have_owners"].observed == (
        'rows: 1, {"document":1}'
    )


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT * FROM gone", 'relation "gone" does not exist'),
        ("WITH x AS (INSERT INTO customers DEFAULT VALUES RETURNING id) TABLE x", "WITH clause"),
        ("SELECT nextval('customers_id_seq')", "in a read-only transaction"),
        ("SELECT pg_sleep(60)", "statement timeout"),
        ("SELECT 1) AS x; DROP TABLE payments; SELECT 1 FROM (SELECT 1", "multiple commands"),
    ],
)
def test_check_that_cannot_be_asked_has_not_held(
    cluster: Cluster, loans: str, sql: Path, statement: str, why: str
) -> None:
    """It reads, one statement, and within its time."""
    (sql / "checks" / "odd.sql").write_text(statement)
    check = ApplicationCheck(name="odd", database=loans, timeout=timedelta(seconds=1))
    found = asked(cluster, [check], sql)["odd"]
    assert not found.success
    assert found.observed.startswith("it could not be asked: ")
    assert why in found.observed
    assert cluster.execute("SELECT count(*) FROM payments", loans) == [(2,)]


def test_file_that_is_gone_is_named(cluster: Cluster, sql: Path) -> None:
    check = ApplicationCheck(name="gone", database="postgres")
    with pytest.raises(WorkerError) as caught:
        run_checks(cluster.address, [check], directory=sql)
    assert caught.value.message == f"there is no file {sql}/checks/gone.sql"
    assert caught.value.hint == "correct database.validation in the policy, or LEDGERKEEP_SQL"


# -- key queries


def key_queries(database: str) -> list[KeyQuery]:
    queries = load_environment("production").database.validation.key_queries
    return [query.model_copy(update={"database": database}) for query in queries]


def test_shipped_queries_are_timed_on_both(cluster: Cluster, loans: str) -> None:
    times = time_queries(cluster.address, cluster.address, key_queries(loans), directory=SQL)
    assert [one.name for one in times] == ["open_loans_of_a_customer", "payments_of_the_last_month"]
    for one in times:
        assert 0 < one.copy_seconds < 1
        assert one.source_seconds is not None
        assert one.within
    refuse_slow(times)


def test_source_that_is_down_leaves_the_copys_time_alone(cluster: Cluster, loans: str) -> None:
    gone = replace(cluster.address, port=1)
    (one, _) = time_queries(cluster.address, gone, key_queries(loans), directory=SQL)
    assert (one.source_seconds, one.ratio, one.within) == (None, None, None)
    assert "the source cannot answer: no connection to postgres@127.0.0.1:1/" in one.describe()
    refuse_slow([one])


def test_source_that_lost_the_table_is_no_fault_of_the_copy(cluster: Cluster, loans: str) -> None:
    """That is what the recovery is for."""
    lost = replace(cluster.address, options={"options": "-c search_path=nowhere"})
    (one, _) = time_queries(cluster.address, lost, key_queries(loans), directory=SQL)
    assert one.within is None
    assert one.why_no_source.startswith('the source cannot answer: relation "loans" does not exist')


def test_copy_that_cannot_answer_is_refused(cluster: Cluster, loans: str) -> None:
    cluster.execute("DROP TABLE payments", loans)
    with pytest.raises(ValidationFailed) as caught:
        time_queries(cluster.address, None, key_queries(loans), directory=SQL)
    assert caught.value.message.startswith(
        "the restored copy cannot answer payments_of_the_last_month: "
        'relation "payments" does not exist'
    )


def timed(copy_seconds: float) -> QueryTime:
    return QueryTime(
        name="q", database="d", copy_seconds=copy_seconds, source_seconds=0.01, slowest_ratio=3
    )


def test_slow_copy_is_refused_with_both_times() -> None:
    refuse_slow([timed(0.03)])
    with pytest.raises(ValidationFailed) as caught:
        refuse_slow([timed(0.03), timed(0.04)])
    assert caught.value.message == (
        "the restored copy is too slow: q: 40.00 ms on the copy, 10.00 ms on the source "
        "(ratio 4.0, at most 3)"
    )


def test_what_nobody_can_feel_is_not_slow() -> None:
    """Ten times of next to nothing is next to nothing."""
    tiny = timed(0.004).model_copy(update={"source_seconds": 0.0004})
    assert tiny.ratio == pytest.approx(10)
    assert tiny.within
