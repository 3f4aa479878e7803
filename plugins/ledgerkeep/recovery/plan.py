"""The recovery plan: what would be restored, from what, and whether it can be, before it is.

A pure function of the catalog, the listed WAL, the target and the clock. The newest backup that
ended at or before the target is chosen, full or incremental, since every older one needs all of its
WAL and more. An incremental counts only with all that it builds on: one whose chain is broken is
passed over, and the plan says so. A target that no unbroken chain leads to is refused with the
exact reason and with the nearest targets before and after it that can be reached.

Public, and stable:
`plan_recovery(snapshot, wal, target, *, backup_id=None, now) -> RecoveryPlan`,
`plan_from_catalog(catalog, system_identifier, target, *, backup_id=None, now=None)`, which loads
what the plan is made of, and `RecoveryPlan` with `describe()`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ledgerkeep.catalog.catalog import Catalog, CatalogSnapshot
from ledgerkeep.catalog.chain import by_id, chain_of, is_whole
from ledgerkeep.catalog.lsn import Lsn, format_lsn
from ledgerkeep.catalog.models import BackupMethod, BaseBackup, Proof
from ledgerkeep.database.postgres.wal_tail import with_tail
from ledgerkeep.errors import RecoveryPointMissing
from ledgerkeep.model import Record, UtcDatetime, utc_now
from ledgerkeep.progress import format_bytes
from ledgerkeep.recovery.reach import Milestone, Reach, reaches
from ledgerkeep.recovery.target import RecoveryTarget
from ledgerkeep.recovery.unreachable import unreachable
from ledgerkeep.recovery.wal_index import Branch, WalIndex, load_wal_index

ASSUMED_RATE = 100_000_000
"""Bytes per second of a restore, where none was measured yet."""

_LISTED = 8
"""Backups of a chain that people are told one by one."""


class PlannedBackup(Record):
    """One backup of the chain that is restored."""

    id: str
    method: BackupMethod
    stored_bytes: int
    """Bytes to download."""
    raw_bytes: int
    """Bytes that it unpacks to."""


class RecoveryPlan(Record):
    """One recovery, decided: enough to carry it out and to show it to a person first."""

    environment: str
    cluster: str
    system_identifier: str
    target: RecoveryTarget
    backup_id: str
    backup_stopped_at: UtcDatetime
    backup_stop_lsn: Lsn
    backup_wal_until: Lsn | None = None
    """The WAL segments before this position come with the backup; None: up to its stop."""
    chain: list[PlannedBackup]
    """What is restored, from a full backup to `backup_id`; a full backup stands alone."""
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
    """Of all backups of the chain."""
    wal_stored_bytes: int
    backup_raw_bytes: int
    """Of all backups of the chain."""
    wal_raw_bytes: int
    recovery_settings: dict[str, str]
    """`recovery_target…` settings of the server."""
    ends_itself: bool
    """Whether running out of WAL is reaching the target: nothing later was committed."""
    expected_seconds: float
    expected_from: str
    """Where the expectation comes from, in words."""
    missing: list[str] = []
    """What a later target, or a shorter way to this one, would need and does not find."""

    @property
    def major(self) -> int:
        """Major version of the server that is restored."""
        return self.server_version // 10_000

    @property
    def first_number(self) -> int:
        """Number of the first segment that the backup does not bring with it."""
        until = self.backup_stop_lsn if self.backup_wal_until is None else self.backup_wal_until
        return -(-until // self.segment_size)

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
        """Bytes on disk at most: the data, and WAL that passes through.

        The backups of a chain, and what they are combined to, lie beside each other for a while.
        """
        return self.backup_raw_bytes * (2 if len(self.chain) > 1 else 1) + self.wal_raw_bytes

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
            *self._describe_chain(),
            f"WAL:           {wal}",
            f"WAL reaches:   {self.reaches_time:%Y-%m-%d %H:%M:%S}Z, "
            f"{format_lsn(self.available_until)}",
            f"to fetch:      {format_bytes(self.bytes_to_fetch)}",
            f"to write:      {format_bytes(self.bytes_to_write)}",
            f"stops by:      {settings or 'the end of the WAL'}",
            f"expected time: {self.expected_seconds:.0f} s ({self.expected_from})",
            *(f"missing:       {words}" for words in self.missing),
        ]

    def _describe_chain(self) -> list[str]:
        if len(self.chain) == 1:
            return []
        ids = [one.id for one in self.chain]
        if len(ids) > _LISTED:
            ids[2:-2] = [f"({len(ids) - 4} more)"]
        return [
            f"chain:         a full backup and {len(self.chain) - 1} incremental: "
            + " → ".join(ids)
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
    :raises ChainBroken: the backup of that id builds on one that is gone.
    """
    if backup_id is not None:
        _check_wanted(snapshot, backup_id)
    all_broken: list[Reach] = []
    all_sound: list[Reach] = []
    for timeline in _timelines(snapshot, wal, target):
        found = [one for one in reaches(snapshot, wal, timeline) if _wanted(one, backup_id)]
        sound = [reach for reach in found if not reach.lacks]
        broken = [reach for reach in found if reach.lacks and _choose([reach], target)]
        choice = _choose(sound, target)
        if choice is not None and not (target.time and target.time > now):
            return _plan(snapshot, wal, target, choice, broken)
        all_sound += sound
        all_broken += broken
    raise unreachable(snapshot, all_sound, target, now, _newest_words(all_broken))


def plan_from_catalog(
    catalog: Catalog,
    system_identifier: str,
    target: RecoveryTarget,
    *,
    backup_id: str | None = None,
    now: datetime | None = None,
) -> RecoveryPlan:
    """Load the catalog and the listing of the WAL, then `plan_recovery`."""
    snapshot = with_tail(catalog, catalog.snapshot(system_identifier))
    wal = load_wal_index(catalog, system_identifier)
    return plan_recovery(snapshot, wal, target, backup_id=backup_id, now=now or utc_now())


def _check_wanted(snapshot: CatalogSnapshot, backup_id: str) -> None:
    known = by_id(snapshot.backups)
    if backup_id not in known:
        raise RecoveryPointMissing(
            f"no base backup {backup_id} of the cluster {snapshot.system_identifier}",
            hint=f"list what exists: ledgerkeep list --environment {snapshot.environment}",
        )
    chain_of(known[backup_id], known)


def _newest_words(broken: Sequence[Reach]) -> list[str]:
    """What is missing, told of the newest backup that lacks it."""
    newest = {reach.lacks: reach.backup.id for reach in broken}
    return [f"backup {one} builds on {lost}, which is gone" for lost, one in newest.items()]


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
    snapshot: CatalogSnapshot,
    wal: WalIndex,
    target: RecoveryTarget,
    choice: _Choice,
    broken: Sequence[Reach],
) -> RecoveryPlan:
    reach, backup = choice.reach, choice.reach.backup
    nearer = [one for one in broken if one.start.lsn > reach.start.lsn]
    end = min(reach.end_number, max(reach.first_number, -(-choice.position // backup.segment_size)))
    segments = list(reach.segments(reach.first_number, end))
    timeline = reach.lineage[-1].timeline
    raw_bytes = len(segments) * backup.segment_size
    seconds, source = _expected(snapshot, reach.chain, raw_bytes)
    return RecoveryPlan(
        environment=snapshot.environment,
        cluster=backup.cluster,
        system_identifier=snapshot.system_identifier,
        target=target,
        backup_id=backup.id,
        backup_stopped_at=backup.stopped_at,
        backup_stop_lsn=backup.stop_lsn,
        backup_wal_until=backup.wal_whole_until,
        chain=[
            PlannedBackup(
                id=one.id,
                method=one.method,
                stored_bytes=one.stored_bytes,
                raw_bytes=one.raw_bytes,
            )
            for one in reach.chain
        ],
        server_version=backup.server_version,
        segment_size=backup.segment_size,
        timeline=timeline,
        lineage=[one for one in reach.lineage if one.timeline >= backup.timeline],
        first_segment=segments[0] if segments else None,
        last_segment=segments[-1] if segments else None,
        segment_count=len(segments),
        available_until=max(reach.end.lsn, reach.first_number * backup.segment_size),
        reaches_time=choice.milestone.at,
        backup_stored_bytes=sum(one.stored_bytes for one in reach.chain),
        wal_stored_bytes=sum(wal.segments[name] for name in segments),
        backup_raw_bytes=sum(one.raw_bytes for one in reach.chain),
        wal_raw_bytes=raw_bytes,
        recovery_settings=choice.settings,
        ends_itself=target.kind in ("time", "lsn", "name", "latest"),
        expected_seconds=seconds,
        expected_from=source,
        missing=[*_newest_words(nearer), *([reach.blocked_by] if reach.blocked_by else [])],
    )


def _expected(
    snapshot: CatalogSnapshot, chain: Sequence[BaseBackup], wal_bytes: int
) -> tuple[float, str]:
    """Seconds at the rate of the latest measured restore, or at the assumed one."""
    known = by_id(snapshot.backups)
    measured: list[Proof] = [
        proof
        for backup in snapshot.backups
        for proof in snapshot.proofs.get(backup.id, [])
        if proof.restore_seconds and is_whole(backup, known)
    ]
    work = _work(chain) + wal_bytes
    if not measured:
        return work / ASSUMED_RATE, f"{format_bytes(ASSUMED_RATE)}/s assumed, none measured yet"
    latest = max(measured, key=lambda proof: proof.shown_at)
    done = _work(chain_of(known[latest.recovery_point_id], known))
    rate = done / (latest.restore_seconds or 1.0)
    return work / rate, f"{format_bytes(int(rate))}/s measured {latest.shown_at:%Y-%m-%d}"


def _work(chain: Sequence[BaseBackup]) -> int:
    """Bytes that restoring it handles: those of a chain are unpacked, and then combined."""
    return sum(backup.raw_bytes for backup in chain) * (2 if len(chain) > 1 else 1)
