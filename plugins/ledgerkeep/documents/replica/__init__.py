"""Whether the replica holds what the documents' bucket holds, and how it comes to.

    listings or inventories -> merge -> look again -> differences -> repair -> merge again

`rules` says what counts as the same version, `history` compares one key, `merge` a whole bucket
as two sorted streams. None of them asks a store anything. `shards`, `check` and `inventory` bring
the streams and write down what differs; `contents` looks closer where ETags cannot tell; `copying`
and `repair` bring the replica up to date. What has to be done is always decided by a comparison
that was made just now, never by what an earlier run noted: so each of them may be killed at any
moment and run again.
"""
