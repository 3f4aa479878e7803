"""What the documents' sections need of the others is missed with the field that lacks it."""

from ledgerkeep.policy.load import load_policy
from ledgerkeep.policy.sense import contradictions
from ledgerkeep.policy.values import format_duration
from tests.policy.support import POLICIES


def test_documents_are_compared_only_with_rows_that_the_policy_names() -> None:
    policy = load_policy(POLICIES / "staging.yaml")
    documents = policy.documents.model_copy(update={"rows": None})
    found = contradictions(policy.model_copy(update={"documents": documents}))
    words = "a comparison with rows that the policy does not name"
    assert found == [
        (("documents", "metadata_consistency"), words, "documents.rows"),
        (("restore_tests", "one_moment_recovery"), words, "documents.rows"),
    ]


def test_one_moment_for_both_needs_wal() -> None:
    policy = load_policy(POLICIES / "staging.yaml")
    database = policy.database.model_copy(update={"wal_shipping": None})
    found = contradictions(policy.model_copy(update={"database": database}))
    assert (
        ("restore_tests", "one_moment_recovery"),
        "a recovery to a moment without WAL",
        "database.wal_shipping",
    ) in found


def test_failover_needs_a_replica_and_services_their_cluster() -> None:
    policy = load_policy(POLICIES / "production.yaml")
    assert policy.documents is not None
    assert policy.documents.failover is not None
    failover = policy.documents.failover.model_copy(update={"cluster": None})
    documents = policy.documents.model_copy(update={"replica": None, "failover": failover})
    found = contradictions(policy.model_copy(update={"documents": documents}))
    assert (
        ("documents", "failover"),
        "a failover to a replica that the policy does not name",
        "documents.replica",
    ) in found
    assert (
        ("documents", "failover", "services"),
        "services without their cluster",
        "documents.failover.cluster",
    ) in found
    assert (
        ("restore_tests", "cross_region_document_recovery"),
        "a test of the replica while there is none",
        "null, or documents.replica",
    ) in found


def test_documents_are_tested_only_where_there_are_some() -> None:
    policy = load_policy(POLICIES / "production.yaml")
    found = contradictions(policy.model_copy(update={"documents": None}))
    words = "a test of documents without documents"
    assert [one for one in found if one[1] == words] == [
        (("restore_tests", name), words, "null")
        for name in (
            "single_document_recovery",
            "bulk_document_recovery",
            "cross_region_document_recovery",
        )
    ]


def test_cold_documents_are_waited_for_longer_than_until_the_first_look() -> None:
    policy = load_policy(POLICIES / "production.yaml")
    assert policy.documents is not None
    assert policy.documents.recovery is not None
    poll = policy.documents.recovery.thaw_poll
    recovery = policy.documents.recovery.model_copy(update={"thaw_timeout": poll})
    documents = policy.documents.model_copy(update={"recovery": recovery})
    assert contradictions(policy.model_copy(update={"documents": documents})) == [
        (
            ("documents", "recovery", "thaw_timeout"),
            format_duration(poll),
            f"more than {format_duration(poll)}, as thaw_poll",
        )
    ]
