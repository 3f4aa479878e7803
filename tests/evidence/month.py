"""Days of March 2026 in production, as a store would hold them: for the report's tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ledgerkeep.catalog.catalog import Catalog
from ledgerkeep.catalog.models import (
    BaseBackup,
    DatabaseFingerprint,
    Fingerprint,
    Proof,
    WalStretch,
)
from ledgerkeep.evidence.chain import EvidenceLog
from ledgerkeep.evidence.history import AirflowRun
from ledgerkeep.evidence.records import EvidenceRecord, Target
from ledgerkeep.storage.port import StoredObject
from tests.evidence.encrypting_store import EncryptingStore
from tests.evidence.support import policy_of

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
SYSTEM = "7612345678901234567"
SEGMENT = 16 * 1024 * 1024
COMMON: dict[str, Any] = {
    "environment": "production",
    "cluster": "loan-management-production",
    "system_identifier": SYSTEM,
    "made_by": "ledgerkeep 0.1.0",
}


class Month:
    """Fills a store; each method adds what one run leaves behind."""

    def __init__(self) -> None:
        self.store = EncryptingStore()
        # What is configured has tests of its own.
        self.policy = policy_of("production").model_copy(update={"configuration": None})
        self.catalog = Catalog(self.store, self.policy)
        self.log = EvidenceLog(self.store, self.policy)
        self.history: list[AirflowRun] = []

    def run(self, action: str, at: datetime, seconds: float, **fields: Any) -> EvidenceRecord:
        """A run that ended, in the evidence and in Airflow's history."""
        outcome = fields.pop("outcome", "success")
        record = EvidenceRecord.model_validate(
            {
                "environment": "production",
                "dag_id": f"production_{action}",
                "run_id": f"scheduled__{at:%Y-%m-%dT%H:%M:%S}+00:00",
                "kind": "backup",
                "outcome": outcome,
                "started_at": at,
                "ended_at": at + timedelta(seconds=seconds),
                "triggered_by": "scheduled",
                **fields,
            }
        )
        self.log.append(record)
        self.history.append(
            AirflowRun(
                dag_id=record.dag_id,
                run_id=record.run_id,
                state=outcome,
                run_type="scheduled",
                start_date=at,
                end_date=record.ended_at,
            )
        )
        return record

    def backup(self, at: datetime, raw_bytes: int, **proof: Any) -> str:
        """A full backup, read back."""
        lsn = int((at - SINCE).total_seconds()) * 10_000 + 0x20000000
        backup = BaseBackup(
            **COMMON,
            id=f"{at:%Y%m%dT%H%M%SZ}-full",
            created_at=at,
            server_version=180006,
            timeline=1,
            start_lsn=lsn,
            stop_lsn=lsn + 0x120,
            started_at=at,
            stopped_at=at + timedelta(minutes=4),
            next_xid=1000,
            segment_size=SEGMENT,
            wal_level="logical",
            data_checksums=True,
            archives=[],
            manifest=StoredObject(key="m", size=1, sha256="0" * 64),
            file_count=1200,
            raw_bytes=raw_bytes,
            stored_bytes=raw_bytes * 38 // 100,
        )
        self.catalog.commit_backup(backup)
        self.prove(backup.id, at + timedelta(minutes=5), level="intact", run="backup", **proof)
        self.run("database_full_backup", at, 290, recovery_point_ids=[backup.id])
        return backup.id

    def prove(self, backup_id: str, at: datetime, **fields: Any) -> None:
        """Something shown about a backup."""
        fields = {"stops_because": "it was not restored yet"} | fields
        proof = Proof(recovery_point_id=backup_id, shown_at=at, **fields)
        self.catalog.commit_proof(SYSTEM, proof)

    def wal(self, at: datetime, **fields: Any) -> str:
        """One shipping run: everything before `at` is covered."""
        end = int((at - SINCE).total_seconds()) * 10_000 // SEGMENT * SEGMENT + 0x20000000
        stretch = WalStretch(
            **COMMON,
            id=f"{at:%Y%m%dT%H%M%SZ}-wal",
            created_at=at,
            timeline=1,
            segment_size=SEGMENT,
            start_lsn=end - SEGMENT,
            end_lsn=end,
            first_segment="000000010000000000000001",
            last_segment="000000010000000000000001",
            segment_count=1,
            raw_bytes=SEGMENT,
            stored_bytes=SEGMENT // 3,
            covered_until=at,
            next_xid=2000,
            **fields,
        )
        self.catalog.commit_stretch(stretch)
        self.run("database_wal_shipping", at, 6, recovery_point_ids=[stretch.id])
        return stretch.id

    def fingerprint(self, at: datetime) -> None:
        """What the source held."""
        made = DatabaseFingerprint(
            database="loan_management",
            lsn=int((at - SINCE).total_seconds()) * 10_000 + 0x20000000,
            taken_at=at,
            method="1",
            tables=[],
            structure_hash="0",
        )
        fingerprint = Fingerprint(
            **COMMON,
            id=f"{at:%Y%m%dT%H%M%SZ}-fp",
            created_at=at,
            timeline=1,
            databases=[made],
            next_xid=1,
        )
        self.catalog.commit_fingerprint(fingerprint)
        self.run("database_fingerprint", at, 55, kind="check", recovery_point_ids=[fingerprint.id])

    def verification(self, at: datetime, **fields: Any) -> EvidenceRecord:
        """A verification that found nothing wrong; what is stored is younger than its promise."""
        parts = ("completeness", "reread", "wal_continuity", "size_trend")
        usual = {"tasks": dict.fromkeys(parts, "success")}
        return self.run("database_backup_verification", at, 340, kind="check", **usual | fields)

    def restore_test(self, at: datetime, backup_id: str, **fields: Any) -> EvidenceRecord:
        """A restore test that proved a backup."""
        measured = {"rto_seconds": 1130.0, "rpo_seconds": 540.0} | fields.pop("measurements", {})
        record = self.run(
            "test_point_in_time_recovery",
            at,
            1300,
            kind="restore-test",
            recovery_point_ids=[backup_id],
            scenario="The database is lost; it is restored to the newest fingerprint.",
            target=Target(name="database_failure", rto_seconds=3600, rpo_seconds=900),
            measurements=measured,
            **fields,
        )
        if record.outcome == "success":
            self.prove(
                backup_id,
                record.ended_at,
                level="proven",
                run=record.run,
                stops_because="",
                tables_compared=11,
                rows_compared=4_812_330,
            )
        return record


def quiet(days: int) -> Month:
    """The first days of March, with nothing to complain about: all of it ran on time."""
    month = Month()
    for day in range(days):
        at = SINCE + timedelta(days=day)
        backup_id = month.backup(at + timedelta(hours=1), 210_000_000_000 + day * 420_000_000)
        month.fingerprint(at + timedelta(hours=4))
        month.verification(at + timedelta(hours=7))
        for quarter in range(96):
            month.wal(at + timedelta(minutes=15 * quarter))
        if day == days // 2:
            month.restore_test(at + timedelta(hours=6), backup_id)
    month.wal(SINCE + timedelta(days=days))
    return month
