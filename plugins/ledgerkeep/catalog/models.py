"""What can be restored, and how far that has been shown: the records of the catalog.

Each recovery point is one immutable `recovery-point.json`, written last. What is learned about it
later (that it was read back, restored, proven) is never written into it but beside it, as a
`Proof`; the highest level among its proofs is what counts.
"""

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from ledgerkeep.catalog.lsn import Lsn
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.storage.port import StoredObject


class ProofLevel(IntEnum):
    """How far a recovery point has been shown to be good; each level includes the ones below."""

    RECORDED = 0
    INTACT = 1
    RESTORED = 2
    VALIDATED = 3
    PROVEN = 4

    @property
    def word(self) -> str:
        """The level as people write it."""
        return self.name.lower()


class RecoveryPointRecord(Record):
    """What all kinds have in common."""

    schema_version: Literal[1] = 1
    id: str
    environment: str
    cluster: str
    """The cluster's name in the policy."""
    system_identifier: str
    """Decimal, as pg_controldata prints it; a string because JSON numbers lose digits."""
    created_at: UtcDatetime
    made_by: str
    """Program and version, e.g. `ledgerkeep 0.1.0`."""


class Archive(Record):
    """One tar archive of a base backup: the data directory, or one tablespace.

    The zstd stream of the tar is cut into volumes; their concatenation is the stream.
    """

    tablespace_oid: int | None
    """None for the data directory itself."""
    location: str | None
    """The tablespace's path on the source."""
    raw_bytes: int
    volumes: list[StoredObject]


class Deployment(Record):
    """What is about to be deployed, for a backup that is taken before it."""

    id: str
    description: str = ""


BackupMethod = Literal["full", "incremental"]


class StreamedBackup(RecoveryPointRecord):
    """A base backup as its stream left it: every byte stored, none of it read back yet."""

    method: BackupMethod = "full"
    """An incremental holds what changed since its parent, and is restored on top of it."""
    parent_id: str | None = None
    """The backup, full or incremental, that an incremental was taken on; None for a full one."""
    full_because: str = ""
    """Why this is a full backup although an incremental was asked for; empty otherwise."""
    deployment: Deployment | None = None
    """Set for a backup before a deployment: it is kept until some time after its verification."""
    run: str = ""
    """The run (`dag_id/run_id`, or `cli`) that took it."""
    standby: str = ""
    """`host:port` of the standby that it was read from; empty: the primary."""
    server_version: int
    """server_version_num, e.g. 180006."""
    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn
    started_at: UtcDatetime
    """By the server's clock, like `stopped_at`."""
    stopped_at: UtcDatetime
    next_xid: int
    """First transaction id (64 bit) not yet assigned when the backup ended."""
    segment_size: int
    wal_level: str
    data_checksums: bool
    archives: list[Archive]
    manifest: StoredObject
    """`backup_manifest`, byte for byte as the server sent it (not compressed)."""
    raw_bytes: int
    stored_bytes: int
    page_checksum_failures: list[str] = []
    """The server's own words, one per damaged file or block."""
    server_settings: dict[str, str] = {}
    """Settings a hot standby must not undercut (max_connections …), as on the source."""

    @property
    def wal_whole_until(self) -> int:
        """Position before which every WAL segment came whole with the backup.

        A primary ends a backup by switching the segment; a standby cannot, and the last one is
        still being received there.
        """
        size = self.segment_size
        return self.stop_lsn // size * size if self.standby else -(-self.stop_lsn // size) * size


class BaseBackup(StreamedBackup):
    """A physical backup, full or incremental; the WAL that makes it consistent is in it."""

    kind: Literal["base_backup"] = "base_backup"
    file_count: int


class NamedRestorePoint(Record):
    """A restore point made with pg_create_restore_point, found in shipped WAL."""

    name: str
    lsn: Lsn
    at: UtcDatetime


class WalHole(Record):
    """WAL that is lost for good: from the end of what was stored to where shipping went on."""

    start_lsn: Lsn
    end_lsn: Lsn


class DurableAfter(Record):
    """How long what was committed took to be durable, as sampled by a run that streamed.

    What was committed before the run began, while none streamed, counts from its commit.
    """

    samples: int
    """Moments at which something waited, a second apart or more."""
    p50_seconds: float
    p95_seconds: float
    max_seconds: float


class WalStretch(RecoveryPointRecord):
    """The WAL that one shipping run made durable: whole segments, without a gap inside."""

    kind: Literal["wal"] = "wal"
    timeline: int
    segment_size: int
    start_lsn: Lsn
    """Start of the first segment."""
    end_lsn: Lsn
    """End of the last segment: every byte before it is stored."""
    first_segment: str
    last_segment: str
    segment_count: int
    raw_bytes: int
    stored_bytes: int
    covered_until: UtcDatetime
    """By the server's clock: every transaction committed before is in this or earlier WAL."""
    next_xid: int
    """First transaction id (64 bit) not yet assigned at `covered_until`."""
    restore_points: list[NamedRestorePoint] = []
    hole_before: WalHole | None = None
    durable_after: DurableAfter | None = None
    """None: the run did not stream continuously, or nothing was written while it did."""


class TableFingerprint(Record):
    """The content of one table (a partition is a table of its own), free of row order."""

    schema_name: str
    name: str
    rows: int
    content_hash: str
    """Of the row texts: sum and xor of 64-bit hashes; the method is in `DatabaseFingerprint`."""
    sampled_percent: float | None = None
    """None: every row was hashed."""


class SequencePosition(Record):
    """A sequence as it stood before the snapshot: the copy must not be behind it."""

    schema_name: str
    name: str
    last_value: int | None
    increment: int


class DatabaseFingerprint(Record):
    """The content of one database at exactly one LSN."""

    database: str
    lsn: Lsn
    """The consistent point: what was committed before it is in, everything else is not."""
    taken_at: UtcDatetime
    method: str
    """Version of the hashing method; only equal methods are compared."""
    tables: list[TableFingerprint]
    sequences: list[SequencePosition] = []
    structure_hash: str
    """Of columns, constraints and indexes of all user tables."""
    left_out: dict[str, str] = {}
    """Name → why it has no fingerprint (unlogged, no privilege)."""


class Fingerprint(RecoveryPointRecord):
    """The content of the policy's databases, each at an exact LSN."""

    kind: Literal["fingerprint"] = "fingerprint"
    timeline: int
    databases: list[DatabaseFingerprint]
    next_xid: int


RecoveryPoint = Annotated[BaseBackup | WalStretch | Fingerprint, Field(discriminator="kind")]


class HeldWal(Record):
    """The WAL that is read on top of a backup."""

    timeline: int
    end_lsn: Lsn


class Hold(Record):
    """A legal hold: somebody needs this recovery point, whatever its age. Removed by nobody.

    It ends when a `HoldRelease` is stored beside it. The hold of a recovery is a short one: it is
    removed when nothing is read any more, and ends by itself if that is never said.
    """

    schema_version: Literal[1] = 1
    id: str
    recovery_point_id: str
    reason: str
    placed_by: str
    placed_at: UtcDatetime
    until: UtcDatetime | None = None
    """When the hold of a recovery ends by itself; None: a legal hold."""
    wal: HeldWal | None = None
    """What is held besides the backup and what it builds on: all WAL from it to there."""


class HoldRelease(Record):
    """The end of a hold."""

    schema_version: Literal[1] = 1
    hold_id: str
    reason: str
    released_by: str
    released_at: UtcDatetime


class DeploymentVerified(Record):
    """A deployment works: its backup may go some time after this."""

    schema_version: Literal[1] = 1
    deployment_id: str
    verified_by: str
    """The run and, where known, the person."""
    verified_at: UtcDatetime


class Proof(Record):
    """One thing that was shown about a recovery point, by one run."""

    schema_version: Literal[1] = 1
    recovery_point_id: str
    level: Literal["recorded", "intact", "restored", "validated", "proven"]
    shown_at: UtcDatetime
    run: str
    """The Airflow run (`dag_id/run_id`) or `cli`."""
    target_lsn: Lsn | None = None
    fingerprint_id: str | None = None
    fingerprint_sha256: str | None = None
    tables_compared: int = 0
    rows_compared: int = 0
    sampled_tables: list[str] = []
    left_out: dict[str, str] = {}
    """`database: schema.table` → why it was not compared."""
    restore_seconds: float | None = None
    stops_because: str = ""
    """Why the level is not higher, in words for the report; empty when proven."""


class Checked(Record):
    """What one verification read back: stretches of WAL that are right, and whatever is damaged.

    A backup that is right has its `intact` proof, which says the same.
    """

    schema_version: Literal[1] = 1
    run: str
    at: UtcDatetime
    """When the last of them had been read."""
    stretch_ids: list[str] = []
    damaged_ids: list[str] = []
    """Backups and stretches that each verification reads again until they are right."""
    stored_bytes: int = 0
    """Of the stretches that are right."""
