"""Two loans by hand, right in every respect, for tests that then break one thing."""

from ledgerkeep.database.postgres.address import ServerAddress, connect
from tests.conftest import ROOT

_ROWS = """
INSERT INTO customers (name, email, country, created_at)
VALUES ('Anna', 'anna@example.com', 'DE', now()), ('Bora', 'bora@example.com', 'FR', now());
INSERT INTO loans (customer_id, principal, interest, months, status, granted_on)
VALUES (1, 1000, 100, 2, 'active', '2026-01-01'), (2, 500, 0, 1, 'repaid', '2026-02-01');
INSERT INTO instalments (loan_id, number, due_on, amount, paid)
VALUES (1, 1, '2026-02-01', 550, 550), (1, 2, '2026-03-01', 550, 0), (2, 1, '2026-03-01', 500, 500);
INSERT INTO ledger_accounts (code, name) VALUES ('1000', 'Cash'), ('1200', 'Loans receivable');
INSERT INTO ledger_entries (loan_id, kind, booked_at)
VALUES (1, 'disbursement', now()), (2, 'disbursement', now()),
       (1, 'repayment', now()), (2, 'repayment', now());
INSERT INTO ledger_lines (entry_id, account_id, amount)
VALUES (1, 2, 1000), (1, 1, -1000), (2, 2, 500), (2, 1, -500),
       (3, 1, 550), (3, 2, -550), (4, 1, 500), (4, 2, -500);
INSERT INTO payments (instalment_id, entry_id, amount, paid_at, reference)
VALUES (1, 3, 550, now(), 'R1'), (3, 4, 500, now(), 'R2');
INSERT INTO documents_documentpackage (loan_id, title, created_at) VALUES (1, 'Contract', now());
INSERT INTO documents_document
    (package_id, object_key, content_sha256, size_bytes, content_type, uploaded_at)
VALUES (1, 'a.pdf', repeat('0123456789abcdef', 4), 10, 'application/pdf', now());
"""


def make_loans(address: ServerAddress) -> None:
    """The loan schema with its two loans, in the address's database."""
    schema = (ROOT / "include" / "sandbox" / "loan_schema.sql").read_text()
    with connect(address) as connection:
        connection.execute(schema.encode())
        connection.execute(_ROWS.encode())
