"""The protection check: whether the documents' bucket is what the policy says it is.

    store       which S3 this is, and what it has at all
    settings    reads the bucket's sub-resources, each told apart from "not set" and "not told"
    lines       one line per property: expected against found
    plain, lifecycle, replication, access
                pure comparisons of one kind of property each
    compare     all of them, for the bucket and its replica
    proposal    what would put drift right, as changes that can be shown and approved
    repair      carries them out, one property at a time, each read back
    versions    one pass over every version: counts, costs, the newest ones
    costs       what a month costs, and would cost with other transitions
    lag         how far the replica is behind

Only `settings`, `repair`, `versions` and `lag` talk to a store; the rest decides.
"""
