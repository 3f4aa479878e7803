"""The write load writes, keeps the ledger balanced, and stops at once."""

from time import monotonic

import psycopg
import pytest

from include.sandbox.load import WriteLoad, write_load
from include.sandbox.loan_data import generate
from ledgerkeep.database.postgres.address import ServerAddress, connect

pytestmark = pytest.mark.integration

UNSOUND = {
    "entries out of balance": """
        SELECT count(*) FROM (
            SELECT FROM ledger_lines GROUP BY entry_id HAVING sum(amount) <> 0) AS entry
    """,
    "loans whose instalments do not sum up": """
        SELECT count(*) FROM (
            SELECT FROM loans JOIN instalments ON loan_id = loans.id
            GROUP BY loans.id HAVING sum(amount) <> principal + interest) AS loan
    """,
    "paid instalments without their payment": """
        SELECT count(*) FROM instalments
        LEFT JOIN payments ON instalment_id = instalments.id
        WHERE paid > 0 AND payments.amount IS DISTINCT FROM paid
    """,
    "repaid loans with open instalments, or the reverse": """
        SELECT count(*) FROM loans
        WHERE (status = 'repaid')
        = EXISTS (SELECT FROM instalments WHERE loan_id = loans.id AND paid < amount)
    """,
    "entries without lines": """
        SELECT count(*) FROM ledger_entries WHERE id NOT IN (SELECT entry_id FROM ledger_lines)
    """,
}
SIZES = (
    "SELECT (SELECT count(*) FROM loans), (SELECT count(*) FROM payments), "
    "(SELECT count(*) FROM documents_document)"
)


@pytest.fixture
def loans(cluster, database: str) -> ServerAddress:
    address = cluster.address.to(database)
    generate(address, size_mb=8)
    return address


def one_row(address: ServerAddress, query: str) -> tuple:
    with connect(address) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row


def until(load: WriteLoad, transactions: int) -> None:
    """Wait until so many transactions are committed."""
    deadline = monotonic() + 30
    while load.transactions < transactions and monotonic() < deadline:
        load.wait(0.05)
    assert load.transactions >= transactions


def test_every_invariant_holds_after_the_load_was_stopped(loans: ServerAddress) -> None:
    before = one_row(loans, SIZES)
    with write_load(loans, clients=3) as load:
        until(load, 150)
    after = one_row(loans, SIZES)
    assert all(new > old for old, new in zip(before, after, strict=True))
    assert {what: one_row(loans, query)[0] for what, query in UNSOUND.items()} == dict.fromkeys(
        UNSOUND, 0
    )


def test_stopping_does_not_wait_for_the_next_turn(loans: ServerAddress) -> None:
    load = WriteLoad(loans, clients=2, rate=0.05)
    load.start()
    until(load, 2)
    began = monotonic()
    assert load.stop() == 2
    assert monotonic() - began < 1


def test_the_rate_is_kept(loans: ServerAddress) -> None:
    with write_load(loans, clients=2, rate=20) as load:
        load.wait(1.5)
    assert 10 <= load.transactions <= 34


def test_a_client_that_fails_is_reported_at_the_end(cluster, loans: ServerAddress) -> None:
    load = WriteLoad(loans, clients=1)
    load.start()
    until(load, 1)
    cluster.execute(f"DROP DATABASE {loans.database} WITH (FORCE)")
    with pytest.raises(psycopg.OperationalError):
        load.stop()
