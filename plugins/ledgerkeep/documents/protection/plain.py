"""The properties that are one value each: versioning, encryption, lock, publicity, logs, owner."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ledgerkeep.documents.protection.lines import Line, Lines
from ledgerkeep.documents.protection.settings import Settings
from ledgerkeep.documents.protection.wanted import Wanted, is_key

PUBLIC_ACCESS = (
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
)
OWNER = "BucketOwnerEnforced"
_KMS = ("aws:kms", "aws:kms:dsse")


def compare_versioning(settings: Settings, wanted: Wanted) -> list[Line]:
    """Every version is kept."""
    lines = Lines(settings, "versioning")
    if not lines.unseen("versioning", "Enabled"):
        status = lines.plain.get("Status", "never enabled")
        lines.hold("versioning", "Enabled", status, ok=status == "Enabled")
    return lines.found


def compare_encryption(settings: Settings, wanted: Wanted) -> list[Line]:
    """What is written without saying how is encrypted by the policy's key."""
    if wanted.encryption.mode == "none":
        return []
    lines = Lines(settings, "encryption")
    expected = _encryption_words(wanted.encryption.mode, wanted.encryption.key_id)
    if lines.unseen("default encryption", expected):
        return lines.found
    default = lines.plain.get("ApplyServerSideEncryptionByDefault", {})
    mode, key = default.get("SSEAlgorithm", "none"), default.get("KMSMasterKeyID")
    found = _encryption_words(mode, key)
    lines.hold("default encryption", expected, found, ok=_is_encrypted(wanted, mode, key))
    if wanted.encryption.mode == "aws:kms" and wanted.protection.bucket_key:
        on = bool(lines.plain.get("BucketKeyEnabled"))
        lines.hold("bucket key", "on", "on" if on else "off", ok=on, severity="warning")
    return lines.found


def _is_encrypted(wanted: Wanted, mode: str, key: str | None) -> bool:
    if wanted.encryption.mode == "AES256":
        return mode == "AES256"
    name = wanted.encryption.key_id
    return mode in _KMS and (
        name is None or (key is not None and is_key(name, key, wanted.key_arn))
    )


def _encryption_words(mode: str, key: str | None) -> str:
    return f"{mode} with {key}" if key else mode


def compare_object_lock(settings: Settings, wanted: Wanted) -> list[Line]:
    """Versions can be locked, and new ones are for as long as the policy says."""
    lock = wanted.protection.object_lock
    if lock is None:
        return []
    lines = Lines(settings, "object lock")
    if lines.unseen("Object Lock", "Enabled"):
        return lines.found
    status = lines.plain.get("ObjectLockEnabled", "not enabled")
    lines.hold("Object Lock", "Enabled", status, ok=status == "Enabled")
    if lock.retention is not None:
        default = lines.plain.get("Rule", {}).get("DefaultRetention", {})
        _compare_retention(lines, lock.mode, lock.retention, default)
    return lines.found


def _compare_retention(
    lines: Lines, mode: str, retention: timedelta, default: Mapping[str, Any]
) -> None:
    days = default.get("Days", 0) + 365 * default.get("Years", 0)
    found = f"{default['Mode']} for {days} d" if default else "none"
    same = default.get("Mode") == mode and days == retention.days
    stricter = default.get("Mode") in (mode, "COMPLIANCE") and days >= retention.days
    lines.hold(
        "default retention",
        f"{mode} for {retention.days} d",
        found,
        ok=same,
        severity="warning" if stricter else "critical",
    )


def compare_public_access(settings: Settings, wanted: Wanted) -> list[Line]:
    """Nothing in the bucket can be made public."""
    lines = Lines(settings, "public access block")
    expected = "all four blocks on"
    if not lines.unseen("public access block", expected):
        off = [name for name in PUBLIC_ACCESS if not lines.plain.get(name)]
        found = f"off: {', '.join(off)}" if off else expected
        lines.hold("public access block", expected, found, ok=not off)
    return lines.found


def compare_ownership(settings: Settings, wanted: Wanted) -> list[Line]:
    """The bucket's owner owns every object, and no ACL grants anything."""
    lines = Lines(settings, "ownership")
    if not lines.unseen("ownership of objects", OWNER):
        owner = lines.plain.get("ObjectOwnership", "not set")
        lines.hold("ownership of objects", OWNER, owner, ok=owner == OWNER, severity="warning")
    return lines.found


def compare_logging(settings: Settings, wanted: Wanted) -> list[Line]:
    """Every request is logged where the policy says."""
    logs = wanted.access_logs
    if logs is None:
        return []
    lines = Lines(settings, "access logging")
    expected = f"to s3://{logs.bucket}/{logs.prefix}"
    if not lines.unseen("access logging", expected):
        target = lines.plain
        found = f"to s3://{target['TargetBucket']}/{target['TargetPrefix']}" if target else "none"
        ok = found == expected
        lines.hold("access logging", expected, found, ok=ok, severity="warning")
    return lines.found
