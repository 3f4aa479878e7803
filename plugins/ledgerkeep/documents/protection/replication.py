"""What the bucket's replication rules copy, against what the replica must get.

Of several rules the one counts that is meant for the replica and comes nearest: enabled before
disabled, for all documents before for some. Rules of the old form (a prefix in the rule instead of
a filter) carry delete markers along without saying so.
(AWS: S3 User Guide, Replication configuration; "Backward compatibility considerations".)
"""

from collections.abc import Mapping
from typing import Any

from ledgerkeep.documents.protection.lifecycle import covers, is_enabled, name_of, prefix_of
from ledgerkeep.documents.protection.lines import Line, Lines, Severity
from ledgerkeep.documents.protection.settings import Settings
from ledgerkeep.documents.protection.wanted import Wanted, is_key
from ledgerkeep.policy.document_protection import ReplicationRule
from ledgerkeep.policy.documents import Replica

Rule = Mapping[str, Any]

NONE = "none"


def compare_replication(settings: Settings, wanted: Wanted) -> list[Line]:
    """The rule to the replica, and what it carries."""
    replica, asked = wanted.replica, wanted.protection.replication
    if replica is None or asked is None:
        return []
    lines = Lines(settings, "replication")
    expected = f"an enabled rule for all documents to s3://{replica.bucket}"
    if lines.unseen("replication", expected):
        return lines.found
    rule = rule_to(replica, lines.plain.get("Rules", []), wanted.prefix)
    if rule is None:
        lines.hold("replication", expected, NONE, ok=False)
        return lines.found
    found = _shortcoming(rule, wanted.prefix)
    lines.hold("replication", expected, found or expected, ok=not found)
    _compare_destination(lines, replica, wanted, rule.get("Destination", {}))
    _compare_content(lines, asked, wanted, rule)
    return lines.found


def rule_to(replica: Replica, rules: list[Rule], prefix: str) -> Rule | None:
    """The best of the rules that lead to the replica."""
    leading = [rule for rule in rules if leads_to(rule, replica)]
    return max(
        leading,
        key=lambda rule: (is_enabled(rule), covers(rule, prefix), rule.get("Priority", 0)),
        default=None,
    )


def leads_to(rule: Rule, replica: Replica) -> bool:
    """Whether the rule's destination is the replica's bucket."""
    target: str = rule.get("Destination", {}).get("Bucket", "")
    return target.rpartition(":")[2] == replica.bucket


def _shortcoming(rule: Rule, prefix: str) -> str:
    if not is_enabled(rule):
        return f"{name_of(rule)} is disabled"
    if not covers(rule, prefix):
        narrow = prefix_of(rule)
        what = f"keys below {narrow}" if narrow else "documents with certain tags"
        return f"{name_of(rule)} is for {what} only"
    return ""


def _compare_destination(
    lines: Lines, replica: Replica, wanted: Wanted, destination: Mapping[str, Any]
) -> None:
    if replica.account_id is not None:
        account = destination.get("Account", "not named")
        ok = account == replica.account_id
        lines.hold("account of the replica", replica.account_id, account, ok=ok)
    key = replica.encryption.key_id
    if replica.encryption.mode == "aws:kms" and key is not None:
        used = destination.get("EncryptionConfiguration", {}).get("ReplicaKmsKeyID", NONE)
        lines.hold(
            "KMS key of the replica", key, used, ok=is_key(key, used, wanted.replica_key_arn)
        )


def _compare_content(lines: Lines, asked: ReplicationRule, wanted: Wanted, rule: Rule) -> None:
    if wanted.encryption.mode == "aws:kms":
        chosen = rule.get("SourceSelectionCriteria", {}).get("SseKmsEncryptedObjects", {})
        _compare_switch(
            lines, "replication of KMS-encrypted objects", True, is_enabled(chosen), "critical"
        )
    _compare_switch(
        lines, "replication of delete markers", asked.delete_markers, _carries_markers(rule)
    )
    destination = rule.get("Destination", {})
    metrics = is_enabled(destination.get("Metrics", {}))
    if asked.metrics:
        _compare_switch(lines, "replication metrics", True, metrics)
    if asked.time_control:
        timed = is_enabled(destination.get("ReplicationTime", {}))
        _compare_switch(lines, "replication time control", True, timed)


def _carries_markers(rule: Rule) -> bool:
    if "Filter" not in rule:
        return True
    return is_enabled(rule.get("DeleteMarkerReplication", {}))


def _compare_switch(
    lines: Lines, name: str, asked: bool, found: bool, severity: Severity = "warning"
) -> None:
    words = {True: "on", False: "off"}
    lines.hold(name, words[asked], words[found], ok=asked == found, severity=severity)
