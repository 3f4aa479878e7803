"""Putting drift right: what is proposed, what is approved, and what is set and read back."""

import json
from typing import Any

import pytest

from ledgerkeep.documents.protection.check import (
    Side,
    approved_changes,
    check_settings,
    outline,
    readable,
)
from ledgerkeep.documents.protection.compare import compare
from ledgerkeep.documents.protection.plain import PUBLIC_ACCESS
from ledgerkeep.documents.protection.proposal import OUR_RULE, Change, propose
from ledgerkeep.documents.protection.repair import apply_changes
from ledgerkeep.documents.protection.settings import Absent, Settings, Untold
from ledgerkeep.documents.protection.store import SEAWEEDFS, UNKNOWN
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.errors import StorageError
from ledgerkeep.policy.document_protection import AccessLogs
from ledgerkeep.policy.values import Encryption
from tests.documents.protection.samples import APP, ARN, BUCKET, replica, settings, wanted
from tests.documents.protection.stand_in import AWAY, HOME, LOGS, aws, make_bucket, side

__all__ = ["aws"]

KMS = Encryption(mode="aws:kms", key_id="alias/documents")
PROCEDURES = {
    "transitions": [
        {"after": "30d", "storage_class": "STANDARD_IA"},
        {"after": "90d", "storage_class": "GLACIER"},
    ],
    "expire_after": "7y",
    "abort_uploads_after": "7d",
}


def everything(**more: Any) -> Wanted:
    """What production's policy wants, but for replication."""
    return wanted(
        **{
            "encryption": KMS,
            "lifecycle": PROCEDURES,
            "object_lock": {"retention": "30d"},
            "access_logs": AccessLogs(bucket=LOGS, prefix="documents/"),
            **more,
        }
    )


def log_bucket() -> None:
    client = make_bucket(LOGS, HOME)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{LOGS}/*",
    }
    client.put_bucket_policy(Bucket=LOGS, Policy=json.dumps({"Statement": [statement]}))


def put_right(*sides: Side) -> list[Change]:
    changes = check_settings(sides).proposal.changes
    return apply_changes(changes, {one.bucket.name: one for one in sides})


def proposed(found: Settings, asked: Wanted) -> tuple[dict[str, Any], list[str]]:
    proposal = propose([(found, asked, compare(found, asked))])
    return {one.setting: one.after for one in proposal.changes}, proposal.left


# -- with a store that takes it


def test_new_bucket_is_put_right_and_then_holds(aws: None) -> None:
    log_bucket()
    there = side(everything())
    assert check_settings([there]).grave
    assert [change.setting for change in put_right(there)] == [
        "versioning",
        "encryption",
        "lifecycle",
        "object lock",
        "public access block",
        "bucket policy",
        "ownership",
        "access logging",
    ]
    after = check_settings([there])
    assert after.counts == {
        "fulfilled": 19,
        "drift": 0,
        "not applicable": 0,
        "not told": 0,
    }
    assert after.proposal.changes == []
    assert put_right(there) == []


def test_replica_is_put_right_before_anything_is_replicated_to_it(aws: None) -> None:
    to = replica(encryption={"mode": "AES256"})
    asked = {"role_arn": "arn:aws:iam::123456789012:role/copy", "delete_markers": False}
    here = side(wanted(replica=to, replication=asked))
    there = side(Wanted("replica", "", Encryption(mode="AES256"), here.wanted.protection))
    done = [(one.bucket, one.setting) for one in put_right(here, there)]
    assert done.index(("replica", "versioning")) < done.index((BUCKET, "replication"))
    assert check_settings([here, there]).grave == []
    found = here.bucket.client.get_bucket_replication(Bucket=BUCKET)["ReplicationConfiguration"]
    assert found["Role"] == asked["role_arn"]
    assert [rule["ID"] for rule in found["Rules"]] == [OUR_RULE]


def test_setting_that_reads_back_otherwise_ends_the_repair_and_says_what_was_done(
    aws: None,
) -> None:
    """moto forgets that delete markers are to be replicated."""
    asked = {"role_arn": "arn:aws:iam::123456789012:role/copy"}
    to = replica(encryption={"mode": "AES256"})
    here = side(wanted(replica=to, replication=asked))
    there = side(Wanted("replica", "", Encryption(mode="none"), here.wanted.protection))
    with pytest.raises(StorageError) as caught:
        put_right(here, there)
    assert caught.value.message.startswith(
        "replication of s3://documents was not put right: the store took it but reads back "
    )
    assert caught.value.message.endswith(
        "; of 9 changes 5 were made (versioning of s3://replica, public access block of "
        "s3://replica, bucket policy of s3://replica, ownership of s3://replica, versioning of "
        "s3://documents)"
    )
    assert caught.value.hint == (
        "look at the property in the store's console; somebody else may be setting it too"
    )


def test_repair_that_was_cut_short_goes_on_where_it_was(aws: None) -> None:
    log_bucket()
    there = side(everything())
    approved = outline(check_settings([there]).proposal)
    first, *rest = approved_changes(check_settings([there]).proposal, approved)
    apply_changes([first], {BUCKET: there})
    again = approved_changes(check_settings([there]).proposal, approved)
    assert [one.setting for one in again] == [one.setting for one in rest]
    apply_changes(again, {BUCKET: there})
    assert check_settings([there]).grave == []


def test_change_that_was_made_meanwhile_is_left_alone(aws: None) -> None:
    there = side(wanted())
    changes = check_settings([there]).proposal.changes
    there.bucket.client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    done = apply_changes(changes, {BUCKET: there})
    assert "versioning" not in [one.setting for one in done]


def test_setting_that_became_another_since_the_approval_is_not_touched(aws: None) -> None:
    there = side(wanted())
    approved = outline(check_settings([there]).proposal)
    other = dict.fromkeys(PUBLIC_ACCESS, False) | {"BlockPublicAcls": True}
    there.bucket.client.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=other)
    with pytest.raises(StorageError) as caught:
        approved_changes(check_settings([there]).proposal, approved)
    assert (caught.value.message, caught.value.hint) == (
        "public access block of s3://documents is no longer what was shown when its repair was "
        "approved",
        "start the check again with repair, and approve what it shows then",
    )
    assert check_settings([there]).lines[0].found == "never enabled"


def test_drift_that_appeared_since_the_approval_is_not_put_right(aws: None) -> None:
    there = side(wanted())
    put_right(there)
    approved = outline(check_settings([there]).proposal)
    there.bucket.client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
    )
    assert approved_changes(check_settings([there]).proposal, approved) == []


def test_repair_stops_at_what_changed_between_decision_and_setting(aws: None) -> None:
    there = side(wanted())
    changes = check_settings([there]).proposal.changes
    other = dict.fromkeys(PUBLIC_ACCESS, False) | {"BlockPublicAcls": True}
    there.bucket.client.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=other)
    with pytest.raises(StorageError) as caught:
        apply_changes(changes, {BUCKET: there})
    assert caught.value.message == (
        "public access block of s3://documents was not put right: it is no longer what was shown "
        "when the change was approved; of 4 changes 1 were made (versioning of s3://documents)"
    )


# -- what is proposed


def test_rules_for_other_keys_stay_and_documents_lose_only_what_harms_them() -> None:
    other = {
        "ID": "temporary",
        "Status": "Enabled",
        "Filter": {"Prefix": "tmp/"},
        "Expiration": {"Days": 1},
    }
    harmful = {
        "ID": "mixed",
        "Status": "Enabled",
        "Filter": {"Prefix": "loans/old/"},
        "Expiration": {"Days": 9},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    only = {**harmful, "ID": "only"}
    del only["AbortIncompleteMultipartUpload"]
    found = settings(lifecycle={"Rules": [other, harmful, only]})
    after, _ = proposed(found, wanted("loans/", lifecycle=PROCEDURES))
    rules = after["lifecycle"]["Rules"]
    assert [rule["ID"] for rule in rules] == ["temporary", "mixed", OUR_RULE]
    assert rules[0] == other
    assert "Expiration" not in rules[1]
    assert rules[2] == {
        "ID": OUR_RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": "loans/"},
        "NoncurrentVersionTransitions": [
            {"NoncurrentDays": 30, "StorageClass": "STANDARD_IA"},
            {"NoncurrentDays": 90, "StorageClass": "GLACIER"},
        ],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 2555},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    }


EXPIRING = {
    "ID": "all",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "Expiration": {"Days": 9},
}


def test_last_rule_is_removed_where_it_is_known_what_that_removes(aws: None) -> None:
    there = side(wanted())
    there.bucket.client.put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [EXPIRING]}
    )
    assert "lifecycle" in [one.setting for one in put_right(there)]
    assert check_settings([there]).grave == []


def test_no_deletion_of_a_setting_is_sent_to_seaweedfs() -> None:
    """There some of them delete the bucket."""
    after, left = proposed(settings(SEAWEEDFS, lifecycle={"Rules": [EXPIRING]}), wanted())
    assert "lifecycle" not in after
    assert ("s3://documents: lifecycle: nothing is left of its rules: remove them by hand") in left


def test_rule_to_the_replica_keeps_its_name_and_rules_to_others_stay() -> None:
    elsewhere = {
        "ID": "reports",
        "Priority": 4,
        "Status": "Enabled",
        "Filter": {"Prefix": "reports/"},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": "arn:aws:s3:::reports"},
    }
    ours = {
        "ID": "documents",
        "Priority": 1,
        "Status": "Disabled",
        "Filter": {"Prefix": ""},
        "Destination": {"Bucket": "arn:aws:s3:::replica"},
    }
    found = settings(replication={"Role": "arn:role", "Rules": [elsewhere, ours]})
    asked = wanted(
        encryption=KMS,
        replica=replica(account_id="444455556666"),
        replica_key_arn="arn:aws:kms:eu-west-1:444455556666:key/9",
        replication={"time_control": True},
    )
    after, _ = proposed(found, asked)
    assert after["replication"]["Role"] == "arn:role"
    assert after["replication"]["Rules"] == [
        elsewhere,
        {
            "ID": "documents",
            "Priority": 5,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}},
            "Destination": {
                "Bucket": "arn:aws:s3:::replica",
                "Account": "444455556666",
                "EncryptionConfiguration": {
                    "ReplicaKmsKeyID": "arn:aws:kms:eu-west-1:444455556666:key/9"
                },
                "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
                "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
            },
        },
    ]
    # What is proposed is what the comparison asks for.
    held = settings(replication=after["replication"])
    assert proposed(held, asked)[0].get("replication") is None


def test_replication_without_a_role_is_left_and_said() -> None:
    _, left = proposed(settings(), wanted(replica=replica(), replication={}))
    assert (
        "s3://documents: replication: name its role in documents.protection.replication.role_arn"
        in left
    )


def test_refusal_of_requests_without_tls_is_added_to_the_policy_of_others() -> None:
    grant = {
        "Sid": "App",
        "Effect": "Allow",
        "Principal": {"AWS": APP},
        "Action": "s3:DeleteObjectVersion",
        "Resource": f"{ARN}/*",
    }
    found = settings(bucket_policy={"Version": "2012-10-17", "Id": "x", "Statement": [grant]})
    after, left = proposed(found, wanted())
    policy = after["bucket policy"]
    assert (policy["Id"], policy["Statement"][0]) == ("x", grant)
    assert [one["Effect"] for one in policy["Statement"]] == ["Allow", "Deny"]
    assert (
        "s3://documents: bucket policy: whom to take a permission from is for a person to decide: "
        "edit the bucket's policy, or name them in documents.protection.access"
    ) in left
    assert "bucket policy" not in proposed(settings(bucket_policy=policy), wanted())[0]


def test_nothing_is_proposed_for_what_cannot_be_read_or_is_not_there() -> None:
    found = settings(
        versioning=Untold("s3:GetBucketVersioning"), public_access_block=Absent("SeaweedFS")
    )
    after, left = proposed(found, wanted())
    assert not {"versioning", "public access block"} & set(after)
    assert "s3://documents: versioning: it cannot be read, so nothing is set" in left


def test_store_that_nobody_knows_is_set_nothing() -> None:
    after, left = proposed(settings(UNKNOWN), wanted(replica=replica(), replication={}))
    assert after == {}
    assert left[0] == (
        "s3://documents: versioning: this store is not known to take it; set it by hand"
    )


def test_change_for_another_store_is_refused_before_it_is_sent(aws: None) -> None:
    """On SeaweedFS the request would remove or make a bucket."""
    there = side(wanted())
    weed = Side(there.bucket, SEAWEEDFS, there.wanted)
    change = Change(
        bucket=BUCKET, setting="replication", before={}, after={"Role": "r", "Rules": []}
    )
    with pytest.raises(StorageError) as caught:
        apply_changes([change], {BUCKET: weed})
    assert caught.value.hint == (
        "on some stores the request would make or remove a bucket; set it by hand"
    )
    assert "SeaweedFS is not known to take it" in caught.value.message


def test_approver_reads_what_cannot_be_taken_back() -> None:
    after = {"ObjectLockEnabled": "Enabled"}
    change = Change(bucket=BUCKET, setting="object lock", before={}, after=after)
    assert change.words.endswith("\n    Object Lock cannot be disabled again")


def test_what_an_approver_reads_names_drift_and_both_values(aws: None) -> None:
    there = side(wanted(encryption=Encryption(mode="AES256")), region=AWAY)
    text = readable(check_settings([there]))
    assert "- s3://documents: versioning: expected Enabled, found never enabled" in text
    assert (
        "```\ns3://documents: versioning\n    before: not set\n"
        '    after:  {"Status": "Enabled"}\n```'
    ) in text
