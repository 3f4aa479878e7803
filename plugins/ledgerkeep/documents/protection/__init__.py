"""The protection check: whether the documents' bucket is what the policy says it is.

    store       which S3 this is, what it has at all, and what may be sent to it
    wanted      what the policy wants of the bucket and of its replica
    settings    reads the bucket's sub-resources, each told apart from "not set" and "not told"
    lines       one line per property: expected against found
    plain, lifecycle, replication, statements and access
                pure comparisons of one kind of property each
    compare     all of them
    proposal    what would put drift right, as changes that can be shown and approved
    check       both buckets compared, and the outline of the changes that is approved
    repair      carries them out, one property at a time, each read back
    versions    one pass over every version: counts, costs, the newest ones
    costs       what a month costs, and would cost with other transitions
    lag         how far the replica is behind, by a sample
    metrics     what CloudWatch knows of both
    judge       what versions, costs and lag come to, in sentences
    kms         a key by its ARN

Only `store`, `settings`, `repair`, `lag`, `metrics` and `kms` ask anybody; the rest decides.
"""
