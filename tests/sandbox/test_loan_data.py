"""The loan data keep the invariants of their schema, at any size."""

from decimal import Decimal
from hashlib import sha256

import pytest

from include.sandbox.documents import document
from include.sandbox.loan_data import (
    COLUMNS,
    ROWS_PER_BLOCK,
    cents,
    generate,
    make_block,
    split_evenly,
)
from ledgerkeep.database.postgres.address import connect

ORPHANS = """
SELECT (SELECT count(*) FROM loans WHERE customer_id NOT IN (SELECT id FROM customers))
     + (SELECT count(*) FROM instalments WHERE loan_id NOT IN (SELECT id FROM loans))
     + (SELECT count(*) FROM ledger_entries WHERE loan_id NOT IN (SELECT id FROM loans))
     + (SELECT count(*) FROM ledger_lines WHERE entry_id NOT IN (SELECT id FROM ledger_entries))
     + (SELECT count(*) FROM ledger_lines WHERE account_id NOT IN (SELECT id FROM ledger_accounts))
     + (SELECT count(*) FROM payments WHERE instalment_id NOT IN (SELECT id FROM instalments))
     + (SELECT count(*) FROM payments WHERE entry_id NOT IN (SELECT id FROM ledger_entries))
     + (SELECT count(*) FROM documents_documentpackage WHERE loan_id NOT IN (SELECT id FROM loans))
     + (SELECT count(*) FROM documents_document
        WHERE package_id NOT IN (SELECT id FROM documents_documentpackage))
"""


def rows(number: int, table: str, seed: int = 1) -> list[list[str]]:
    return [line.split("\t") for line in make_block(number, seed)[table]]


@pytest.mark.parametrize("table", COLUMNS)
def test_every_block_has_the_same_number_of_rows_and_ids_follow_on(table: str) -> None:
    found = [int(row[0]) for number in (0, 1, 2) for row in rows(number, table)]
    assert found == list(range(1, 3 * ROWS_PER_BLOCK[table] + 1))


def test_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert make_block(7) == make_block(7)
    assert make_block(7) != make_block(7, seed=2)


def test_instalments_sum_to_principal_plus_interest() -> None:
    owed: dict[str, Decimal] = {}
    for _, loan, _, _, amount, _ in rows(3, "instalments"):
        owed[loan] = owed.get(loan, Decimal()) + Decimal(amount)
    granted = {row[0]: Decimal(row[2]) + Decimal(row[3]) for row in rows(3, "loans")}
    assert owed == granted


def test_every_ledger_entry_balances() -> None:
    sums: dict[str, Decimal] = {}
    for _, entry, _, amount in rows(3, "ledger_lines"):
        sums[entry] = sums.get(entry, Decimal()) + Decimal(amount)
    assert set(sums) == {row[0] for row in rows(3, "ledger_entries")}
    assert set(sums.values()) == {Decimal()}


def test_payments_are_of_paid_instalments_and_of_the_same_amount() -> None:
    paid = {row[0]: row[4] for row in rows(3, "instalments") if row[5] != "0"}
    assert {row[1]: row[3] for row in rows(3, "payments")} == paid


def test_document_rows_tell_the_true_size_and_checksum() -> None:
    made = rows(3, "documents_document")
    assert len(made) == 3
    for _, _, key, digest, size, *_ in made:
        content = document(key).content
        assert (digest, int(size)) == (sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    ("amount", "text"), [(5, "0.05"), (-123456, "-1234.56"), (10**12, "10000000000.00")]
)
def test_cents_are_written_exactly(amount: int, text: str) -> None:
    assert cents(amount) == text


def test_shares_sum_to_the_total() -> None:
    assert split_evenly(100, 3) == [34, 33, 33]


@pytest.mark.integration
def test_a_database_has_the_size_asked_for_and_goes_on_behind_the_data(cluster, database) -> None:
    address = cluster.address.to(database)
    count = generate(address, size_mb=24)
    with connect(address) as connection:

        def value(query: str) -> int:
            return connection.execute(query).fetchone()[0]

        assert count == 4 + sum(value(f"SELECT count(*) FROM {table}") for table in COLUMNS)
        assert value("SELECT pg_database_size(current_database())") == pytest.approx(24e6, rel=0.1)
        assert value(ORPHANS) == 0
        for table in COLUMNS:
            last = value(f"SELECT max(id) FROM {table}")
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            assert value(f"SELECT nextval({sequence})") == last + 1
