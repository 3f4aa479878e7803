"""Contradictions between the replica's sections of a policy."""

from collections.abc import Iterator

from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.documents import Documents


def replica_contradictions(documents: Documents | None) -> Iterator[tuple[FieldPath, str, str]]:
    """What the policy says of a replica that cannot all be meant: field, found, allowed."""
    if documents is None:
        return
    for name in ("replication", "replica_consistency"):
        if getattr(documents, name) is not None and documents.replica is None:
            found = "a replica is to be kept or compared that the policy does not name"
            yield ("documents", name), found, "documents.replica"
    replica = documents.replica
    if replica is None:
        return
    if replica.replication == "scheduled" and documents.replication is None:
        yield (
            ("documents", "replica", "replication"),
            "scheduled, and no schedule",
            "documents.replication, or continuous where the store itself replicates",
        )
    if replica.replication == "continuous" and documents.replication is not None:
        yield (
            ("documents", "replication"),
            "a schedule, though the store itself replicates",
            "documents.replica.replication: scheduled, or no schedule",
        )
