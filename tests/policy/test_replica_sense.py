"""What a policy may say of the documents' replica."""

from pathlib import Path

import pytest

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.load import load_environment, load_policy
from ledgerkeep.policy.replica_sense import replica_contradictions
from tests.policy.support import broken

SCHEDULE = '  replication:\n    schedule: "0 2 * * *"                 # inventory: daily\n'


@pytest.mark.parametrize(
    ("environment", "change", "fault"),
    [
        (
            "staging",
            (SCHEDULE, ""),
            "documents.replica.replication: found scheduled, and no schedule; allowed: "
            "documents.replication, or continuous where the store itself replicates",
        ),
        (
            "staging",
            ("    replication: scheduled ", "    replication: continuous "),
            "documents.replication: found a schedule, though the store itself replicates; allowed: "
            "documents.replica.replication: scheduled, or no schedule",
        ),
        (
            "staging",
            (
                '    schedule: "0 4 * * *"                 # inventory: daily',
                '    schedule: "0 99 * * *"',
            ),
            "documents.replica_consistency.schedule: found ",
        ),
        (
            "staging",
            (
                "may do it\n  metadata",
                "may do it\n    inventories: {documents: null}\n  metadata",
            ),
            "documents.replica_consistency.inventories.",
        ),
    ],
)
def test_replica_that_cannot_be_meant_is_refused(
    tmp_path: Path, environment: str, change: tuple[str, str], fault: str
) -> None:
    path = broken(tmp_path, environment, change)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert fault in caught.value.message


def test_comparison_without_a_replica_is_refused() -> None:
    documents = load_environment("staging").documents
    assert documents is not None
    alone = documents.model_copy(update={"replica": None})
    assert [path for path, _, _ in replica_contradictions(alone)] == [
        ("documents", "replication"),
        ("documents", "replica_consistency"),
    ]
    assert list(replica_contradictions(documents)) == []
    assert list(replica_contradictions(None)) == []
