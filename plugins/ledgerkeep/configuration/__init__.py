"""Configuration: what the system is set to, exported on change, compared, put back.

One interface, three verbs for every source (`ledgerkeep.configuration.source`): **export** what is
live, **compare** it with what is stored, **restore** what differs. A source is one module below
`sources`, and its section in the policy. Everything else is the same for all of them: what an item
is and when two are equal (`items`), how secrets leave the worker only encrypted (`sealing`), what
a stored version is (`versions`), how a difference reads (`difference`).

The invariant: a version's canonical content says what is set and never a secret's value. Where the
value stands there is its mark, a keyed hash; the values lie beside it, sealed on the worker.
"""
