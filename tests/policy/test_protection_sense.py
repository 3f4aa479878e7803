"""What a policy cannot ask of the documents' bucket, since S3 refuses it or it says nothing."""

from pathlib import Path

import pytest

from ledgerkeep.errors import PolicyError
from ledgerkeep.policy.load import load_policy
from tests.policy.support import broken, line_of

PROTECTION = "documents.protection"


@pytest.mark.parametrize(
    ("changes", "at", "fault"),
    [
        pytest.param(
            [
                (
                    "transitions:\n        - {after: 30d, storage_class: STANDARD_IA}",
                    "transitions:\n        - {after: 20d, storage_class: STANDARD_IA}",
                )
            ],
            "after: 20d",
            "lifecycle.transitions[0].after: found 20d to STANDARD_IA; "
            "allowed: at least 30d, before which S3 moves nothing there",
            id="too early for infrequent access",
        ),
        pytest.param(
            [
                (
                    "- {after: 90d, storage_class: GLACIER}\n",
                    "- {after: 45d, storage_class: GLACIER}\n",
                )
            ],
            "after: 45d",
            "lifecycle.transitions[1].after: found 45d; "
            "allowed: at least 60d, after its time in STANDARD_IA",
            id="too early out of infrequent access",
        ),
        pytest.param(
            [("expire_after: 7y", "expire_after: 90d")],
            "expire_after: 90d",
            "lifecycle.expire_after: found 90d; "
            "allowed: more than 90d, after which a version still moves",
            id="expires before it moves",
        ),
        pytest.param(
            [("abort_uploads_after: 7d", "abort_uploads_after: 12h")],
            "abort_uploads_after",
            "lifecycle.abort_uploads_after: found 12h; "
            "allowed: whole days, at least one, as S3 counts",
            id="half a day",
        ),
        pytest.param(
            [("{mode: GOVERNANCE} ", "{mode: GOVERNANCE, retention: 36h} ")],
            "retention: 36h",
            "object_lock.retention: found 36h; allowed: whole days, at least one, as S3 counts",
            id="lock of half days",
        ),
        pytest.param(
            [
                (
                    "- [{after: 30d, storage_class: GLACIER}]",
                    "- [{after: 30d, storage_class: DEEP_ARCHIVE}]",
                )
            ],
            "prices:",
            "costs.prices: found no price of DEEP_ARCHIVE; allowed: a price of each class named",
            id="class without a price",
        ),
        pytest.param(
            [
                ("      metrics: true ", "      metrics: false "),
                ("    costs:   ", "    costs:\n      counted: metrics\n      #"),
            ],
            "counted: metrics",
            "costs.counted: found metrics, with which nobody sees how far the replica is behind; "
            "allowed: listing, or protection.replication with metrics: true",
            id="lag that nobody sees",
        ),
        pytest.param(
            [("replication: continuous  ", "replication: scheduled  ")],
            "replication:                          #",
            "replication: found a rule without a replica that the store itself copies to; "
            "allowed: null, or documents.replica with replication: continuous",
            id="rule for a replica that is copied to on a schedule",
        ),
    ],
)
def test_contradiction_is_refused_with_its_line(
    tmp_path: Path, changes: list[tuple[str, str]], at: str, fault: str
) -> None:
    path = broken(tmp_path, "production", *changes)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    line = line_of(path, at)
    assert f"line {line}: {PROTECTION}.{fault}" in caught.value.message


def test_replica_with_kms_needs_a_key_for_what_is_replicated(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        "production",
        (
            "      mode: aws:kms\n      key_id: alias/loan-management-documents-production\n"
            "    replication: continuous",
            "      mode: aws:kms\n    replication: continuous",
        ),
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert (
        "documents.replica.encryption.key_id: found no key for what is replicated; "
        "allowed: a KMS key of the replica's region, or another mode"
    ) in caught.value.message


def test_replica_has_a_name_of_its_own(tmp_path: Path) -> None:
    """Two stores may each have a bucket of that name, but a repair must mean one of them."""
    path = broken(
        tmp_path,
        "production",
        (
            "    bucket: loan-management-documents-production-replica\n",
            "    bucket: loan-management-documents-production\n",
        ),
    )
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert (
        "documents.replica.bucket: found 'loan-management-documents-production', the name of the "
        "documents' own bucket; allowed: another name, by which the two can be told apart"
    ) in caught.value.message


def test_broken_schedule_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, "production", ('schedule: "50 * * * *"', 'schedule: "70 * * * *"'))
    with pytest.raises(PolicyError, match=r"documents\.protection\.schedule"):
        load_policy(path)
