"""The compliance report from its material: a pure function, so every figure can be checked."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

import ledgerkeep
from ledgerkeep.catalog.archive.record import YearlyArchive
from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup, Fingerprint, Proof, ProofLevel, WalStretch
from ledgerkeep.evidence.chain import latest
from ledgerkeep.evidence.records import EvidenceRecord
from ledgerkeep.evidence.report.configured import configuration_rows
from ledgerkeep.evidence.report.controls import security_controls
from ledgerkeep.evidence.report.currency import currency_of, durable_rows
from ledgerkeep.evidence.report.deviations import deviations, history_comparison
from ledgerkeep.evidence.report.gather import Material
from ledgerkeep.evidence.report.kept import retention_rows
from ledgerkeep.evidence.report.looked_after import verification_of
from ledgerkeep.evidence.report.model import (
    ArchiveRow,
    BackupRow,
    ComplianceReport,
    DagRuns,
    DayRuns,
    EvidenceRow,
    FindingRow,
    RecoveryWindow,
    RestoreTestRow,
)


def build_report(material: Material) -> ComplianceReport:
    """The report of one environment and period."""
    records = latest(material.records)
    controls = security_controls(material.policy, material.heads)
    currency, durable = currency_of(material, records), durable_rows(material)
    tests = [_restore_test(record, material.snapshots) for record in _recoveries(records)]
    retention = retention_rows(material, records)
    verification = verification_of(material, records)
    configuration = configuration_rows(material, records)
    return ComplianceReport(
        environment=material.policy.environment,
        cluster=material.policy.database.cluster,
        criticality=material.policy.criticality,
        owner=material.policy.owner,
        period=material.period,
        made_at=material.now,
        made_by=f"ledgerkeep {ledgerkeep.__version__}",
        dags=_dags(records),
        days=_days(records),
        backups=_backups(material.snapshots),
        windows=_windows(material.snapshots),
        restore_tests=tests,
        currency=currency,
        durable_after=durable,
        retention=retention,
        verification=verification,
        archives=[_archive(archive) for archive in material.archives],
        configuration=configuration,
        controls=controls,
        exceptions=deviations(
            material,
            records,
            currency,
            durable,
            tests,
            retention,
            verification,
            configuration,
            controls,
        ),
        findings=[
            FindingRow(run=record.run, at=record.ended_at, finding=finding)
            for record in records
            for finding in record.findings
        ],
        sampled_tables=material.policy.database.fingerprint.sampled_tables,
        chain=material.chain,
        history=history_comparison(material, records),
        evidence=[_evidence_row(record) for record in records],
    )


def _dags(records: list[EvidenceRecord]) -> list[DagRuns]:
    by_dag: dict[str, list[EvidenceRecord]] = defaultdict(list)
    for record in records:
        by_dag[record.dag_id].append(record)
    return [
        DagRuns(
            dag_id=dag_id,
            kind=runs[-1].kind,
            runs=len(runs),
            succeeded=sum(run.outcome == "success" for run in runs),
            last_at=runs[-1].started_at,
            last_outcome=runs[-1].outcome,
            median_seconds=median(_seconds(run) for run in runs),
        )
        for dag_id, runs in sorted(by_dag.items())
    ]


def _days(records: list[EvidenceRecord]) -> list[DayRuns]:
    by_day: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        by_day[f"{record.started_at:%Y-%m-%d}"].append(record.outcome == "success")
    return [
        DayRuns(day=day, succeeded=sum(passed), failed=len(passed) - sum(passed))
        for day, passed in sorted(by_day.items())
    ]


def _backups(snapshots: list[CatalogSnapshot]) -> list[BackupRow]:
    rows = [
        row
        for snapshot in snapshots
        for row in (
            *(_backup(backup, snapshot) for backup in snapshot.backups),
            *(_fingerprint(fingerprint) for fingerprint in snapshot.fingerprints),
        )
    ]
    return sorted(rows, key=lambda row: row.at)


def _backup(backup: BaseBackup, snapshot: CatalogSnapshot) -> BackupRow:
    best = _best_proof(snapshot.proofs.get(backup.id, []))
    return BackupRow(
        id=backup.id,
        kind="base_backup",
        at=backup.stopped_at,
        start_lsn=backup.start_lsn,
        end_lsn=backup.stop_lsn,
        raw_bytes=backup.raw_bytes,
        stored_bytes=backup.stored_bytes,
        level=best.level if best else "recorded",
        shown_at=best.shown_at if best else None,
        shown_by=best.run if best else None,
        stops_because=best.stops_because if best else "it was not read back yet",
        parent_id=backup.parent_id,
        page_checksum_failures=len(backup.page_checksum_failures),
    )


def _fingerprint(fingerprint: Fingerprint) -> BackupRow:
    positions = [database.lsn for database in fingerprint.databases]
    return BackupRow(
        id=fingerprint.id,
        kind="fingerprint",
        at=fingerprint.created_at,
        start_lsn=min(positions, default=0),
        end_lsn=max(positions, default=0),
        raw_bytes=None,
        stored_bytes=None,
        level=None,
        shown_at=None,
        shown_by=None,
        stops_because="",
    )


def _best_proof(proofs: Iterable[Proof]) -> Proof | None:
    """The newest of the highest level."""
    return max(
        proofs, key=lambda proof: (ProofLevel[proof.level.upper()], proof.shown_at), default=None
    )


def _windows(snapshots: list[CatalogSnapshot]) -> list[RecoveryWindow]:
    found = []
    for snapshot in snapshots:
        by_timeline: dict[int, list[WalStretch]] = defaultdict(list)
        for stretch in snapshot.stretches:
            by_timeline[stretch.timeline].append(stretch)
        found += [
            RecoveryWindow(
                system_identifier=snapshot.system_identifier,
                timeline=timeline,
                start_lsn=min(stretch.start_lsn for stretch in stretches),
                end_lsn=max(stretch.end_lsn for stretch in stretches),
                covered_until=max(stretch.covered_until for stretch in stretches),
                segments=sum(stretch.segment_count for stretch in stretches),
                stored_bytes=sum(stretch.stored_bytes for stretch in stretches),
                holes=[
                    f"{format_lsn(hole.start_lsn)} to {format_lsn(hole.end_lsn)}"
                    for stretch in stretches
                    if (hole := stretch.hole_before)
                ],
            )
            for timeline, stretches in sorted(by_timeline.items())
        ]
    return found


def _recoveries(records: list[EvidenceRecord]) -> list[EvidenceRecord]:
    return [record for record in records if record.kind in ("restore-test", "recovery")]


def _restore_test(record: EvidenceRecord, snapshots: list[CatalogSnapshot]) -> RestoreTestRow:
    shown = _best_proof(
        proof
        for snapshot in snapshots
        for proofs in snapshot.proofs.values()
        for proof in proofs
        if proof.run == record.run
    )
    return RestoreTestRow(
        run=record.run,
        started_at=record.started_at,
        outcome=record.outcome,
        scenario=record.scenario,
        target=record.target,
        rto_seconds=record.measurements.get("rto_seconds"),
        rpo_seconds=record.measurements.get("rpo_seconds"),
        recovery_point_ids=record.recovery_point_ids,
        level=shown.level if shown else None,
        tables_compared=shown.tables_compared if shown else 0,
        rows_compared=shown.rows_compared if shown else 0,
        sampled_tables=shown.sampled_tables if shown else [],
        stops_because=shown.stops_because if shown else "the run showed nothing",
        criteria=record.criteria,
        asked_by=record.facts.get("requested_by", record.triggered_by),
        facts=record.facts,
    )


def _archive(archive: YearlyArchive) -> ArchiveRow:
    return ArchiveRow(
        id=archive.id,
        year=archive.year,
        recovery_point_id=archive.recovery_point_id,
        level=archive.level,
        archived_at=archive.archived_at,
        location=archive.location,
        storage_class=archive.storage_class,
        locked_until=archive.locked_until,
        objects=len(archive.objects),
        stored_bytes=archive.stored_bytes,
    )


def _evidence_row(record: EvidenceRecord) -> EvidenceRow:
    return EvidenceRow(
        run=record.run,
        kind=record.kind,
        outcome=record.outcome,
        started_at=record.started_at,
        seconds=_seconds(record),
        triggered_by=record.triggered_by,
        recovery_point_ids=record.recovery_point_ids,
        record_sha256=record.digest(),
    )


def _seconds(record: EvidenceRecord) -> float:
    return (record.ended_at - record.started_at).total_seconds()
