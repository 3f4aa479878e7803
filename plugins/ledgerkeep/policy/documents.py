"""The documents' section of a policy: the bucket, its replica, and what is asked of both.

Documents are protected where they are: by versions, a replica in another region, lifecycle and
locks. Nothing copies them into the backup bucket; what Ledgerkeep adds is the check that all of
this is so, the comparison with the replica and with the database's rows, and the way back.
"""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from ledgerkeep.policy.document_protection import DocumentProtection
from ledgerkeep.policy.document_replica import ReplicaConsistency, ScheduledReplication
from ledgerkeep.policy.values import Cron, Duration, Encryption, Name, PolicyModel

Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")]
Table = Annotated[
    str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,62}$")
]
"""A table's name as PostgreSQL keeps it, with or without its schema."""


class DocumentTable(PolicyModel):
    """The rows of the protected database that name the documents."""

    database: Name
    table: Table
    id: Column = "id"
    key: Column = Field(default="object_key", description="The object's key in the bucket.")
    sha256: Column = Field(default="content_sha256", description="Of the object, in hexadecimal.")
    size: Column = Field(default="size_bytes", description="Of the object, in bytes.")
    recorded_at: Column = Field(default="uploaded_at", description="When the row was written.")
    related: list[Table] = Field(
        default=[],
        description="Tables about documents that it references; recovered together with it.",
    )


class Replica(PolicyModel):
    """The bucket in the second region, in this or another account."""

    connection_id: Name
    bucket: Name
    region: Name
    account_id: Annotated[str, Field(pattern=r"^\d{12}$")] | None = Field(
        default=None, description="Of the account that owns the replica; null: this account."
    )
    encryption: Encryption = Encryption()
    replication: Literal["continuous", "scheduled"] = Field(
        description="continuous: the store's own replication; scheduled: documents_replication."
    )


class MetadataConsistency(PolicyModel):
    """Comparing the database's rows with the objects."""

    schedule: Cron | None
    grace: Duration = Field(
        default=timedelta(minutes=15),
        description="What was written or deleted within it may still be on its way.",
    )
    compared_per_run: Annotated[int, Field(ge=1)] = Field(
        default=100_000,
        description="Objects whose content is asked for in one run; the others follow in the next.",
    )
    compared_again_after: Duration = Field(
        default=timedelta(days=30), description="Also what has not changed since."
    )
    read_mib_per_run: Annotated[int, Field(ge=0)] = Field(
        default=10_240,
        description="MiB that one run reads of objects of which the store tells no SHA-256.",
    )


class OneMoment(PolicyModel):
    """Database and documents at the same moment."""

    clock_skew: Duration = Field(
        default=timedelta(seconds=5),
        description="How far the clocks of the database and of the object store may differ.",
    )
    read_mib: Annotated[int, Field(ge=0)] = Field(
        default=10_240,
        description="MiB read in one check of objects of which the store tells no SHA-256.",
    )
    sample: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=20, description="Documents that the restore test restores and compares."
    )


class DocumentRecovery(PolicyModel):
    """Recovery of documents on demand."""

    approval: bool = Field(default=True, description="A second person has to approve the plan.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: everybody but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=4), description="Without an answer within it: rejected."
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        default=16, description="Objects copied at the same time."
    )
    thaw_tier: Literal["Expedited", "Standard", "Bulk"] = Field(
        default="Standard",
        description="How fast, and how dear, documents come out of cold storage.",
    )
    thawed_for: Annotated[int, Field(ge=1, le=365)] = Field(
        default=7, description="Days for which what came out of cold storage stays readable."
    )
    thaw_poll: Duration = Field(
        default=timedelta(minutes=15), description="Between two looks at what is still cold."
    )
    thaw_timeout: Duration = Field(
        default=timedelta(days=3), description="What is not readable then makes the run fail."
    )


class FailoverWatch(PolicyModel):
    """Failing over without a person, after failed health checks."""

    schedule: Cron | None
    failed_checks: Annotated[int, Field(ge=2, le=20)] = Field(
        default=3, description="So many in a row, and the application is switched over."
    )
    interval: Duration = Field(
        default=timedelta(minutes=1), description="Between one failed check and the next."
    )


class DocumentFailover(PolicyModel):
    """Switching the application over to the replica and back."""

    connection_id: Name = Field(
        description="AWS connection for the application's parameter and services."
    )
    region: Name = Field(description="Where the parameter and the services are.")
    parameter: Annotated[str, Field(pattern=r"^/?[A-Za-z0-9_.\-/]{1,500}$")] = Field(
        description="In Parameter Store: names the bucket that the application uses."
    )
    cluster: Name | None = Field(default=None, description="ECS cluster of the services.")
    services: list[Name] = Field(
        default=[], description="ECS services that read the parameter when they start."
    )
    restart_timeout: Duration = Field(
        default=timedelta(minutes=15), description="Until restarted services must be stable."
    )
    health_url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")] | None = Field(
        default=None, description="Of the application: answers 200 when it reaches its documents."
    )
    sample: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20, description="Documents that the access test reads whole."
    )
    replication_role_arn: Name | None = Field(
        default=None, description="With it the store replicates back to the other bucket."
    )
    approval: bool = Field(default=True, description="A second person has to approve the plan.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: everybody but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=1), description="Without an answer within it: rejected."
    )
    watch: FailoverWatch | None = Field(default=None, description="null: only a person fails over.")


class Documents(PolicyModel):
    """Where the documents are, and how they are protected."""

    connection_id: Name
    bucket: Name
    region: Name
    encryption: Encryption = Encryption()
    prefix: str = Field(default="", description="Of the documents' keys; empty: the whole bucket.")
    rows: DocumentTable | None = Field(
        default=None, description="Where the database keeps what the objects must be."
    )
    replica: Replica | None = None
    replication: ScheduledReplication | None = None
    protection: DocumentProtection | None = None
    replica_consistency: ReplicaConsistency | None = None
    metadata_consistency: MetadataConsistency | None = None
    one_moment: OneMoment = OneMoment()
    recovery: DocumentRecovery | None = None
    failover: DocumentFailover | None = None
