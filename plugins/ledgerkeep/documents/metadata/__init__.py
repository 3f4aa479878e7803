"""Document rows and document objects held against each other.

A document is two things in two places: a row that names a key, a size and a SHA-256, and an object
under that key. Neither store knows of the other, so nothing but a comparison shows that they still
agree.

    rows        the rows, streamed in the order of their keys' bytes, from one snapshot
    content     what the store tells of an object's content, or the object read and hashed
    merge       rows, the rows of the last run and the listing, side by side: the pure part
    doubt       what seems wrong is looked at again, row and object, before it is a finding
    snapshot    the rows as they were seen, kept for the next run, and what changed since the last
    check       one run of all that
    repair      the version whose content the row holds, put back
    relations   the document tables and what they reference
    difference  a restored copy's rows against production's
    apply       the missing and changed rows, in one transaction

Everything passes as streams: a million rows take the memory of a thousand.
"""
