"""Recovery of documents: back to a version, to a moment, or out of a deletion.

    request      what a person asks for, read without guessing
    decide       what has to happen to one key, from its versions alone; pure
    scan         the versions that matter, in as few listings as there can be
    route        from which bucket to which, and who moves the bytes
    plan         one pass over the versions, written down key by key before anything is touched
    cold         what lies in cold storage, asked for and waited for
    copying      one version over its key; belongings: with everything that belongs to it
    carry_out    all of them, side by side; journal: found again after a kill
    proving      that a copy is what its version was
    report       what came of each key
    sample       documents for a restore test, and the place where they are restored

A document's history is never shortened: what is wanted is copied over its key as a new version,
what has to go gets a delete marker. So every recovery can itself be gone back over.
"""
