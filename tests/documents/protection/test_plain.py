"""Properties of one value each: what holds, what does not, and what the store does not have."""

from typing import Any

import pytest

from ledgerkeep.documents.protection import plain
from ledgerkeep.documents.protection.settings import Absent, Untold
from ledgerkeep.documents.protection.store import SEAWEEDFS
from ledgerkeep.documents.protection.wanted import is_key
from ledgerkeep.policy.document_protection import AccessLogs
from ledgerkeep.policy.values import Encryption
from tests.documents.protection.samples import fulfilled, settings, told, wanted

KMS = Encryption(mode="aws:kms", key_id="alias/documents")
KEY = "arn:aws:kms:eu-central-1:111122223333:key/0a1b"
ALIAS = "arn:aws:kms:eu-central-1:111122223333:alias/documents"
FOUR = dict.fromkeys(plain.PUBLIC_ACCESS, True)


@pytest.mark.parametrize(
    ("value", "found"),
    [({}, "never enabled"), ({"Status": "Suspended"}, "Suspended")],
)
def test_versions_that_are_not_kept_are_critical(value: dict, found: str) -> None:
    lines = plain.compare_versioning(settings(versioning=value), wanted())
    words = f"s3://documents: versioning: expected Enabled, found {found}"
    assert told(lines) == [("critical", words)]


def test_versions_that_are_kept_hold() -> None:
    lines = plain.compare_versioning(settings(versioning={"Status": "Enabled"}), wanted())
    assert fulfilled(lines) == ["versioning"]


def encrypted(mode: str, key: str | None = None, bucket_key: bool = True) -> dict[str, Any]:
    default = {"SSEAlgorithm": mode, **({"KMSMasterKeyID": key} if key else {})}
    return {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}


@pytest.mark.parametrize("key", ["alias/documents", ALIAS, KEY])
def test_key_holds_under_each_of_its_names(key: str) -> None:
    lines = plain.compare_encryption(
        settings(encryption=encrypted("aws:kms", key)), wanted(encryption=KMS, key_arn=KEY)
    )
    assert fulfilled(lines) == ["default encryption", "bucket key"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({}, "none"),
        (encrypted("AES256"), "AES256"),
        (encrypted("aws:kms"), "aws:kms"),
        (encrypted("aws:kms", "alias/other"), "aws:kms with alias/other"),
        (encrypted("aws:kms", KEY.replace("0a1b", "9")), f"aws:kms with {KEY[:-4]}9"),
    ],
)
def test_other_encryption_is_critical(value: dict, found: str) -> None:
    lines = plain.compare_encryption(
        settings(encryption=value), wanted(encryption=KMS, key_arn=KEY, bucket_key=False)
    )
    words = "default encryption: expected aws:kms with alias/documents, found " + found
    assert told(lines) == [("critical", f"s3://documents: {words}")]


def test_bucket_without_a_key_of_its_own_is_a_warning() -> None:
    value = encrypted("aws:kms", "alias/documents", bucket_key=False)
    lines = plain.compare_encryption(settings(encryption=value), wanted(encryption=KMS))
    assert told(lines) == [("warning", "s3://documents: bucket key: expected on, found off")]


def test_keys_of_two_accounts_with_one_alias_are_two() -> None:
    assert not is_key(ALIAS, ALIAS.replace("111122223333", "444455556666"), None)
    assert is_key("0a1b", KEY, None)
    assert not is_key("alias/documents", KEY, None)


@pytest.mark.parametrize(
    ("default", "found", "severity"),
    [
        (None, "none", "critical"),
        ({"Mode": "GOVERNANCE", "Days": 29}, "GOVERNANCE for 29 d", "critical"),
        ({"Mode": "COMPLIANCE", "Days": 29}, "COMPLIANCE for 29 d", "critical"),
        ({"Mode": "COMPLIANCE", "Days": 30}, "COMPLIANCE for 30 d", "warning"),
        ({"Mode": "GOVERNANCE", "Years": 1}, "GOVERNANCE for 365 d", "warning"),
        ({"Mode": "GOVERNANCE", "Days": 30, "Years": 0}, None, ""),
    ],
)
def test_weaker_lock_is_critical_and_a_stronger_one_a_warning(
    default: dict | None, found: str | None, severity: str
) -> None:
    value = {"ObjectLockEnabled": "Enabled", **({"Rule": {"DefaultRetention": default}})}
    if default is None:
        del value["Rule"]
    lines = plain.compare_object_lock(
        settings(object_lock=value), wanted(object_lock={"retention": "30d"})
    )
    words = f"s3://documents: default retention: expected GOVERNANCE for 30 d, found {found}"
    assert told(lines) == ([(severity, words)] if found else [])


def test_lock_is_asked_for_only_where_the_policy_names_one() -> None:
    assert plain.compare_object_lock(settings(), wanted()) == []
    lines = plain.compare_object_lock(settings(), wanted(object_lock={}))
    assert told(lines) == [
        ("critical", "s3://documents: Object Lock: expected Enabled, found not enabled")
    ]


def test_each_missing_block_of_public_access_is_named() -> None:
    value = {**FOUR, "BlockPublicPolicy": False}
    lines = plain.compare_public_access(settings(public_access_block=value), wanted())
    assert told(lines) == [
        (
            "critical",
            "s3://documents: public access block: expected all four blocks on, "
            "found off: BlockPublicPolicy",
        )
    ]
    held = plain.compare_public_access(settings(public_access_block=FOUR), wanted())
    assert fulfilled(held) == ["public access block"]


def test_log_to_another_place_is_a_warning() -> None:
    asked = wanted(access_logs=AccessLogs(bucket="logs", prefix="documents/"))
    value = {"TargetBucket": "logs", "TargetPrefix": ""}
    assert told(plain.compare_logging(settings(access_logging=value), asked)) == [
        (
            "warning",
            "s3://documents: access logging: expected to s3://logs/documents/, found to s3://logs/",
        )
    ]
    value = {"TargetBucket": "logs", "TargetPrefix": "documents/"}
    assert fulfilled(plain.compare_logging(settings(access_logging=value), asked))
    assert plain.compare_logging(settings(), wanted()) == []


def test_objects_that_others_own_are_a_warning() -> None:
    value = {"ObjectOwnership": "ObjectWriter"}
    assert told(plain.compare_ownership(settings(ownership=value), wanted())) == [
        (
            "warning",
            "s3://documents: ownership of objects: expected BucketOwnerEnforced, "
            "found ObjectWriter",
        )
    ]


def test_property_that_the_store_lacks_is_not_fulfilled() -> None:
    value = Absent("SeaweedFS")
    (line,) = plain.compare_public_access(settings(public_access_block=value), wanted())
    assert (line.verdict, line.severity) == ("not applicable", "info")
    assert line.words == (
        "s3://documents: public access block: not applicable here: SeaweedFS has none "
        "(expected all four blocks on)"
    )


def test_property_that_may_not_be_read_is_critical() -> None:
    """A check that cannot see is not a check that found nothing."""
    value = Untold("s3:GetBucketVersioning")
    (line,) = plain.compare_versioning(settings(versioning=value), wanted())
    assert line.is_grave
    assert line.words == (
        "s3://documents: versioning: expected Enabled, found nothing: reading it was denied, "
        "which takes s3:GetBucketVersioning"
    )


def test_property_that_no_permission_would_show_is_a_warning() -> None:
    value = Untold("s3:GetBucketOwnershipControls")
    (line,) = plain.compare_ownership(settings(SEAWEEDFS, ownership=value), wanted())
    assert (line.verdict, line.severity) == ("not told", "warning")
    assert line.found == "nothing: SeaweedFS tells it to administrators only"
