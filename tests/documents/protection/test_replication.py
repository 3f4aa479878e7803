"""The rule to the replica: that there is one, whom it leads to, and what it carries."""

from typing import Any

import pytest

from ledgerkeep.documents.protection.replication import compare_replication
from ledgerkeep.documents.protection.settings import Absent
from ledgerkeep.documents.protection.store import SEAWEEDFS
from ledgerkeep.policy.values import Encryption
from tests.documents.protection.samples import fulfilled, replica, settings, told, wanted

KMS = Encryption(mode="aws:kms", key_id="alias/documents")
KEY = "arn:aws:kms:eu-west-1:444455556666:key/9"
ON, OFF = {"Status": "Enabled"}, {"Status": "Disabled"}


def rule(**more: Any) -> dict[str, Any]:
    destination = {
        "Bucket": "arn:aws:s3:::replica",
        "Account": "444455556666",
        "EncryptionConfiguration": {"ReplicaKmsKeyID": KEY},
        "Metrics": ON,
        "ReplicationTime": ON,
        **more.pop("destination", {}),
    }
    return {
        "ID": "documents",
        "Priority": 1,
        "Filter": {"Prefix": ""},
        **ON,
        "DeleteMarkerReplication": ON,
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": ON},
        "Destination": destination,
        **more,
    }


def compare(*rules: dict, prefix: str = "", **asked: Any) -> list[tuple[str, str]]:
    lines = compare_replication(
        settings(replication={"Role": "arn:role", "Rules": list(rules)}),
        wanted(
            prefix,
            encryption=KMS,
            replica=replica(account_id="444455556666"),
            replica_key_arn=KEY,
            replication={"time_control": True, **asked},
        ),
    )
    return [(severity, words.removeprefix("s3://documents: ")) for severity, words in told(lines)]


EXPECTED = "replication: expected an enabled rule for all documents to s3://replica, found "


def test_rule_that_carries_everything_holds() -> None:
    assert compare(rule()) == []


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([], "none"),
        ([rule(destination={"Bucket": "arn:aws:s3:::another"})], "none"),
        ([rule(**OFF)], "rule documents is disabled"),
        ([rule(Filter={"Prefix": "loans/"})], "rule documents is for keys below loans/ only"),
        (
            [rule(Filter={"Tag": {"Key": "a", "Value": "b"}})],
            "rule documents is for documents with certain tags only",
        ),
    ],
)
def test_replica_without_all_documents_is_critical(rules: list[dict], found: str) -> None:
    assert compare(*rules)[0] == ("critical", EXPECTED + found)


def test_of_several_rules_the_one_that_comes_nearest_counts() -> None:
    narrow = rule(ID="narrow", Priority=9, Filter={"Prefix": "loans/"})
    assert compare(rule(ID="off", Priority=8, **OFF), narrow, rule()) == []


def test_rule_for_a_wider_prefix_covers_the_documents() -> None:
    assert compare(rule(Filter={"Prefix": "loans/"}), prefix="loans/2026/") == []


@pytest.mark.parametrize(
    ("changed", "severity", "words"),
    [
        (
            {"destination": {"Account": "999999999999"}},
            "critical",
            "account of the replica: expected 444455556666, found 999999999999",
        ),
        (
            {"destination": {"EncryptionConfiguration": {}}},
            "critical",
            "KMS key of the replica: expected alias/replica, found none",
        ),
        (
            {"SourceSelectionCriteria": {}},
            "critical",
            "replication of KMS-encrypted objects: expected on, found off",
        ),
        (
            {"DeleteMarkerReplication": OFF},
            "warning",
            "replication of delete markers: expected on, found off",
        ),
        (
            {"destination": {"Metrics": OFF}},
            "warning",
            "replication metrics: expected on, found off",
        ),
        (
            {"destination": {"ReplicationTime": OFF}},
            "warning",
            "replication time control: expected on, found off",
        ),
    ],
)
def test_each_thing_that_a_rule_lacks_is_one_line(changed: dict, severity: str, words: str) -> None:
    assert compare(rule(**changed)) == [(severity, words)]


def test_markers_that_shall_stay_here_but_go_are_named() -> None:
    assert compare(rule(), delete_markers=False) == [
        ("warning", "replication of delete markers: expected off, found on")
    ]


def test_rule_of_the_old_form_carries_delete_markers_along() -> None:
    old = {k: v for k, v in rule().items() if k not in ("Filter", "DeleteMarkerReplication")}
    assert compare({**old, "Prefix": ""}) == []


def test_store_that_replicates_by_other_means_is_not_applicable() -> None:
    lines = compare_replication(
        settings(SEAWEEDFS, replication=Absent("SeaweedFS")),
        wanted(replica=replica(), replication={}),
    )
    assert fulfilled(lines) == []
    assert [line.words for line in lines] == [
        "s3://documents: replication: not applicable here: SeaweedFS has none "
        "(expected an enabled rule for all documents to s3://replica)"
    ]


def test_nothing_is_asked_without_a_replica_or_a_rule() -> None:
    assert compare_replication(settings(), wanted(replica=replica())) == []
    assert compare_replication(settings(), wanted(replication={})) == []
