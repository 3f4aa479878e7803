"""Great Expectations on a real database: right data pass, and each broken rule is named."""

import json
from pathlib import Path

import pytest

from ledgerkeep.database.postgres.address import ServerAddress, connect
from ledgerkeep.errors import ValidationFailed, WorkerError
from ledgerkeep.recovery.expectations import load_suite, validate_copy
from ledgerkeep.recovery.validation_report import ValidationReport, refuse_broken
from tests.conftest import ROOT, Cluster
from tests.recovery.loans import make_loans

_EXPECTATIONS = ROOT / "include" / "expectations"
_BREAKAGE = [
    "ALTER TABLE payments DROP CONSTRAINT payments_instalment_id_fkey",
    "UPDATE instalments SET amount = amount + 1 WHERE loan_id = 1 AND number = 2",
    "UPDATE ledger_lines SET amount = -499 WHERE entry_id = 4 AND amount < 0",
    "UPDATE payments SET instalment_id = 99 WHERE id = 2",
    "UPDATE documents_document SET content_sha256 = 'not a checksum'",
    "ALTER TABLE customers DROP CONSTRAINT customers_email_key",
    "UPDATE customers SET email = 'same@example.com'",
    "DROP TABLE documents_documentpackage CASCADE",
    "ALTER TABLE loans DROP COLUMN status",
]


def _validate(address: ServerAddress) -> ValidationReport:
    return validate_copy(address, address.database, "loan_management", expectations=_EXPECTATIONS)


@pytest.mark.integration
def test_broken_rules_are_named_and_right_ones_hold(
    cluster: Cluster, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Over the Unix socket, without a progress bar, and without a row's content in the report."""
    address = cluster.server.address.to(database)
    make_loans(address)
    right = _validate(address)
    with connect(address) as connection:
        for statement in _BREAKAGE:
            connection.execute(statement.encode())
    wrong = _validate(address)

    assert right.broken == []
    assert sum(table.evaluated for table in right.statistics) == len(right.outcomes) > 50
    assert {table.table for table in right.statistics} == {
        file.stem for file in (_EXPECTATIONS / "loan_management").glob("*.json")
    } - {"ledger"}
    found = {outcome.describe() for outcome in wrong.broken}
    assert {
        "customers: email is unique (rows that break it: 2)",
        "documents_document: the checksum is a SHA-256 in 64 hexadecimal digits "
        "(rows that break it: 1)",
        "documents_document: every document has its row in documents_documentpackage "
        "(it could not be evaluated: (psycopg.errors.UndefinedTable) "
        'relation "documents_documentpackage" does not exist)',
        "documents_documentpackage: the table exists (it does not)",
        "instalments: what is paid is the sum of the instalment's payments (rows that break it: 1)",
        "ledger_lines: every ledger entry sums to zero (rows that break it: 1)",
        "ledger_lines: the whole ledger sums to zero (rows that break it: 1)",
        "loans: the instalments of a loan sum to its principal plus its interest "
        "(rows that break it: 1)",
        "payments: every payment has its row in instalments (rows that break it: 1)",
    } <= found
    assert any("loans: status is one of" in words for words in found)
    assert len(found) == 10
    assert "same@example.com" not in wrong.to_json().decode()
    assert "it/s" not in capfd.readouterr().err


@pytest.mark.integration
def test_refusal_names_every_broken_expectation(cluster: Cluster, database: str) -> None:
    """Whoever reads the error must not have to look for the report."""
    address = cluster.server.address.to(database)
    make_loans(address)
    with connect(address) as connection:
        connection.execute("UPDATE ledger_lines SET amount = amount + 1 WHERE id = 1")

    with pytest.raises(ValidationFailed) as caught:
        refuse_broken([_validate(address)])

    assert caught.value.message == (
        "the restored copy breaks 2 expectations: "
        f"{database}: ledger_lines: every ledger entry sums to zero (rows that break it: 1); "
        f"{database}: ledger_lines: the whole ledger sums to zero (rows that break it: 1)"
    )
    assert caught.value.hint == (
        "run the same suite on the source: if it breaks them too, the data were wrong before "
        "the backup; if not, do not rely on this backup"
    )


def test_suite_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A misspelt suite must not pass for one that holds."""
    with pytest.raises(WorkerError) as caught:
        load_suite(tmp_path / "loan_managment")

    assert caught.value.message == (
        f"there is no suite of expectations in {tmp_path / 'loan_managment'}"
    )
    assert caught.value.hint == (
        "correct validation.suites in the policy, or LEDGERKEEP_EXPECTATIONS"
    )


@pytest.mark.parametrize("body", ["{", "[]", '{"name": "a", "expectations": []}'])
def test_file_that_is_no_suite_is_refused(tmp_path: Path, body: str) -> None:
    """With the file's name."""
    (tmp_path / "a.json").write_text(body)

    with pytest.raises(WorkerError, match=r"a\.json is not a suite of expectations"):
        load_suite(tmp_path)


def test_every_expectation_of_the_project_says_what_it_means() -> None:
    """Reports and errors quote these words."""
    for suite in _EXPECTATIONS.iterdir():
        for table_suite in load_suite(suite):
            assert table_suite.expectations
            assert all(one.get("description") for one in table_suite.expectations)


def test_suites_are_plain_json_of_great_expectations() -> None:
    """They can be edited with its own tools."""
    from great_expectations.core.expectation_suite import ExpectationSuite

    for file in _EXPECTATIONS.glob("*/*.json"):
        plain = json.loads(file.read_text())
        assert len(ExpectationSuite(**plain).expectations) == len(plain["expectations"])
