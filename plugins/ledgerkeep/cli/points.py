"""`list`, `show` and `verify`: the recovery points that exist, and whether they are still good."""

from argparse import Namespace
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.lsn import format_lsn
from ledgerkeep.catalog.models import BaseBackup, Fingerprint, ProofLevel, WalStretch
from ledgerkeep.cli.output import Output
from ledgerkeep.cli.session import open_session
from ledgerkeep.errors import LedgerkeepError, RecoveryPointMissing
from ledgerkeep.model import Record, UtcDatetime
from ledgerkeep.progress import format_bytes

Point = BaseBackup | WalStretch | Fingerprint


class PointRow(Record):
    """One recovery point in a list."""

    id: str
    kind: str
    cluster: str
    system_identifier: str
    timeline: int
    at: UtcDatetime
    """When the backup ended, until when the WAL covers, when the fingerprint was taken."""
    start_lsn: str
    end_lsn: str
    raw_bytes: int | None
    stored_bytes: int | None
    level: str | None
    """Proof level of a base backup."""
    method: str | None
    """Of a base backup: full or incremental."""
    parent_id: str | None
    """The backup that an incremental one builds on."""


def list_points(arguments: Namespace, output: Output) -> int:
    """What can be restored, oldest first."""
    catalog = open_session(arguments.environment).catalog
    snapshots = [catalog.snapshot(identifier) for identifier in catalog.system_identifiers()]
    rows = sorted((row for one in snapshots for row in _rows(one)), key=lambda row: row.at)
    if output.machine:
        output.document(
            {
                "environment": catalog.environment,
                "location": catalog.store.location,
                "recovery_points": [row.model_dump(mode="json") for row in rows],
            }
        )
        return 0
    if not rows:
        output.lines([f"no recovery point in {catalog.store.location}/{catalog.environment}"])
        return 0
    shown = [row for row in rows if arguments.wal or row.kind != "wal"]
    output.table(
        ["id", "kind", "when (UTC)", "size", "stored", "WAL range", "proof", "parent"],
        [_cells(row) for row in shown],
        right=["size", "stored"],
    )
    output.lines([_window(snapshot) for snapshot in snapshots if snapshot.stretches])
    return 0


def show_point(arguments: Namespace, output: Output) -> int:
    """One recovery point with everything that was shown about it."""
    catalog = open_session(arguments.environment).catalog
    point, snapshot = find_point(catalog, arguments.id)
    proofs = snapshot.proofs.get(point.id, [])
    if output.machine:
        output.document(
            {
                "recovery_point": point.model_dump(mode="json"),
                "level": snapshot.level(point.id).word,
                "proofs": [proof.model_dump(mode="json") for proof in proofs],
            }
        )
        return 0
    output.table(["", ""], list(_facts(point, snapshot.level(point.id))))
    if proofs:
        output.table(
            ["shown (UTC)", "level", "by", "not higher because"],
            [
                [_moment(proof.shown_at), proof.level, proof.run, proof.stops_because]
                for proof in proofs
            ],
        )
    return 0


def verify_points(arguments: Namespace, output: Output) -> int:
    """Read back base backups, or all that is due; 1 when something is not intact."""
    from ledgerkeep.database.postgres.full_backup import verify_backup

    catalog = open_session(arguments.environment).catalog
    if arguments.due:
        return _verify_due(catalog, output)
    results: list[dict[str, Any]] = []
    for backup in _chosen(catalog, arguments.id):
        try:
            verify_backup(catalog, backup, run="cli", progress=output.progress())
        except LedgerkeepError as problem:
            # The others are still to be looked at: one bad backup is no reason to know less.
            output.error(problem)
            results.append({"id": backup.id, "intact": False, "problem": problem.message})
        else:
            results.append({"id": backup.id, "intact": True, "problem": ""})
    if output.machine:
        output.document({"verified": results})
    else:
        output.table(["id", "result"], [[one["id"], one["problem"] or "intact"] for one in results])
    return 0 if all(one["intact"] for one in results) else 1


def _verify_due(catalog: Catalog, output: Output) -> int:
    """Read what today's verification would read, WAL too; 1 when something is damaged."""
    from ledgerkeep.evidence.verification.verify import verify_readability

    part = verify_readability(catalog, run="cli", progress=output.progress())
    count, size = part.measurements["reread_objects"], part.measurements["reread_bytes"]
    if output.machine:
        findings = [one.model_dump(mode="json", exclude={"owner"}) for one in part.findings]
        output.document({"findings": findings, "measurements": part.measurements})
    else:
        output.lines(
            [
                f"{count:.0f} stored objects were due and are read: {format_bytes(int(size))}",
                *(f"{one.severity}: {one.what}" for one in part.findings),
            ]
        )
    return 1 if part.grave else 0


def find_point(catalog: Catalog, point_id: str) -> tuple[Point, CatalogSnapshot]:
    """A recovery point of any kind by its id.

    :raises RecoveryPointMissing:
    """
    for identifier in catalog.system_identifiers():
        snapshot = catalog.snapshot(identifier)
        for point in _points(snapshot):
            if point.id == point_id:
                return point, snapshot
    raise RecoveryPointMissing(
        f"no recovery point {point_id} in {catalog.store.location}/{catalog.environment}",
        hint=f"list what exists: ledgerkeep list --wal --environment {catalog.environment}",
    )


def _chosen(catalog: Catalog, backup_id: str | None) -> list[BaseBackup]:
    if backup_id is not None:
        return [catalog.find_backup(backup_id)]
    return [
        backup
        for identifier in catalog.system_identifiers()
        for backup in catalog.backups(identifier)
    ]


def _points(snapshot: CatalogSnapshot) -> Iterator[Point]:
    yield from snapshot.backups
    yield from snapshot.stretches
    yield from snapshot.fingerprints


def _rows(snapshot: CatalogSnapshot) -> Iterator[PointRow]:
    for point in _points(snapshot):
        at, start, end = _extent(point)
        stored = None if isinstance(point, Fingerprint) else point
        yield PointRow(
            id=point.id,
            kind=point.kind,
            cluster=point.cluster,
            system_identifier=point.system_identifier,
            timeline=point.timeline,
            at=at,
            start_lsn=format_lsn(start),
            end_lsn=format_lsn(end),
            raw_bytes=stored.raw_bytes if stored else None,
            stored_bytes=stored.stored_bytes if stored else None,
            level=snapshot.level(point.id).word if isinstance(point, BaseBackup) else None,
            method=point.method if isinstance(point, BaseBackup) else None,
            parent_id=point.parent_id if isinstance(point, BaseBackup) else None,
        )


def _extent(point: Point) -> tuple[datetime, int, int]:
    """(moment, first LSN, last LSN)."""
    if isinstance(point, BaseBackup):
        return point.stopped_at, point.start_lsn, point.stop_lsn
    if isinstance(point, WalStretch):
        return point.covered_until, point.start_lsn, point.end_lsn
    positions = [database.lsn for database in point.databases]
    return point.created_at, min(positions, default=0), max(positions, default=0)


def _cells(row: PointRow) -> list[str]:
    return [
        row.id,
        f"{row.method} backup" if row.method else row.kind.replace("_", " "),
        _moment(row.at),
        "" if row.raw_bytes is None else format_bytes(row.raw_bytes),
        "" if row.stored_bytes is None else format_bytes(row.stored_bytes),
        f"{row.start_lsn} – {row.end_lsn}" if row.start_lsn != row.end_lsn else row.end_lsn,
        row.level or "",
        row.parent_id or "",
    ]


def _window(snapshot: CatalogSnapshot) -> str:
    newest = max(snapshot.stretches, key=lambda stretch: stretch.covered_until)
    return (
        f"WAL of cluster {snapshot.system_identifier}: "
        f"{sum(one.segment_count for one in snapshot.stretches)} segments in "
        f"{len(snapshot.stretches)} stretches, up to {format_lsn(newest.end_lsn)}; every "
        f"transaction before {_moment(newest.covered_until)} UTC is covered"
    )


def _facts(point: Point, level: ProofLevel) -> Iterator[list[str]]:
    at, start, end = _extent(point)
    yield ["id", point.id]
    yield ["kind", point.kind.replace("_", " ")]
    yield ["cluster", f"{point.cluster}, system identifier {point.system_identifier}"]
    yield ["when", f"{_moment(at)} UTC"]
    yield ["WAL", f"timeline {point.timeline}, {format_lsn(start)} to {format_lsn(end)}"]
    if isinstance(point, BaseBackup):
        yield ["method", _method(point)]
        if point.deployment is not None:
            yield ["before deployment", point.deployment.id]
        yield ["server", f"{point.server_version // 10000}.{point.server_version % 10000}"]
        yield ["files", str(point.file_count)]
        yield ["page failures", "; ".join(point.page_checksum_failures) or "none"]
        yield ["proof", level.word]
    if isinstance(point, WalStretch):
        yield ["segments", f"{point.segment_count}, {point.first_segment} to {point.last_segment}"]
    if isinstance(point, Fingerprint):
        for one in point.databases:
            rows = sum(table.rows for table in one.tables)
            yield [one.database, f"{len(one.tables)} tables, {rows} rows at {format_lsn(one.lsn)}"]
    else:
        yield [
            "size",
            f"{format_bytes(point.raw_bytes)}, stored {format_bytes(point.stored_bytes)}",
        ]
    yield ["made by", point.made_by]


def _method(backup: BaseBackup) -> str:
    if backup.method == "incremental":
        return f"incremental, on {backup.parent_id}"
    return f"full, because {backup.full_because}" if backup.full_because else "full"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
