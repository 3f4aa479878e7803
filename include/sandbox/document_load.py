"""What the loan system does with documents: add one, replace it, remove it; the object and its row.

Two stores cannot change in one moment, so the order decides what a crash in between leaves. The
object is written first and the row after it: at worst a version that no row asks for. When a
document goes, its row goes first: at worst an object without a row. A row whose object is not
there is never the application's doing.
"""

import random
import secrets
from collections.abc import Callable
from functools import partial

import psycopg

from include.sandbox.documents import CONTENT_TYPE, Document, DocumentStore, document

Step = Callable[[psycopg.Connection, random.Random], Callable[[], None] | None]
"""One transaction; it may return what is left to do once that is committed."""

_PACKAGE = """
INSERT INTO documents_documentpackage (loan_id, title, created_at)
SELECT id, 'Amendment', now()
FROM loans WHERE id >= (SELECT (max(id) * %s)::bigint FROM loans) ORDER BY id LIMIT 1
RETURNING id
"""
_ADD = """
INSERT INTO documents_document
    (package_id, object_key, content_sha256, size_bytes, content_type, uploaded_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp())
"""
# By its place among those that are there: by its id, gaps would be eaten into at their end.
_ONE = """
SELECT id, object_key FROM documents_document
ORDER BY id OFFSET (SELECT floor(count(*) * %s) FROM documents_document) LIMIT 1
FOR UPDATE SKIP LOCKED
"""
_REPLACE = """
UPDATE documents_document
SET content_sha256 = %s, size_bytes = %s, uploaded_at = clock_timestamp()
WHERE id = %s
"""
_REMOVE = "DELETE FROM documents_document WHERE id = %s"


def document_steps(store: DocumentStore | None) -> tuple[Step, ...]:
    """What a client may do with documents: without a store it adds rows, and that is all."""
    if store is None:
        return (add_document,)
    return (
        partial(add_document, store=store),
        partial(add_document, store=store),
        partial(replace_document, store=store),
        partial(remove_document, store=store),
    )


def add_document(
    connection: psycopg.Connection, chance: random.Random, *, store: DocumentStore | None = None
) -> None:
    """A loan gets a document."""
    found = connection.execute(_PACKAGE, [chance.random()]).fetchone()
    if found is None:
        return
    new = document(f"documents/{found[0]:010d}/0-{secrets.token_urlsafe(12)}.pdf")
    if store:
        store.put(new)
    connection.execute(_ADD, [found[0], new.key, new.sha256, new.size, CONTENT_TYPE])


def replace_document(
    connection: psycopg.Connection, chance: random.Random, *, store: DocumentStore
) -> None:
    """A document is replaced by another revision of itself."""
    found = connection.execute(_ONE, [chance.random()]).fetchone()
    if found is None:
        return
    row, key = found
    new: Document = document(key, secrets.token_hex(4))
    store.put(new)
    connection.execute(_REPLACE, [new.sha256, new.size, row])


def remove_document(
    connection: psycopg.Connection, chance: random.Random, *, store: DocumentStore
) -> Callable[[], None] | None:
    """A document is removed."""
    found = connection.execute(_ONE, [chance.random()]).fetchone()
    if found is None:
        return None
    row, key = found
    connection.execute(_REMOVE, [row])
    return partial(store.remove, key)
