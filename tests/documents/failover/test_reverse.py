"""Replication back: set where the store has rules, beside what the bucket replicates already."""

from typing import Any

import pytest

from include.sandbox.objectstore import ObjectStoreServer
from ledgerkeep.documents.failover.reverse import joined, replicate, rule_to
from ledgerkeep.errors import StorageError
from ledgerkeep.policy.values import Encryption
from ledgerkeep.storage.versions import list_versions
from tests.documents.protection.stand_in import HOME, aws, bucket_on, make_bucket
from tests.support.buckets import documents_bucket

__all__ = ["aws"]

ROLE = "arn:aws:iam::123456789012:role/replication"
PLAIN = Encryption(mode="AES256")
ELSEWHERE = {
    "ID": "to-the-analysts",
    "Priority": 4,
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "DeleteMarkerReplication": {"Status": "Disabled"},
    "Destination": {"Bucket": "arn:aws:s3:::analysts"},
}


def test_rule_selects_what_kms_encrypts_and_names_the_owner() -> None:
    rule = rule_to(
        "primary",
        encryption=Encryption(mode="aws:kms", key_id="alias/documents"),
        account_id="123456789012",
        prefix="documents/",
    )
    assert rule == {
        "ID": "ledgerkeep-documents",
        "Status": "Enabled",
        "Filter": {"Prefix": "documents/"},
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
        "Destination": {
            "Bucket": "arn:aws:s3:::primary",
            "Account": "123456789012",
            "AccessControlTranslation": {"Owner": "Destination"},
            "EncryptionConfiguration": {"ReplicaKmsKeyID": "alias/documents"},
        },
    }


def test_rules_to_other_places_stay() -> None:
    rule = rule_to("primary", encryption=PLAIN)
    made = joined({"Role": ROLE, "Rules": [ELSEWHERE]}, rule, ROLE)
    assert made == {"Role": ROLE, "Rules": [ELSEWHERE, {**rule, "Priority": 5}]}
    assert joined(made, rule, ROLE) == made
    assert joined({}, rule, ROLE)["Rules"] == [{**rule, "Priority": 0}]


def test_another_role_is_not_taken_from_rules_to_other_places() -> None:
    rule = rule_to("primary", encryption=PLAIN)
    with pytest.raises(StorageError) as caught:
        joined({"Role": "arn:aws:iam::1:role/other", "Rules": [ELSEWHERE]}, rule, ROLE)
    assert caught.value.message == (
        "the bucket replicates elsewhere with the role arn:aws:iam::1:role/other, and can have "
        "only one"
    )


def versioned(name: str) -> Any:
    client = make_bucket(name, HOME)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return client


def test_rule_is_set_and_read_back(aws: None) -> None:
    versioned("primary")
    client = versioned("replica")
    bucket = bucket_on(client, "replica")
    assert replicate(bucket, rule_to("primary", encryption=PLAIN), ROLE) is True
    found = client.get_bucket_replication(Bucket="replica")["ReplicationConfiguration"]
    assert found["Role"] == ROLE
    assert [one["Destination"]["Bucket"] for one in found["Rules"]] == ["arn:aws:s3:::primary"]


@pytest.mark.integration
def test_store_without_rules_is_sent_nothing(s3: ObjectStoreServer, bucket: str) -> None:
    """It would take the request for the making of a bucket."""
    there = documents_bucket(s3, bucket)
    there.client.put_object(Bucket=bucket, Key="d", Body=b"1")
    assert replicate(there, rule_to("primary", encryption=PLAIN), ROLE) is False
    assert len(list(list_versions(there))) == 1
