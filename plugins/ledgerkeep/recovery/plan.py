"""The recovery plan: what would be restored, from what, and whether it can be, before it is.

A pure function of the catalog, the listed WAL, the target and the clock. The newest backup that
ended at or before the target is chosen, since every older one needs all of its WAL and more. A
target that no unbroken chain leads to is refused with the exact reason and with the nearest
targets before and after it that can be reached.

Public, and stable:
`plan_recovery(snapshot, wal, target, *, backup_id=None, now) -> RecoveryPlan`,
`plan_from_catalog(catalog, system_identifier, target, *, backup_id=None, now=None)`, which loads
what the plan is made of, and `RecoveryPlan` with `describe()`.
"""

from dataclasses import dataclass
from datetime import datetime

from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.lsn import Lsn, format_lsn
from ledgerkeep.catalog.models import BaseBackup, Proof
from ledgerkeep.errors import RecoveryPointMissing
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.progress import format_bytes
from ledgerkeep.recovery.reach import Milestone, Reach, reaches
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.unreachable import unreachable
from ledgerkeep.recovery.wal_index import Branch, WalIndex, load_wal_index

ASSUMED_RATE = 100_000_000
"""Bytes per second of a restore, where none was measured yet."""


class RecoveryPlan(Record):
    """One recovery, decided: enough to carry it out and to show it to a person first."""

    environment: str
    cluster: str
    system_identifier: str
    target: RecoveryTarget
    backup_id: str
    backup_stopped_at: UtcDatetime
    backup_stop_lsn: Lsn
    server_version: int
    segment_size: int
    timeline: int
    lineage: list[Branch]
    """The timelines from the backup's to `timeline`, and where each was left."""
    first_segment: str | None
    """First segment to fetch; None: the backup's own WAL is enough."""
    last_segment: str | None
    segment_count: int
    available_until: Lsn
    """Every segment from the first to this position is there, also beyond the last one needed."""
    reaches_time: UtcDatetime
    """Every transaction committed before this moment is available to the replay."""
    backup_stored_bytes: int
    wal_stored_bytes: int
    backup_raw_bytes: int
    wal_raw_bytes: int
    recovery_settings: dict[str, str]
    """`recovery_target…` settings of the server."""
    ends_itself: bool
    """Whether running out of WAL is reaching the target: nothing later was committed."""
    expected_seconds: float
    expected_from: str
    """Where the expectation comes from, in words."""
    missing: list[str] = []
    """What a later target would need and does not find; this target does not."""

    @property
    def major(self) -> int:
        """Major version of the server that is restored."""
        return self.server_version // 10_000

    @property
    def timelines(self) -> list[int]:
        """The lineage's timelines, oldest first."""
        return [branch.timeline for branch in self.lineage]

    @property
    def bytes_to_fetch(self) -> int:
        """Bytes to download."""
        return self.backup_stored_bytes + self.wal_stored_bytes

    @property
    def bytes_to_write(self) -> int:
        """Bytes on disk at most: the data, and WAL that passes through."""
        return self.backup_raw_bytes + self.wal_raw_bytes

    def describe(self) -> list[str]:
        """The plan for people, one line a fact."""
        wal = "none but the backup's own"
        if self.first_segment is not None:
            wal = (
                f"{self.first_segment} to {self.last_segment} (segments: {self.segment_count}), "
                f"timeline {' → '.join(map(str, self.timelines))}"
            )
        settings = ", ".join(f"{name} = {value}" for name, value in self.recovery_settings.items())
        return [
            f"target:        {self.target}",
            f"base backup:   {self.backup_id}, ended {self.backup_stopped_at:%Y-%m-%d %H:%M:%S}Z "
            f"at {format_lsn(self.backup_stop_lsn)}",
            f"WAL:           {wal}",
            f"WAL reaches:   {self.reaches_time:%Y-%m-%d %H:%M:%S}Z, "
            f"{format_lsn(self.available_until)}",
            f"to fetch:      {format_bytes(self.bytes_to_fetch)}",
            f"to write:      {format_bytes(self.bytes_to_write)}",
            f"stops by:      {settings or 'the end of the WAL'}",
            f"expected time: {self.expected_seconds:.0f} s ({self.expected_from})",
            *(f"missing:       {words}" for words in self.missing),
        ]


@dataclass(frozen=True)
class _Choice:
    reach: Reach
    milestone: Milestone
    """The first one that includes the target."""
    position: int
    """Where in the WAL the target lies, or the end of what must be read to find it."""
    settings: dict[str, str]


def plan_recovery(
    snapshot: CatalogSnapshot,
    wal: WalIndex,
    target: RecoveryTarget,
    *,
    backup_id: str | None = None,
    now: datetime,
) -> RecoveryPlan:
    """Decide how to reach the target.

    :param backup_id: use this base backup instead of the newest that fits.
    :raises TargetUnreachable: no unbroken chain leads there; the hint names the nearest targets.
    :raises RecoveryPointMissing: there is no backup of that id.
    """
    if backup_id is not None and backup_id not in {backup.id for backup in snapshot.backups}:
        raise RecoveryPointMissing(
            f"no base backup {backup_id} of the cluster {snapshot.system_identifier}",
            hint=f"list what exists: ledgerkeep list --environment {snapshot.environment}",
        )
    found = [
        [reach for reach in reaches(snapshot, wal, timeline) if _wanted(reach, backup_id)]
        for timeline in _timelines(snapshot, wal, target)
    ]
    for along_one_lineage in found:
        choice = _choose(along_one_lineage, target)
        if choice is not None and not (target.time and target.time > now):
            return _plan(snapshot, wal, target, choice)
    raise unreachable(snapshot, [reach for some in found for reach in some], target, now)


def plan_from_catalog(
    catalog: Catalog,
    system_identifier: str,
    target: RecoveryTarget,
    *,
    backup_id: str | None = None,
    now: datetime | None = None,
) -> RecoveryPlan:
    """Load the catalog and the listing of the WAL, then `plan_recovery`."""
    snapshot = catalog.snapshot(system_identifier)
    wal = load_wal_index(catalog, system_identifier)
    return plan_recovery(snapshot, wal, target, backup_id=backup_id, now=now or utc_now())


def _wanted(reach: Reach, backup_id: str | None) -> bool:
    return backup_id is None or reach.backup.id == backup_id


def _timelines(snapshot: CatalogSnapshot, wal: WalIndex, target: RecoveryTarget) -> list[int]:
    """Newest first: after a failover that is where the cluster went on."""
    if target.timeline is not None:
        return [target.timeline]
    backups = {backup.timeline for backup in snapshot.backups}
    shipped = {stretch.timeline for stretch in snapshot.stretches}
    return sorted(backups | shipped | set(wal.histories), reverse=True)


def _choose(found: list[Reach], target: RecoveryTarget) -> _Choice | None:
    """The newest backup whose chain includes the target."""
    for reach in reversed(found):
        choice = _named(reach, target) if target.name else _measured(reach, target)
        if choice is not None:
            return choice
    return None


def _named(reach: Reach, target: RecoveryTarget) -> _Choice | None:
    positions = [point.lsn for point in reach.restore_points if point.name == target.name]
    if not positions:
        return None
    lsn = max(positions)
    milestone = next((one for one in reach.milestones if one.lsn >= lsn), reach.end)
    return _Choice(reach, milestone, lsn, target.server_settings(restore_point=lsn))


def _measured(reach: Reach, target: RecoveryTarget) -> _Choice | None:
    """The target on its scale: before the backup's stop, after the end, or at a milestone."""
    if target.latest:
        milestone: Milestone | None = reach.end
    else:
        milestone = next((one for one in reach.milestones if _includes(one, target)), None)
    if milestone is None or not _starts_by(reach.start, target):
        return None
    if milestone is reach.start:
        return _Choice(reach, milestone, milestone.lsn, {"recovery_target": "immediate"})
    position = milestone.lsn if target.lsn is None else target.lsn
    return _Choice(reach, milestone, position, target.server_settings())


def _includes(milestone: Milestone, target: RecoveryTarget) -> bool:
    if target.time is not None:
        return milestone.at >= target.time
    if target.lsn is not None:
        return milestone.lsn >= target.lsn
    return target.xid is not None and milestone.next_xid > target.xid


def _starts_by(start: Milestone, target: RecoveryTarget) -> bool:
    if target.time is not None:
        return start.at <= target.time
    if target.lsn is not None:
        return start.lsn <= target.lsn
    return target.xid is None or start.next_xid <= target.xid


def _plan(
    snapshot: CatalogSnapshot, wal: WalIndex, target: RecoveryTarget, choice: _Choice
) -> RecoveryPlan:
    reach, backup = choice.reach, choice.reach.backup
    end = min(reach.end_number, max(reach.first_number, -(-choice.position // backup.segment_size)))
    segments = list(reach.segments(reach.first_number, end))
    timeline = reach.lineage[-1].timeline
    raw_bytes = len(segments) * backup.segment_size
    seconds, source = _expected(snapshot, backup, raw_bytes)
    return RecoveryPlan(
        environment=snapshot.environment,
        cluster=backup.cluster,
        system_identifier=snapshot.system_identifier,
        target=target,
        backup_id=backup.id,
        backup_stopped_at=backup.stopped_at,
        backup_stop_lsn=backup.stop_lsn,
        server_version=backup.server_version,
        segment_size=backup.segment_size,
        timeline=timeline,
        lineage=[one for one in reach.lineage if one.timeline >= backup.timeline],
        first_segment=segments[0] if segments else None,
        last_segment=segments[-1] if segments else None,
        segment_count=len(segments),
        available_until=max(reach.end.lsn, reach.first_number * backup.segment_size),
        reaches_time=choice.milestone.at,
        backup_stored_bytes=backup.stored_bytes,
        wal_stored_bytes=sum(wal.segments[name] for name in segments),
        backup_raw_bytes=backup.raw_bytes,
        wal_raw_bytes=raw_bytes,
        recovery_settings=choice.settings,
        ends_itself=target.kind in ("time", "lsn", "name", "latest"),
        expected_seconds=seconds,
        expected_from=source,
        missing=[reach.blocked_by] if reach.blocked_by else [],
    )


def _expected(snapshot: CatalogSnapshot, backup: BaseBackup, wal_bytes: int) -> tuple[float, str]:
    """Seconds at the rate of the latest measured restore, or at the assumed one."""
    sizes = {one.id: one.raw_bytes for one in snapshot.backups}
    measured: list[Proof] = [
        proof
        for backup_id in sizes
        for proof in snapshot.proofs.get(backup_id, [])
        if proof.restore_seconds
    ]
    work = backup.raw_bytes + wal_bytes
    if not measured:
        return work / ASSUMED_RATE, f"{format_bytes(ASSUMED_RATE)}/s assumed, none measured yet"
    latest = max(measured, key=lambda proof: proof.shown_at)
    rate = sizes[latest.recovery_point_id] / (latest.restore_seconds or 1.0)
    return work / rate, f"{format_bytes(int(rate))}/s measured {latest.shown_at:%Y-%m-%d}"
