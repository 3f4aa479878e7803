"""What would put a drift right: whole new values of sub-resources, shown before they are set.

A change says what the property was and what it would be. S3 replaces a sub-resource as a whole, so
what others have set beside ours is carried over: rules for other keys, statements of a bucket
policy. What a person has to decide is not proposed: whom to take a permission from, and everything
that the store does not tell us.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ledgerkeep.documents.protection.access import TLS_NAME
from ledgerkeep.documents.protection.lifecycle import (
    covers,
    days_of,
    expires_current,
    is_enabled,
    touches,
)
from ledgerkeep.documents.protection.lines import Line
from ledgerkeep.documents.protection.plain import OWNER, PUBLIC_ACCESS
from ledgerkeep.documents.protection.replication import leads_to, rule_to
from ledgerkeep.documents.protection.settings import Absent, Settings, Untold
from ledgerkeep.documents.protection.statements import statements_of
from ledgerkeep.documents.protection.store import AWS, Property
from ledgerkeep.documents.protection.wanted import Wanted
from ledgerkeep.model import Record

OUR_RULE = "ledgerkeep-documents"
OUR_STATEMENT = "LedgerkeepRefuseRequestsWithoutTLS"

Plain = dict[str, Any]


class Change(Record):
    """One property of one bucket, before and after."""

    bucket: str
    setting: Property
    before: Plain
    after: Plain

    @property
    def words(self) -> str:
        """For people: what is sent, whole."""
        final = (
            "\n    Object Lock cannot be disabled again"
            if self.setting == "object lock" and not self.before
            else ""
        )
        return (
            f"s3://{self.bucket}: {self.setting}\n"
            f"    before: {_text(self.before)}\n    after:  {_text(self.after)}{final}"
        )


class Proposal(Record):
    """Everything that a repair would do; its digest is what is approved."""

    changes: list[Change]
    left: list[str]
    """Drift that no change puts right, and why."""


@dataclass(frozen=True)
class _Draft:
    """A new value, or why there is none."""

    after: Plain | None = None
    why: str = ""


def propose(compared: list[tuple[Settings, Wanted, list[Line]]]) -> Proposal:
    """Changes for every property of the buckets that has drifted."""
    changes: list[Change] = []
    left: list[str] = []
    for settings, wanted, lines in compared:
        drifted = [line for line in lines if line.verdict in ("drift", "not told")]
        for name in dict.fromkeys(line.setting for line in drifted):
            about = [line for line in drifted if line.setting == name]
            draft = _draft(settings, wanted, name, about)
            if draft.after is not None:
                before = _plain(settings, name)
                changes.append(
                    Change(bucket=settings.bucket, setting=name, before=before, after=draft.after)
                )
            if draft.why:
                left.append(f"s3://{settings.bucket}: {name}: {draft.why}")
    return Proposal(changes=changes, left=left)


def _draft(settings: Settings, wanted: Wanted, name: Property, drifted: list[Line]) -> _Draft:
    if isinstance(settings.of(name), Untold):
        return _Draft(why="it cannot be read, so nothing is set")
    if name not in settings.store.settable:
        return _Draft(why=f"{settings.store.name} is not known to take it; set it by hand")
    return _DRAFTS[name](settings, wanted, drifted)


def _versioning(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    return _Draft({"Status": "Enabled"})


def _encryption(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    default: Plain = {"SSEAlgorithm": wanted.encryption.mode}
    if wanted.encryption.key_id:
        default["KMSMasterKeyID"] = wanted.encryption.key_id
    on = wanted.encryption.mode == "aws:kms" and wanted.protection.bucket_key
    return _Draft({"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": on})


def _object_lock(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    lock, value = wanted.protection.object_lock, _plain(settings, "object lock")
    if lock is None:
        return _Draft(why="the policy asks for none")
    after: Plain = {**value, "ObjectLockEnabled": "Enabled"}
    if lock.retention is not None:
        after["Rule"] = {"DefaultRetention": {"Mode": lock.mode, "Days": lock.retention.days}}
    return _Draft(after)


def _public_access(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    return _Draft(dict.fromkeys(PUBLIC_ACCESS, True))


def _ownership(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    return _Draft({"ObjectOwnership": OWNER})


def _logging(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    logs = wanted.access_logs
    if logs is None:
        return _Draft(why="the policy asks for none")
    return _Draft({"TargetBucket": logs.bucket, "TargetPrefix": logs.prefix})


def _policy(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    grants = [line for line in drifted if line.name != TLS_NAME]
    why = (
        "whom to take a permission from is for a person to decide: edit the bucket's policy, or "
        "name them in documents.protection.access"
        if grants
        else ""
    )
    if len(grants) == len(drifted):
        return _Draft(why=why)
    policy, arn = _plain(settings, "bucket policy"), f"arn:aws:s3:::{settings.bucket}"
    others = [one for one in statements_of(policy) if one.get("Sid") != OUR_STATEMENT]
    ours = {
        "Sid": OUR_STATEMENT,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    after = {"Version": "2012-10-17", **policy, "Statement": [*others, ours]}
    return _Draft(after, why)


def _lifecycle(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    """Our rule for old versions, and of all others what they do to no document."""
    rules = _plain(settings, "lifecycle").get("Rules", [])
    others = [_harmless(rule, wanted) for rule in rules if rule.get("ID") != OUR_RULE]
    kept = [rule for rule in others if rule is not None]
    lifecycle = wanted.protection.lifecycle
    if lifecycle is None:
        return _rules(kept, settings)
    ours: Plain = {"ID": OUR_RULE, "Status": "Enabled", "Filter": {"Prefix": wanted.prefix}}
    if lifecycle.transitions and settings.store.moves_versions:
        ours["NoncurrentVersionTransitions"] = [
            {"NoncurrentDays": step.after.days, "StorageClass": step.storage_class}
            for step in lifecycle.transitions
        ]
    if (days := days_of(lifecycle.expire_after)) is not None:
        ours["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if (days := days_of(lifecycle.abort_uploads_after)) is not None:
        ours["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if set(ours) != {"ID", "Status", "Filter"}:
        kept.append(ours)
    return _rules(kept, settings)


def _rules(rules: list[Plain], settings: Settings) -> _Draft:
    """No rules at all takes a DELETE, which is sent where it is known what it deletes."""
    if not rules and settings.store != AWS:
        return _Draft(why="nothing is left of its rules: remove them by hand")
    return _Draft({"Rules": rules})


_OF_OLD_VERSIONS = ("NoncurrentVersionTransitions", "NoncurrentVersionExpiration")
_ACTIONS = (*_OF_OLD_VERSIONS, "Transitions", "Expiration", "AbortIncompleteMultipartUpload")


def _harmless(rule: Plain, wanted: Wanted) -> Plain | None:
    """The rule without what it does to documents; None: nothing is left of it."""
    if not is_enabled(rule) or not touches(rule, wanted.prefix):
        return rule
    taken = {"Transitions"}
    if expires_current(rule):
        taken.add("Expiration")
    if wanted.protection.lifecycle is not None:
        taken |= set(_OF_OLD_VERSIONS)
        if covers(rule, wanted.prefix):
            taken.add("AbortIncompleteMultipartUpload")
    left = {name: value for name, value in rule.items() if name not in taken}
    return left if any(action in left for action in _ACTIONS) else None


def _replication(settings: Settings, wanted: Wanted, drifted: list[Line]) -> _Draft:
    """Our rule to the replica, and all rules to other places."""
    asked, replica = wanted.protection.replication, wanted.replica
    if asked is None or replica is None:
        return _Draft(why="the policy asks for none")
    value = _plain(settings, "replication")
    role = asked.role_arn or value.get("Role")
    if role is None:
        return _Draft(why="name its role in documents.protection.replication.role_arn")
    rules = value.get("Rules", [])
    others = [rule for rule in rules if not leads_to(rule, replica)]
    if any("Filter" not in rule for rule in others):
        return _Draft(why="its other rules are of the old form, with which new ones do not mix")
    best = rule_to(replica, rules, wanted.prefix) or {}
    priority = max((rule.get("Priority", 0) for rule in others), default=0) + 1
    ours = replication_rule(wanted, rule_id=best.get("ID", OUR_RULE), priority=priority)
    return _Draft({"Role": role, "Rules": [*others, ours]})


def replication_rule(wanted: Wanted, *, rule_id: str, priority: int) -> Plain:
    """The rule that replicates all documents as the policy wants it.

    (AWS: S3 API reference, ReplicationRule.)
    """
    asked, replica = wanted.protection.replication, wanted.replica
    if asked is None or replica is None:
        raise AssertionError("only a policy with replication has its rule")
    destination: Plain = {"Bucket": f"arn:aws:s3:::{replica.bucket}"}
    if replica.account_id is not None:
        destination["Account"] = replica.account_id
    key = replica.encryption.key_id
    if replica.encryption.mode == "aws:kms" and key is not None:
        arn = wanted.replica_key_arn or key
        destination["EncryptionConfiguration"] = {"ReplicaKmsKeyID": arn}
    if asked.metrics or asked.time_control:
        destination["Metrics"] = {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
    if asked.time_control:
        destination["ReplicationTime"] = {"Status": "Enabled", "Time": {"Minutes": 15}}
    rule: Plain = {
        "ID": rule_id,
        "Priority": priority,
        "Status": "Enabled",
        "Filter": {"Prefix": wanted.prefix},
        "DeleteMarkerReplication": {"Status": "Enabled" if asked.delete_markers else "Disabled"},
        "Destination": destination,
    }
    if wanted.encryption.mode == "aws:kms":
        rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
    return rule


def _plain(settings: Settings, name: Property) -> Plain:
    value = settings.of(name)
    return {} if isinstance(value, Absent | Untold) else json.loads(json.dumps(value, default=str))


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True) if value else "not set"


_DRAFTS: dict[Property, Callable[[Settings, Wanted, list[Line]], _Draft]] = {
    "versioning": _versioning,
    "encryption": _encryption,
    "object lock": _object_lock,
    "lifecycle": _lifecycle,
    "replication": _replication,
    "public access block": _public_access,
    "bucket policy": _policy,
    "access logging": _logging,
    "ownership": _ownership,
}
