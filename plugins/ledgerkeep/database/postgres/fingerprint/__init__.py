"""What a database held at exactly one point of its WAL, in a form that a copy can be held against.

snapshot    a point of the WAL, and the data as it was there
tables      what has content: tables, sequences, and what is left out
structure   the shape of it: columns, constraints, indexes, functions
hashing     one table's content as three numbers
reading     one database, by several connections at once
take        the story: the source, and the same for a copy
"""

from ledgerkeep.database.postgres.fingerprint.take import (
    fingerprint_copy,
    take_fingerprint,
    why_no_exact_fingerprint,
)

__all__ = ["fingerprint_copy", "take_fingerprint", "why_no_exact_fingerprint"]
