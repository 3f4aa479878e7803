"""A write load on the loan database that keeps every invariant of its schema.

Each client is a thread with a connection of its own that does what a loan system does all day:
grant a loan, take a repayment, add a document. Every step is one transaction, so whenever the load
is stopped, killed or backed up, the ledger balances.

Given the documents' bucket it uploads what it adds, and replaces and removes documents too, object
and row; without one it adds rows only, for those who look at nothing but the database.
"""

import argparse
import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import TIMEOUT_MAX, Event, Lock, Thread
from time import monotonic

import psycopg
from obstore.exceptions import BaseError

from include.sandbox.document_load import Step, document_steps
from include.sandbox.documents import DocumentStore
from include.sandbox.loan_data import (
    CASH,
    INTEREST_INCOME,
    INTEREST_RECEIVABLE,
    RECEIVABLE,
    cents,
    split_evenly,
)
from include.sandbox.objectstore import Credentials
from ledgerkeep.database.postgres.address import ServerAddress, connect

_GRANT = """
INSERT INTO loans (customer_id, principal, interest, months, status, granted_on)
SELECT id, %(principal)s, %(interest)s, %(months)s, 'active', current_date
FROM customers WHERE id >= (SELECT (max(id) * %(where)s)::bigint FROM customers)
ORDER BY id LIMIT 1
RETURNING id
"""
_INSTALMENT = """
INSERT INTO instalments (loan_id, number, due_on, amount)
VALUES (%s, %s, current_date + 30 * %s, %s)
"""
_UNPAID = """
SELECT id, loan_id, amount, round(amount * principal / (principal + interest), 2)
FROM instalments
JOIN LATERAL (SELECT principal, interest FROM loans WHERE loans.id = loan_id) AS loan ON true
WHERE id >= (SELECT (max(id) * %s)::bigint FROM instalments) AND paid = 0 AND amount > 0
ORDER BY id LIMIT 1 FOR UPDATE OF instalments SKIP LOCKED
"""
_PAID = "UPDATE instalments SET paid = amount WHERE id = %s"
_REPAID = """
UPDATE loans SET status = 'repaid'
WHERE id = %(loan)s
AND NOT EXISTS (SELECT FROM instalments WHERE loan_id = %(loan)s AND paid < amount)
"""
_ENTRY = "INSERT INTO ledger_entries (loan_id, kind, booked_at) VALUES (%s, %s, now()) RETURNING id"
_LINE = "INSERT INTO ledger_lines (entry_id, account_id, amount) VALUES (%s, %s, %s)"
_PAYMENT = """
INSERT INTO payments (instalment_id, entry_id, amount, paid_at, reference)
VALUES (%s, %s, %s, now(), %s)
"""


class WriteLoad:
    """Clients that write until they are stopped."""

    def __init__(
        self,
        address: ServerAddress,
        *,
        clients: int = 2,
        rate: float | None = None,
        documents: DocumentStore | None = None,
    ) -> None:
        """Connect the clients; nothing is written before `start`.

        :param address: of the loan database.
        :param rate: transactions per second of all clients together; None: as fast as they can.
        :param documents: where the objects of document rows go; None: there are none.
        """
        self._steps = (*_STEPS, *document_steps(documents))
        self._stop = Event()
        self._lock = Lock()
        self._interval = clients / rate if rate else 0.0
        self._error: Exception | None = None
        self.transactions = 0
        """Committed so far."""
        self._threads = [
            Thread(target=self._write, args=[connect(address, autocommit=True)], daemon=True)
            for _ in range(clients)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> None:
        """Let it write for a time, or until a client fails."""
        self._stop.wait(seconds)

    def stop(self) -> int:
        """Stop at once, and say how many transactions were committed.

        :raises psycopg.Error, BaseError: what a client failed with before.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error
        return self.transactions

    def _write(self, connection: psycopg.Connection) -> None:
        chance = random.Random()
        due = monotonic()
        try:
            with connection:
                while not self._stop.wait(max(0.0, due - monotonic())):
                    due = max(due + self._interval, monotonic() - 1)
                    with connection.transaction():
                        afterwards = chance.choice(self._steps)(connection, chance)
                    if afterwards:
                        afterwards()
                    with self._lock:
                        self.transactions += 1
        except (psycopg.Error, BaseError, FileNotFoundError) as problem:
            self._error = problem
            self._stop.set()


@contextmanager
def write_load(
    address: ServerAddress,
    *,
    clients: int = 2,
    rate: float | None = None,
    documents: DocumentStore | None = None,
) -> Iterator[WriteLoad]:
    """A write load for a block; see `WriteLoad`. A client's failure is raised at the end."""
    load = WriteLoad(address, clients=clients, rate=rate, documents=documents)
    load.start()
    try:
        yield load
    finally:
        load.stop()


def grant_loan(connection: psycopg.Connection, chance: random.Random) -> None:
    """A customer gets a loan: its instalments, and its entries in the ledger."""
    months = chance.choice((6, 12, 24))
    principal, interest = chance.randrange(100_000, 2_000_000), chance.randrange(1_000, 90_000)
    amounts = {"principal": cents(principal), "interest": cents(interest), "months": months}
    found = connection.execute(_GRANT, {**amounts, "where": chance.random()}).fetchone()
    if found is None:
        return
    loan = found[0]
    shares = zip(split_evenly(principal, months), split_evenly(interest, months), strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(
            _INSTALMENT,
            [(loan, month, month, cents(sum(share))) for month, share in enumerate(shares, 1)],
        )
    _book(connection, loan, "disbursement", {RECEIVABLE: principal, CASH: -principal})
    _book(connection, loan, "interest", {INTEREST_RECEIVABLE: interest, INTEREST_INCOME: -interest})


def take_repayment(connection: psycopg.Connection, chance: random.Random) -> None:
    """An instalment is paid."""
    found = connection.execute(_UNPAID, [chance.random()]).fetchone()
    if found is None:
        return
    instalment, loan, *amounts = found
    amount, capital = (int(100 * value) for value in amounts)
    lines = {CASH: amount, RECEIVABLE: -capital, INTEREST_RECEIVABLE: capital - amount}
    entry = _book(connection, loan, "repayment", lines)
    connection.execute(_PAYMENT, [instalment, entry, cents(amount), secrets.token_urlsafe(300)])
    connection.execute(_PAID, [instalment])
    connection.execute(_REPAID, {"loan": loan})


_STEPS: tuple[Step, ...] = (grant_loan, take_repayment, take_repayment, take_repayment)


def _book(connection: psycopg.Connection, loan: int, kind: str, lines: dict[int, int]) -> int:
    """An entry whose lines sum to zero; a line of nothing is left out."""
    [entry] = connection.execute(_ENTRY, [loan, kind]).fetchone() or [0]
    with connection.cursor() as cursor:
        cursor.executemany(
            _LINE, [(entry, account, cents(amount)) for account, amount in lines.items() if amount]
        )
    return entry


def add_options(parser: argparse.ArgumentParser) -> None:
    """Command line options of the load."""
    parser.add_argument("--clients", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rate", type=float, help="transactions per second; default: no limit")
    parser.add_argument("--seconds", type=float, help="default: until interrupted")
    parser.add_argument(
        "--url",
        default=os.environ.get("SANDBOX_DATABASE_URL"),
        help="the loan database; default: $SANDBOX_DATABASE_URL",
    )
    parser.add_argument(
        "--bucket",
        default=os.environ.get("SANDBOX_DOCUMENTS_BUCKET"),
        help="where documents are uploaded to; default: $SANDBOX_DOCUMENTS_BUCKET",
    )


def run(given: argparse.Namespace) -> int:
    """Write as the options say, and print how much was written."""
    if not given.url:
        print("no database: source .sandbox/env first, or give --url")
        return 1
    address = ServerAddress.from_url(given.url)
    documents = _documents(given.bucket) if given.bucket else None
    began = monotonic()
    with write_load(address, clients=given.clients, rate=given.rate, documents=documents) as load:
        try:
            load.wait(given.seconds if given.seconds else TIMEOUT_MAX)
        finally:
            seconds = monotonic() - began
            print(f"{load.transactions} transactions in {seconds:.1f} s")
    return 0


def _documents(bucket: str) -> DocumentStore:
    """A bucket of the sandbox whose `.sandbox/env` was sourced."""
    user = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    return DocumentStore(os.environ["AWS_ENDPOINT_URL_S3"], user, bucket)
