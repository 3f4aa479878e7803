"""Contradictions in what a policy asks of the documents' bucket: with itself, and with S3.

S3 refuses some lifecycles; it is better that the policy is refused, with the line, than a repair.
(AWS: S3 User Guide, Lifecycle transition constraints.)
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise

from ledgerkeep.policy.document import FieldPath
from ledgerkeep.policy.document_protection import DocumentCosts, DocumentLifecycle, Transition
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.values import format_duration

Contradiction = tuple[FieldPath, str, str]

_PATH: FieldPath = ("documents", "protection")
_DAY = timedelta(days=1)
_BEFORE_INFREQUENT = timedelta(days=30)
_INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")


def protection_contradictions(documents: Documents | None) -> Iterator[Contradiction]:
    """What the section `documents.protection` cannot all mean."""
    protection = documents.protection if documents else None
    if documents is None or protection is None:
        return
    if protection.lifecycle is not None:
        yield from _lifecycle(protection.lifecycle)
    if protection.costs is not None:
        yield from _costs(protection.costs)
    if protection.object_lock is not None and protection.object_lock.retention is not None:
        yield from _whole_days(
            (*_PATH, "object_lock", "retention"), protection.object_lock.retention
        )
    yield from _replica(documents)
    yield from _replication(documents)


def _replica(documents: Documents) -> Iterator[Contradiction]:
    """Everything that is said, approved and set names a bucket, and means one."""
    if documents.replica is not None and documents.replica.bucket == documents.bucket:
        yield (
            ("documents", "replica", "bucket"),
            f"'{documents.bucket}', the name of the documents' own bucket",
            "another name, by which the two can be told apart",
        )


def _replication(documents: Documents) -> Iterator[Contradiction]:
    protection, replica = documents.protection, documents.replica
    if protection is None:
        return
    if protection.replica_access_logs is not None and replica is None:
        path = (*_PATH, "replica_access_logs")
        yield path, "a log of a replica that the policy does not name", "null, or documents.replica"
    counted = protection.costs.counted if protection.costs else "listing"
    told = protection.replication is not None and protection.replication.metrics
    if counted == "metrics" and replica is not None and not told:
        yield (
            (*_PATH, "costs", "counted"),
            "metrics, with which nobody sees how far the replica is behind",
            "listing, or protection.replication with metrics: true",
        )
    if protection.replication is None:
        return
    if replica is None or replica.replication != "continuous":
        yield (
            (*_PATH, "replication"),
            "a rule without a replica that the store itself copies to",
            "null, or documents.replica with replication: continuous",
        )
    elif replica.encryption.mode == "aws:kms" and replica.encryption.key_id is None:
        yield (
            ("documents", "replica", "encryption", "key_id"),
            "no key for what is replicated",
            "a KMS key of the replica's region, or another mode",
        )


def _lifecycle(lifecycle: DocumentLifecycle) -> Iterator[Contradiction]:
    path = (*_PATH, "lifecycle")
    yield from _transitions(lifecycle.transitions, (*path, "transitions"))
    for name in ("expire_after", "abort_uploads_after"):
        length = getattr(lifecycle, name)
        if length is not None:
            yield from _whole_days((*path, name), length)
    last = max((step.after for step in lifecycle.transitions), default=None)
    if last is not None and lifecycle.expire_after is not None and lifecycle.expire_after <= last:
        yield (
            (*path, "expire_after"),
            format_duration(lifecycle.expire_after),
            f"more than {format_duration(last)}, after which a version still moves",
        )


def _transitions(steps: Sequence[Transition], path: FieldPath) -> Iterator[Contradiction]:
    for number, step in enumerate(steps):
        where = (*path, number, "after")
        yield from _whole_days(where, step.after)
        if step.storage_class in _INFREQUENT and step.after < _BEFORE_INFREQUENT:
            found = f"{format_duration(step.after)} to {step.storage_class}"
            yield (
                where,
                found,
                f"at least {_BEFORE_INFREQUENT.days}d, before which S3 moves nothing there",
            )
    for number, (before, step) in enumerate(pairwise(steps), 1):
        stays = _BEFORE_INFREQUENT if before.storage_class in _INFREQUENT else _DAY
        least = before.after + stays
        if step.after < least:
            yield (
                (*path, number, "after"),
                format_duration(step.after),
                f"at least {least.days}d, after its time in {before.storage_class}",
            )


def _costs(costs: DocumentCosts) -> Iterator[Contradiction]:
    path = (*_PATH, "costs")
    for number, steps in enumerate(costs.alternatives):
        yield from _transitions(steps, (*path, "alternatives", number))
    named = {step.storage_class for steps in costs.alternatives for step in steps}
    missing = sorted(({"STANDARD"} | named) - set(costs.prices))
    if missing:
        yield (*path, "prices"), f"no price of {', '.join(missing)}", "a price of each class named"


def _whole_days(path: FieldPath, length: timedelta) -> Iterator[Contradiction]:
    if length % _DAY or not length:
        yield path, format_duration(length), "whole days, at least one, as S3 counts"
