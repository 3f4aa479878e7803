"""Contradictions between the documents' sections and the rest of a policy."""

from collections.abc import Iterator

from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.model import Policy
from ledgerkeep.policy.values import format_duration

Contradiction = tuple[FieldPath, str, str]


def document_contradictions(policy: Policy) -> Iterator[Contradiction]:
    """What of the documents' policy cannot all be meant."""
    yield from _rows(policy)
    yield from _failover(policy.documents)
    yield from _tests(policy)


def _rows(policy: Policy) -> Iterator[Contradiction]:
    documents, databases = policy.documents, policy.database.databases
    rows = documents.rows if documents else None
    if rows is not None and rows.database not in databases:
        yield (
            ("documents", "rows", "database"),
            f"'{rows.database}'",
            f"one of database.databases: {', '.join(databases)}",
        )
    needed_by = {
        ("documents", "metadata_consistency"): documents and documents.metadata_consistency,
        ("restore_tests", "one_moment_recovery"): policy.restore_tests.one_moment_recovery,
    }
    for path, section in needed_by.items():
        if section is not None and rows is None:
            yield path, "a comparison with rows that the policy does not name", "documents.rows"
    if policy.restore_tests.one_moment_recovery and policy.database.wal_shipping is None:
        yield (
            ("restore_tests", "one_moment_recovery"),
            "a recovery to a moment without WAL",
            "database.wal_shipping",
        )


def _failover(documents: Documents | None) -> Iterator[Contradiction]:
    if documents is None or documents.failover is None:
        return
    if documents.replica is None:
        yield (
            ("documents", "failover"),
            "a failover to a replica that the policy does not name",
            "documents.replica",
        )
    if documents.failover.services and documents.failover.cluster is None:
        yield (
            ("documents", "failover", "services"),
            "services without their cluster",
            "documents.failover.cluster",
        )


def _tests(policy: Policy) -> Iterator[Contradiction]:
    """A test restores what there is, from where there is something."""
    tests, documents = policy.restore_tests, policy.documents
    for name in (
        "single_document_recovery",
        "bulk_document_recovery",
        "cross_region_document_recovery",
    ):
        if getattr(tests, name) is None:
            continue
        if documents is None:
            yield ("restore_tests", name), "a test of documents without documents", "null"
        elif name.startswith("cross_region") and documents.replica is None:
            yield (
                ("restore_tests", name),
                "a test of the replica while there is none",
                "null, or documents.replica",
            )
    recovery = documents.recovery if documents else None
    if recovery and recovery.thaw_timeout <= recovery.thaw_poll:
        yield (
            ("documents", "recovery", "thaw_timeout"),
            format_duration(recovery.thaw_timeout),
            f"more than {format_duration(recovery.thaw_poll)}, as thaw_poll",
        )
