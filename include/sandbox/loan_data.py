"""The loan data: deterministic, of any size, written by COPY with constant memory.

The data come in blocks of 100 loans. Every block has the same number of rows in each table, so the
ids of a block follow from its number alone: nothing has to be remembered between blocks, and a
block's content depends on the seed and its number only. The texts (notes, references) are random
and compress as poorly as real ones that are encrypted or encoded.

The invariants of `loan_schema.sql` hold by construction, so its foreign keys are not checked row
by row while loading.

One loan of a block has documents, three of them. A row without its object is what the checks look
for, so whoever keeps documents uploads one object for each row: some 300 for a database of 200 MB
and in each environment's bucket, a second or two, where three for every loan would take minutes.
"""

import random
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from include.sandbox import documents
from ledgerkeep.database.postgres.address import ServerAddress, connect

SCHEMA = Path(__file__).with_name("loan_schema.sql")
ACCOUNTS = (
    ("1000", "Cash"),
    ("1200", "Loans receivable"),
    ("1300", "Interest receivable"),
    ("4000", "Interest income"),
)
CASH, RECEIVABLE, INTEREST_RECEIVABLE, INTEREST_INCOME = range(1, 5)

COLUMNS = {
    "customers": "id, name, email, country, created_at, notes",
    "loans": "id, customer_id, principal, interest, months, status, granted_on",
    "instalments": "id, loan_id, number, due_on, amount, paid",
    "ledger_entries": "id, loan_id, kind, booked_at",
    "ledger_lines": "id, entry_id, account_id, amount",
    "payments": "id, instalment_id, entry_id, amount, paid_at, reference",
    "documents_documentpackage": "id, loan_id, title, created_at",
    "documents_document": "id, package_id, object_key, content_sha256, size_bytes, "
    "content_type, uploaded_at",
}

_LOANS = 100
_CUSTOMERS = _LOANS // 2
_MONTHS = (6, 12, 12, 18, 24, 24, 36, 36, 48, 60)
_PAID = (6, 12, 6, 9, 18, 6, 18, 9, 12, 6)
_LOANS_PER_PACKAGE = 100
_DOCUMENTS = 3
_DAYS = [str(date(2016, 1, 1) + timedelta(days=day)) for day in range(4500)]
_CLOCK = [f" {step // 180:02d}:{step // 3 % 60:02d}:{step % 3 * 20:02d}+00" for step in range(4096)]
_GIVEN = ("Anna", "Bora", "Chiara", "Dirk", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_FAMILY = ("Albers", "Bianchi", "Costa", "Demir", "Eriksen", "Fuchs", "Garcia", "Horvat", "Ivanov")
_COUNTRIES = ("DE", "FR", "IT", "ES", "NL", "AT", "PL", "PT")

_EMPTY_BYTES = 8_000_000
_BLOCK_BYTES = 1_727_000  # indexes included, as measured; a test compares


Block = dict[str, list[str]]
"""Rows of one block as COPY text, per table."""


def generate(address: ServerAddress, *, size_mb: int, seed: int = 1) -> int:
    """Make the loan schema in an empty database and fill it; returns the number of rows.

    The same size and seed give the same rows.

    :param size_mb: size of the database in MB (10^6 bytes), indexes included.
    """
    blocks = max(1, round((size_mb * 1_000_000 - _EMPTY_BYTES) / _BLOCK_BYTES))
    with connect(address, autocommit=False) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET session_replication_role = replica")
        connection.execute(SCHEMA.read_bytes())
        for code, name in ACCOUNTS:
            connection.execute(
                "INSERT INTO ledger_accounts (code, name) VALUES (%s, %s)", [code, name]
            )
        rows = len(ACCOUNTS) + sum(_copy(connection, block) for block in _blocks(blocks, seed))
        _set_sequences(connection)
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")
    return rows


def cents(amount: int) -> str:
    """Cents as a decimal amount."""
    # A double holds cents exactly up to 10^13 of them, far above any loan.
    return f"{amount / 100:.2f}"


def split_evenly(total: int, parts: int) -> list[int]:
    """`total` cents in `parts` nearly equal amounts that sum to it exactly."""
    share, rest = divmod(total, parts)
    return [share + (1 if part < rest else 0) for part in range(parts)]


def _blocks(count: int, seed: int) -> Iterator[Block]:
    for number in range(count):
        yield make_block(number, seed)


def make_block(number: int, seed: int = 1) -> Block:
    """The rows of block `number`, which depend on nothing else but the seed."""
    return _BlockMaker(number, random.Random(f"{seed}/{number}")).make()


class _BlockMaker:
    """Makes one block; the ids it gives out start where the block before must have ended.

    Rows are formatted where they are made: this is the inner loop of the generator.
    """

    def __init__(self, number: int, chance: random.Random) -> None:
        self._chance = chance
        self._rows: dict[str, list[str]] = {table: [] for table in COLUMNS}
        self._next = {table: number * count + 1 for table, count in ROWS_PER_BLOCK.items()}

    def make(self) -> Block:
        first_customer = self._next["customers"]
        for _ in range(_CUSTOMERS):
            self._customer()
        for index in range(_LOANS):
            self._loan(first_customer + index % _CUSTOMERS, index % len(_MONTHS))
        return self._rows

    def _id(self, table: str) -> int:
        row = self._next[table]
        self._next[table] = row + 1
        return row

    def _customer(self) -> None:
        chance = self._chance
        customer = self._id("customers")
        name = f"{chance.choice(_GIVEN)} {chance.choice(_FAMILY)}"
        self._rows["customers"].append(
            f"{customer}\t{name}\tcustomer{customer:010d}@example.org\t"
            f"{chance.choice(_COUNTRIES)}\t{_DAYS[chance.randrange(1000)]}\t{self._text(900)}"
        )

    def _loan(self, customer: int, kind: int) -> None:
        chance = self._chance
        loan = self._id("loans")
        months = _MONTHS[kind]
        paid = _PAID[kind]
        principal = chance.randrange(100_000, 5_000_000)
        interest = principal * months * chance.randrange(20, 60) // 12_000
        day = 1000 + chance.randrange(1500)
        self._rows["loans"].append(
            f"{loan}\t{customer}\t{cents(principal)}\t{cents(interest)}\t{months}\t"
            f"{'repaid' if paid == months else 'active'}\t{_DAYS[day]}"
        )
        self._entry(loan, "disbursement", day, (RECEIVABLE, principal), (CASH, -principal))
        self._entry(
            loan, "interest", day, (INTEREST_RECEIVABLE, interest), (INTEREST_INCOME, -interest)
        )
        shares = zip(split_evenly(principal, months), split_evenly(interest, months), strict=True)
        for month, (capital, charge) in enumerate(shares, 1):
            self._instalment(loan, month, day, capital, charge, is_paid=month <= paid)
        if loan % _LOANS_PER_PACKAGE == 0:
            self._documents(loan, day)

    def _instalment(
        self, loan: int, month: int, granted: int, capital: int, charge: int, *, is_paid: bool
    ) -> None:
        due = granted + 30 * month
        instalment = self._id("instalments")
        amount = cents(capital + charge)
        self._rows["instalments"].append(
            f"{instalment}\t{loan}\t{month}\t{_DAYS[due]}\t{amount}\t{amount if is_paid else 0}"
        )
        if not is_paid:
            return
        entry = self._entry(
            loan,
            "repayment",
            due,
            (CASH, capital + charge),
            (RECEIVABLE, -capital),
            (INTEREST_RECEIVABLE, -charge),
        )
        self._rows["payments"].append(
            f"{self._id('payments')}\t{instalment}\t{entry}\t{amount}\t{self._moment(due)}\t"
            f"{self._text(400)}"
        )

    def _entry(self, loan: int, kind: str, day: int, *lines: tuple[int, int]) -> int:
        entry = self._id("ledger_entries")
        self._rows["ledger_entries"].append(f"{entry}\t{loan}\t{kind}\t{self._moment(day)}")
        line = self._next["ledger_lines"]
        self._next["ledger_lines"] = line + len(lines)
        self._rows["ledger_lines"] += [
            f"{line + index}\t{entry}\t{account}\t{cents(amount)}"
            for index, (account, amount) in enumerate(lines)
        ]
        return entry

    def _documents(self, loan: int, day: int) -> None:
        package = self._id("documents_documentpackage")
        self._rows["documents_documentpackage"].append(
            f"{package}\t{loan}\tLoan agreement {loan}\t{self._moment(day)}"
        )
        for part in range(_DOCUMENTS):
            made = documents.document(f"documents/{package:010d}/{part}-{self._text(16)}.pdf")
            self._rows["documents_document"].append(
                f"{self._id('documents_document')}\t{package}\t{made.key}\t{made.sha256}\t"
                f"{made.size}\t{documents.CONTENT_TYPE}\t{self._moment(day)}"
            )

    def _moment(self, day: int) -> str:
        return _DAYS[day] + _CLOCK[self._chance.getrandbits(12)]

    def _text(self, size: int) -> str:
        """Random text of `size` characters (a multiple of 4)."""
        return urlsafe_b64encode(self._chance.randbytes(size * 3 // 4)).decode()


def _rows_per_block() -> dict[str, int]:
    loans_of_a_kind = _LOANS // len(_MONTHS)
    instalments = loans_of_a_kind * sum(_MONTHS)
    payments = loans_of_a_kind * sum(_PAID)
    return {
        "customers": _CUSTOMERS,
        "loans": _LOANS,
        "instalments": instalments,
        "ledger_entries": 2 * _LOANS + payments,
        "ledger_lines": 4 * _LOANS + 3 * payments,
        "payments": payments,
        "documents_documentpackage": _LOANS // _LOANS_PER_PACKAGE,
        "documents_document": _DOCUMENTS * _LOANS // _LOANS_PER_PACKAGE,
    }


ROWS_PER_BLOCK = _rows_per_block()


def _copy(connection: psycopg.Connection, block: Block) -> int:
    with connection.cursor() as cursor:
        for table, lines in block.items():
            statement = f"COPY {table} ({COLUMNS[table]}) FROM STDIN"
            with cursor.copy(statement) as copy:
                copy.write("\n".join(lines) + "\n")
    return sum(map(len, block.values()))


def _set_sequences(connection: psycopg.Connection) -> None:
    """Go on behind the ids that COPY wrote."""
    for table in COLUMNS:
        connection.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence({name}, 'id'), max(id)) FROM {table}"
            ).format(name=sql.Literal(table), table=sql.Identifier(table))
        )
