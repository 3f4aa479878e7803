"""What a policy wants of a replica, as the comparison takes it."""

from datetime import UTC, datetime, timedelta

from ledgerkeep.documents.replica.check import Bounds, Pair
from ledgerkeep.documents.replica.rules import Rules
from ledgerkeep.policy.document_replica import ReplicaConsistency
from ledgerkeep.policy.documents import Documents, Replica
from ledgerkeep.policy.model import Policy
from ledgerkeep.policy.schedule import longest_interval

NEVER = datetime.max.replace(tzinfo=UTC)
"""As `Rules.young_from`: everything is expected in the replica."""


def allowed_lag(policy: Policy, documents: Documents, replica: Replica) -> timedelta:
    """How long a version may take until it is in the replica.

    Where it is copied on a schedule it waits for the next run, and that run takes its time.
    """
    schedule = documents.replication.schedule if documents.replication else None
    if replica.replication == "scheduled" and schedule:
        return longest_interval(schedule) + policy.alerts.replication_lag
    return policy.alerts.replication_lag


def rules_for(
    documents: Documents, replica: Replica, pair: Pair, *, now: datetime, lag: timedelta | None
) -> Rules:
    """How the two are compared at a moment.

    :param lag: see `allowed_lag`; None: everything is expected in the replica already.
    """
    encryption = (
        side.encryption.get("ServerSideEncryption") for side in (pair.source, pair.replica)
    )
    lifecycle = documents.protection.lifecycle if documents.protection else None
    expires = lifecycle.expire_after if lifecycle else None
    return Rules(
        by_id=replica.replication == "continuous",
        plain_etags="aws:kms" not in encryption,
        young_from=NEVER if lag is None else now - lag,
        expired_before=now - expires if expires else None,
    )


def bounds_of(section: ReplicaConsistency) -> Bounds:
    """How closely a shard is looked at."""
    return Bounds(
        look_again=section.look_again,
        sample=section.sample,
        read_bytes=section.read_mib * 1024 * 1024,
        concurrency=section.concurrency,
    )
