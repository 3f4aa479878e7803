"""Checks and key queries must have their files when the policy is read."""

import shutil
from pathlib import Path

import pytest

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.load import load_policy
from ledgerkeep.worker import WorkerSettings
from tests.policy.support import broken, line_of


@pytest.mark.parametrize(
    ("old", "new", "field", "kind", "allowed"),
    [
        (
            "name: ledger_is_balanced",
            "name: ledger_is_balancd",
            "checks[0].name",
            "checks",
            "documents_have_owners, ledger_is_balanced",
        ),
        (
            "name: payments_of_the_last_month",
            "name: ledger_is_balancd",
            "key_queries[1].name",
            "queries",
            "open_loans_of_a_customer, payments_of_the_last_month",
        ),
    ],
)
def test_name_without_a_file_is_refused_with_the_names_there_are(
    tmp_path: Path, old: str, new: str, field: str, kind: str, allowed: str
) -> None:
    path = broken(tmp_path, "production", (old, new))
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    sql = Path(__file__).resolve().parents[2] / "include" / "sql" / kind
    assert caught.value.message == (
        f"policy {path} is refused for 1 fault:\n  line {line_of(path, new)}: "
        f"database.validation.{field}: found 'ledger_is_balancd', of which there is no file in "
        f"{sql}; allowed: {allowed}"
    )


def test_file_that_comes_or_goes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the policy itself says the same as before."""
    sql = tmp_path / "sql"
    shutil.copytree(WorkerSettings().sql, sql)
    monkeypatch.setenv("LEDGERKEEP_SQL", str(sql))
    path = broken(tmp_path, "production")
    load_policy(path)
    gone = sql / "checks" / "ledger_is_balanced.sql"
    gone.rename(tmp_path / "away")
    with pytest.raises(PolicyError, match="found 'ledger_is_balanced', of which there is no file"):
        load_policy(path)
    (tmp_path / "away").rename(gone)
    load_policy(path)


def test_file_that_is_missing_is_told_with_what_contradicts_itself(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        "production",
        ("name: ledger_is_balanced", "name: ledger_is_balancd"),
        ("    key_id: alias/ledgerkeep-production\n", ""),
    )
    with pytest.raises(PolicyError, match="is refused for 2 faults") as caught:
        load_policy(path)
    assert "storage.encryption.key_id" in caught.value.message
    assert "ledger_is_balancd" in caught.value.message


def test_name_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ("name: ledger_is_balanced", "name: ../queries/x"))
    with pytest.raises(PolicyError, match="allowed: text of the form"):
        load_policy(path)


def test_question_to_an_unknown_database_is_refused(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        "production",
        (
            "{name: ledger_is_balanced, database: loan_management}",
            "{name: ledger_is_balanced, database: loans}",
        ),
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert (
        "database.validation.checks[0].database: found 'loans'; "
        "allowed: one of database.databases: loan_management"
    ) in caught.value.message
