"""What the documents' bucket must be like, and what its storage costs: a section of the policy.

Three things are asked of every bucket and have no field: versions are kept, nothing in it is
public, and requests without TLS are refused. Everything else is asked where it is named here.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from ledgerkeep.policy.values import Cron, Duration, Name, PolicyModel

StorageClass = Literal[
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
]
SensitiveAction = Literal[
    "s3:GetObjectVersion",
    "s3:DeleteObjectVersion",
    "s3:PutLifecycleConfiguration",
    "s3:BypassGovernanceRetention",
]
Principal = Annotated[
    str, Field(pattern=r"^(\*|\d{12}|arn:[^\s]+|[a-z0-9.-]+\.amazonaws\.com|[0-9a-f]{64})$")
]
Usd = Annotated[float, Field(ge=0)]
Kibibytes = Annotated[int, Field(ge=0)]


class Transition(PolicyModel):
    """One step of a version that was replaced or deleted towards a cheaper storage class."""

    after: Duration = Field(description="Since it was replaced or deleted; whole days.")
    storage_class: StorageClass


class DocumentLifecycle(PolicyModel):
    """What becomes of versions that were replaced or deleted; current ones stay where they are."""

    transitions: list[Transition] = []
    expire_after: Duration | None = Field(
        description="Since it was replaced or deleted; null: it never expires."
    )
    abort_uploads_after: Duration | None = Field(
        default=None, description="Multipart uploads that were never completed; null: not asked."
    )


class DocumentLock(PolicyModel):
    """Object Lock of the bucket."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    retention: Duration | None = Field(
        default=None,
        description="Of each new version by default, whole days; null: a lock is possible, no "
        "more is asked.",
    )


class ReplicationRule(PolicyModel):
    """The store's own replication to the replica."""

    role_arn: Name | None = Field(
        default=None, description="The role that a repair gives it; null: the one it has."
    )
    delete_markers: bool = Field(default=True, description="Deletions reach the replica too.")
    metrics: bool = Field(default=True, description="CloudWatch is told how far behind it is.")
    time_control: bool = Field(
        default=False, description="Replication Time Control: 15 minutes, by contract."
    )


class AccessLogs(PolicyModel):
    """Where the store's log of all requests goes; the bucket lies in the same region."""

    bucket: Name
    prefix: str = ""


class ClassPrice(PolicyModel):
    """What a storage class costs; a GB is 2^30 bytes, as AWS bills it."""

    usd_per_gb_month: Usd
    usd_per_1000_transitions: Usd = Field(default=0, description="Into this class.")
    minimum_days: Annotated[int, Field(ge=0)] = Field(
        default=0, description="What leaves it earlier is billed for them all the same."
    )
    minimum_kib: Kibibytes = Field(default=0, description="A smaller object is billed as this.")
    overhead_kib: Kibibytes = Field(default=0, description="Billed beside each object.")
    standard_overhead_kib: Kibibytes = Field(
        default=0, description="Billed beside each object, at the price of STANDARD."
    )


class DocumentCosts(PolicyModel):
    """What storage costs, and which other lifecycles to compare it with."""

    counted: Literal["listing", "metrics"] = Field(
        default="listing",
        description="listing: one pass over every version; metrics: CloudWatch's daily figures, "
        "for buckets too large to list, without ages and hence without comparison.",
    )
    prices: dict[StorageClass, ClassPrice]
    alternatives: list[Annotated[list[Transition], Field(min_length=1)]] = Field(
        default=[], description="Other transitions; what each would save per month is told."
    )


class ProtectionRepair(PolicyModel):
    """Putting right, on demand, what differs from the policy."""

    approval: bool = Field(default=True, description="A second person has to approve the changes.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: everybody but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=4), description="Without an answer within it: rejected."
    )


class DocumentProtection(PolicyModel):
    """What the bucket must be like, and its replica."""

    schedule: Cron | None
    lifecycle: DocumentLifecycle | None = Field(
        default=None, description="null: only that no current document expires or is archived."
    )
    object_lock: DocumentLock | None = None
    replication: ReplicationRule | None = Field(
        default=None, description="Of a replica with replication: continuous."
    )
    bucket_key: bool = Field(
        default=True, description="With aws:kms: the bucket has a key of its own, to spare KMS."
    )
    access: dict[SensitiveAction, list[Principal]] = Field(
        default={},
        description="Action → whom a bucket policy may grant it: ARNs (* and ? in them), account "
        "ids, services; an action that is not named may be granted to nobody.",
    )
    access_logs: AccessLogs | None = None
    replica_access_logs: AccessLogs | None = None
    sample: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Newest versions that are looked for in the replica, one by one."
    )
    costs: DocumentCosts | None = None
    repair: ProtectionRepair | None = Field(default=None, description="null: never.")
