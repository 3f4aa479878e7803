"""The policy of one environment, as a model: the only place for numbers.

A field exists here only when some code honours it. What the fields are made of is in
`ledgerkeep.policy.values`; the documents' section has a module of its own.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from ledgerkeep.policy.configuration import Configuration
from ledgerkeep.policy.documents import Documents
from ledgerkeep.policy.values import (
    Cron,
    Duration,
    Encryption,
    FileName,
    Library,
    Name,
    Percent,
    PolicyModel,
)


class ObjectLock(PolicyModel):
    """How long a stored object can be deleted by nobody."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"] = "GOVERNANCE"
    backups: Duration = Field(description="Lock on full backups.")
    incrementals: Duration | None = Field(
        default=None, description="Lock on incremental backups; null: as on full ones."
    )
    wal: Duration = Field(description="Lock on WAL, and on the fingerprints that it leads to.")
    configuration: Duration | None = Field(
        default=None, description="Lock on versions of the configuration; null: none."
    )
    evidence: Duration = Field(description="Lock on evidence records and reports.")

    @property
    def of_incrementals(self) -> timedelta:
        """The lock on incremental backups, said or not."""
        return self.backups if self.incrementals is None else self.incrementals


class Storage(PolicyModel):
    """Where copies go and how they get there."""

    connection_id: Name
    bucket: Name
    region: Name
    encryption: Encryption = Encryption()
    object_lock: ObjectLock | None = None
    compression_level: Annotated[int, Field(ge=1, le=19)] = 1
    part_size_mib: Annotated[int, Field(ge=5, le=512)] = 16
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    path_style: bool = False
    request_checksums: Literal["when_required", "when_supported"] = "when_required"


class StandbySource(PolicyModel):
    """A hot standby that full backups are read from, so that the primary is spared.

    The lock, the slot and the WAL stay with the primary.
    """

    connection_id: Name
    patience: Duration = Field(
        default=timedelta(minutes=5),
        description="How long it may take to replay what the primary had written at the start.",
    )


class FullBackup(PolicyModel):
    """The scheduled full base backup."""

    schedule: Cron | None = Field(description="Cron in UTC, or null: on demand only.")
    standby: StandbySource | None = Field(
        default=None, description="Where it is read; null: from the primary."
    )
    checkpoint: Literal["fast", "spread"] = "fast"
    max_rate_mib_per_second: Annotated[int, Field(ge=1, le=1024)] | None = None


class IncrementalBackup(PolicyModel):
    """The scheduled incremental backup (PostgreSQL 17 and later)."""

    schedule: Cron | None
    longest_chain: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=48, description="Incrementals on one full backup; the next one is a full."
    )
    before_17: Literal["full", "refuse"] = Field(
        default="full", description="What to do on a server that cannot take incrementals."
    )


class PreDeployment(PolicyModel):
    """The full backup before a deployment, on demand."""

    keep_after_verified: Duration = timedelta(days=7)


class BackupVerification(PolicyModel):
    """The daily check that what should be stored is stored, and still readable."""

    schedule: Cron | None
    reread_within: Duration = Field(
        default=timedelta(days=30), description="Every stored object is read at least this often."
    )


class ContinuousShipping(PolicyModel):
    """WAL shipped while it is written, by runs back to back."""

    interval: Duration = Field(
        default=timedelta(minutes=10), description="How long one run streams."
    )
    switch_after: Duration = Field(
        default=timedelta(seconds=15),
        description="After this much activity without a full segment, the segment is switched.",
    )


class WalShipping(PolicyModel):
    """Transaction log backups over a physical replication slot."""

    schedule: Cron | None
    slot: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,63}$")]
    continuous: ContinuousShipping | None = Field(
        default=None, description="Instead of a schedule: stream all the time."
    )


class FingerprintPolicy(PolicyModel):
    """How the content of the source is recorded so that a restore can be proven against it."""

    schedule: Cron | None = None
    parallelism: Annotated[int, Field(ge=1, le=32)] = 2
    sampled_tables: dict[Name, Percent] = Field(
        default={},
        description="schema.table → percent of its pages hashed; all others are hashed whole.",
    )


class DatabaseRetention(PolicyModel):
    """How long recovery points are kept."""

    schedule: Cron | None = Field(description="When retention is applied; null: on demand only.")
    recent: Duration | None = Field(
        default=None, description="Every recovery point is kept this long, incrementals too."
    )
    daily: Duration
    weekly: Duration | None = None
    monthly: Duration | None = None
    yearly: Duration | None = None
    wal: Duration | None = None
    minimum_recovery_points: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=2, description="Full backups that stay, however old they are."
    )
    recovery_hold: Duration = Field(
        default=timedelta(days=2),
        description="What a recovery or a restore test reads stays until it ends, and for so long "
        "at most.",
    )


class Vault(PolicyModel):
    """The store in another account that keeps the yearly copies."""

    connection_id: Name
    bucket: Name
    region: Name
    role_arn: Name | None = Field(
        default=None, description="Role of the vault's account, assumed for the copy."
    )
    storage_class: Literal["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"] = (
        "DEEP_ARCHIVE"
    )
    encryption: Encryption = Encryption()
    locked: Duration = Field(description="Object Lock in compliance mode, from the copy on.")


class ComplianceArchive(PolicyModel):
    """The yearly copy of a proven recovery point."""

    schedule: Cron | None
    vault: Vault


class ApplicationCheck(PolicyModel):
    """A question of the application to a restored database; it must find nothing wrong."""

    name: FileName = Field(
        description="File include/sql/checks/{name}.sql; it returns what is wrong."
    )
    database: Name
    timeout: Duration = Field(
        default=timedelta(minutes=10), description="A check that takes longer has not held."
    )


class KeyQuery(PolicyModel):
    """A query that the application lives by, timed on the source and on the copy."""

    name: FileName = Field(description="File include/sql/queries/{name}.sql.")
    database: Name
    timeout: Duration = Field(
        default=timedelta(minutes=1), description="For each run of the query."
    )
    slowest_ratio: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=3.0, description="The copy's time divided by the source's, at most."
    )


class Validation(PolicyModel):
    """What a restored copy must satisfy beyond being identical."""

    suites: list[Name] = Field(default=[], description="Folders below include/expectations.")
    amcheck: bool = True
    checks: list[ApplicationCheck] = []
    key_queries: list[KeyQuery] = []

    @property
    def questions(self) -> dict[str, Sequence[ApplicationCheck | KeyQuery]]:
        """What a file of SQL belongs to, by field."""
        return {"checks": self.checks, "key_queries": self.key_queries}


class Recovery(PolicyModel):
    """How recoveries on demand are decided and where they run."""

    approval: bool = Field(default=True, description="A second person has to approve the plan.")
    approvers: list[Name] = Field(
        default=[], description="Airflow users who may approve; empty: all but who asked."
    )
    response_timeout: Duration = Field(
        default=timedelta(hours=4), description="Without an answer the recovery is rejected."
    )
    queue: Name | None = Field(
        default=None, description="Queue of the worker that has room for the copy."
    )


class Database(PolicyModel):
    """The PostgreSQL cluster under protection."""

    connection_id: Name
    cluster: Name
    databases: Annotated[list[Name], Field(min_length=1)]
    preload_libraries: list[Library] = Field(
        default=[],
        description="Libraries that a restored copy cannot be read without (a table access "
        "method, timescaledb); no other of the source's is loaded, since it may act by itself.",
    )
    full_backup: FullBackup | None = None
    incremental_backup: IncrementalBackup | None = None
    pre_deployment: PreDeployment | None = None
    wal_shipping: WalShipping | None = None
    fingerprint: FingerprintPolicy = FingerprintPolicy()
    retention: DatabaseRetention
    verification: BackupVerification | None = None
    compliance_archive: ComplianceArchive | None = None
    validation: Validation = Validation()
    recovery: Recovery | None = None


class Objective(PolicyModel):
    """How fast it must come back, and how much may be lost."""

    rto: Duration
    rpo: Duration | None = Field(description="null: depends on when the incident is detected.")


class Objectives(PolicyModel):
    """Recovery objectives per scenario."""

    availability_zone_failure: Objective
    database_failure: Objective
    region_failure: Objective
    accidental_deletion: Objective
    security_incident: Objective


class AlertThresholds(PolicyModel):
    """When a deviation is worth somebody's attention."""

    backup_delay: Duration
    replication_lag: Duration = Field(
        description="How far the documents' replica may lag behind; one that is copied to on a "
        "schedule, behind its last run."
    )
    size_deviation_percent: Percent
    metrics_namespace: Name | None = Field(
        default=None, description="CloudWatch namespace of the runs' metrics; null: none."
    )


class RestoreTest(PolicyModel):
    """One scheduled restore test."""

    schedule: Cron | None


class DocumentRestoreTest(RestoreTest):
    """A scheduled restore test of documents."""

    sample: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1, description="Documents that are restored, drawn anew for each run."
    )
    largest_mib: Annotated[int, Field(ge=1)] = Field(
        default=1024, description="Larger documents are not drawn: all bytes are read twice."
    )
    slowest_ratio: Annotated[float, Field(gt=0, le=1000)] = Field(
        default=3.0, description="Time to read the copies divided by that of the originals."
    )


class RestoreTests(PolicyModel):
    """The restore tests this environment runs; a missing one has no DAG."""

    point_in_time_recovery: RestoreTest | None = None
    full_database_restore: RestoreTest | None = None
    one_moment_recovery: RestoreTest | None = None
    single_document_recovery: DocumentRestoreTest | None = None
    bulk_document_recovery: DocumentRestoreTest | None = None
    cross_region_document_recovery: DocumentRestoreTest | None = None
    infrastructure_recovery: RestoreTest | None = None
    application_configuration_recovery: RestoreTest | None = None
    integration_configuration_recovery: RestoreTest | None = None
    janitor: RestoreTest | None = None
    keep_copies: Duration = Field(
        default=timedelta(hours=24), description="The janitor removes older restored copies."
    )


class Report(PolicyModel):
    """One scheduled report."""

    schedule: Cron | None


class Reports(PolicyModel):
    """The reports this environment makes; a missing one has no DAG."""

    airflow_connection_id: Name = "ledgerkeep_airflow_api"
    compliance: Report | None = None


class Policy(PolicyModel):
    """Everything Ledgerkeep is told about one environment."""

    environment: Literal["development", "staging", "production"]
    criticality: Literal["low", "medium", "high", "critical"]
    owner: Name
    storage: Storage
    database: Database
    documents: Documents | None = None
    configuration: Configuration | None = None
    objectives: Objectives
    alerts: AlertThresholds
    restore_tests: RestoreTests = RestoreTests()
    reports: Reports = Reports()
