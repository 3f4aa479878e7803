"""Retention: what of the stored recovery points stays, what may go, and why, of each of them.

A pure function of what is stored, the policy and the clock; `catalog.removal` carries the plan
out. Everything is removed that nothing keeps, so each rule below only ever adds a reason to stay:

- it is `recent`, or within the WAL window, where every backup is a start that saves replay, and
  the only way past a segment that got lost;
- it stands for a day, week, month or year that the policy still keeps (`catalog.periods`);
- it is one of the newest full backups, of which the policy keeps a minimum however old;
- it is the last one that was proven, with the WAL and the fingerprint of its proof;
- somebody placed a legal hold on it, or a recovery reads it;
- it was taken before a deployment that is not verified yet, or only recently;
- something that stays builds on it, or a backup that is being recorded at this moment does;
- it builds on a backup whose record is lost, and which may be put back;
- for WAL, fingerprints and timeline histories: something leads to them (`retention_wal`).

A rule counts only backups that can be restored; one whose ancestor is gone stands for nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.chain import by_id, descendants
from ledgerkeep.catalog.models import (
    BaseBackup,
    DeploymentVerified,
    Fingerprint,
    Hold,
    Proof,
    ProofLevel,
    StreamedBackup,
    WalStretch,
)
from ledgerkeep.catalog.periods import CLASSES, standing
from ledgerkeep.catalog.retention_reasons import Keeping, Reason
from ledgerkeep.catalog.retention_wal import WalRules
from ledgerkeep.catalog.timelines import Switches
from ledgerkeep.policy.model import DatabaseRetention, PreDeployment
from ledgerkeep.policy.values import format_duration

Kind = Literal["full backup", "incremental backup", "wal", "fingerprint", "history"]


@dataclass(frozen=True)
class Stored:
    """Everything about one cluster that retention decides on."""

    snapshot: CatalogSnapshot
    unrecorded: list[StreamedBackup] = field(default_factory=list)
    """Streamed, and not recorded yet: they are read back at this moment, or were given up."""
    holds: list[Hold] = field(default_factory=list)
    """Those that are active."""
    verified: Mapping[str, DeploymentVerified] = field(default_factory=dict)
    """Deployment id → that it was verified."""
    switches: Switches = field(default_factory=dict)
    """Of each timeline that has a history file."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Id of a backup that was complete and has no record any more → what says so."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one recovery point or history file: kept for all of `keep`, or removed."""

    kind: Kind
    id: str
    timeline: int
    at: datetime | None
    """The moment it recovers to, or up to; None for a history."""
    stored_bytes: int
    keep: tuple[Reason, ...]
    remove: Reason | None


@dataclass(frozen=True)
class RetentionPlan:
    """What becomes of everything that is stored of one cluster."""

    system_identifier: str
    now: datetime
    decisions: list[Decision]
    notices: list[str]
    """What a person should know; nothing hangs on it."""

    @property
    def removed(self) -> list[Decision]:
        """What goes."""
        return [one for one in self.decisions if one.remove is not None]

    @property
    def kept(self) -> list[Decision]:
        """What stays."""
        return [one for one in self.decisions if one.remove is None]

    def kept_ids(self, *kinds: Kind) -> set[str]:
        """Ids of what stays of some kinds."""
        return {one.id for one in self.decisions if one.remove is None and one.kind in kinds}

    def counts(self) -> dict[tuple[str, str, str], int]:
        """(keep or remove, kind, rule) → how many; what has several reasons counts for each."""
        found: Counter[tuple[str, str, str]] = Counter()
        for one in self.decisions:
            for reason in one.keep:
                found["keep", one.kind, reason.rule] += 1
            if one.remove is not None:
                found["remove", one.kind, one.remove.rule] += 1
        return dict(sorted(found.items()))


def plan_retention(
    stored: Stored,
    retention: DatabaseRetention,
    pre_deployment: PreDeployment | None,
    *,
    now: datetime,
) -> RetentionPlan:
    """Decide what stays and what goes.

    :param pre_deployment: None: a backup before a deployment stays until that is verified.
    """
    whole = _whole(stored.snapshot.backups)
    keeping = Keeping()
    wal = WalRules(stored.snapshot, whole, stored.unrecorded, stored.switches, keeping)
    # What the policy promises by time.
    _keep_recent(stored, retention, now, keeping)
    for kind, first, backup in standing(whole, retention, now):
        keeping.backup(backup.id, Reason(kind.name, f"stands for the {kind.word} of {first}"))
    if retention.wal is not None:
        wal.keep_window(retention.wal, now)
    # What stays however old it is.
    _keep_minimum(whole, retention.minimum_recovery_points, keeping)
    _keep_last_proven(stored, whole, wal, keeping)
    wal.keep_newest()
    notices = list(_keep_held(stored, wal, keeping))
    notices += _keep_deployments(stored, pre_deployment, now, keeping)
    notices += _keep_orphans(stored, keeping)
    # What those need, and what they lead to.
    _keep_chains(stored, keeping)
    wal.keep_reachable_fingerprints(retention.wal, now)
    decisions = _decide(stored, retention, {one.id for one in whole}, wal, keeping)
    return RetentionPlan(stored.snapshot.system_identifier, now, list(decisions), notices)


def _whole(backups: list[BaseBackup]) -> list[BaseBackup]:
    """Those that can be restored: each is reached from a full one, child by child."""
    children: dict[str | None, list[BaseBackup]] = {}
    for backup in backups:
        children.setdefault(backup.parent_id, []).append(backup)
    found: list[BaseBackup] = []
    waiting = list(children.get(None, []))
    while waiting:
        backup = waiting.pop()
        found.append(backup)
        waiting += children.get(backup.id, [])
    return sorted(found, key=lambda backup: (backup.stopped_at, backup.id))


def _keep_recent(
    stored: Stored, retention: DatabaseRetention, now: datetime, keeping: Keeping
) -> None:
    if retention.recent is None:
        return
    reason = Reason("recent", f"not older than {format_duration(retention.recent)}")
    for backup in stored.snapshot.backups:
        if now - backup.stopped_at <= retention.recent:
            keeping.backup(backup.id, reason)


def _keep_minimum(whole: list[BaseBackup], minimum: int, keeping: Keeping) -> None:
    full = [backup for backup in whole if backup.parent_id is None]
    # A damaged one fills the minimum only where there are too few sound ones.
    full.sort(key=lambda backup: bool(backup.page_checksum_failures))
    sound = [backup for backup in full if not backup.page_checksum_failures]
    newest = sound[-minimum:]
    damaged = full[len(sound) :]
    newest += damaged[-(minimum - len(newest)) :] if len(newest) < minimum else []
    reason = Reason("minimum", f"one of the newest {minimum} full backups")
    for backup in newest:
        keeping.backup(backup.id, reason)


def _keep_last_proven(
    stored: Stored, whole: list[BaseBackup], wal: WalRules, keeping: Keeping
) -> None:
    """The backup that was shown to be good last, at the highest level that any was shown at."""
    known = by_id(whole)
    proofs = [
        (ProofLevel[proof.level.upper()], proof.shown_at, proof)
        for backup_id in known
        for proof in stored.snapshot.proofs.get(backup_id, [])
    ]
    shown = [one for one in proofs if one[0] >= ProofLevel.RESTORED]
    if not shown:
        return
    level, at, proof = max(shown, key=lambda one: one[:2])
    backup = known[proof.recovery_point_id]
    reason = Reason("last proven", f"the last one shown to be {level.word}, on {at:%Y-%m-%d}")
    keeping.backup(backup.id, reason)
    if proof.target_lsn is not None:
        needed = Reason("proof", f"the proof of {backup.id} needs it")
        wal.keep_path(backup, _timeline_of(stored, proof, backup), proof.target_lsn, needed)
        if proof.fingerprint_id is not None:
            keeping.fingerprint(proof.fingerprint_id, needed)


def _timeline_of(stored: Stored, proof: Proof, backup: BaseBackup) -> int:
    return next(
        (one.timeline for one in stored.snapshot.fingerprints if one.id == proof.fingerprint_id),
        backup.timeline,
    )


def _keep_held(stored: Stored, wal: WalRules, keeping: Keeping) -> Iterator[str]:
    """Holds keep their recovery point and what leads to it; a hold on nothing is told."""
    snapshot = stored.snapshot
    known = by_id(snapshot.backups)
    stretches = {stretch.id: stretch for stretch in snapshot.stretches}
    fingerprints = {fingerprint.id: fingerprint for fingerprint in snapshot.fingerprints}
    for hold in stored.holds:
        reason, held = _why_held(hold), hold.recovery_point_id
        if held in known:
            keeping.backup(held, reason)
            if hold.wal is not None:
                wal.keep_path(known[held], hold.wal.timeline, hold.wal.end_lsn, reason)
        elif held in stretches:
            wal.keep_way_to_stretch(stretches[held], reason)
        elif held in fingerprints:
            wal.keep_way_to_fingerprint(fingerprints[held], reason)
        else:
            yield f"{_kind_of(hold)} {hold.id} is on {held}, which is not there"


def _why_held(hold: Hold) -> Reason:
    words = hold.reason if hold.until else f"legal hold {hold.id}: {hold.reason}"
    return Reason(_kind_of(hold), words)


def _kind_of(hold: Hold) -> str:
    return "legal hold" if hold.until is None else "recovery hold"


def _keep_deployments(
    stored: Stored, pre_deployment: PreDeployment | None, now: datetime, keeping: Keeping
) -> Iterator[str]:
    """Backups before deployments; one that waits for its verification for long is told."""
    after = pre_deployment.keep_after_verified if pre_deployment else timedelta(0)
    for backup in stored.snapshot.backups:
        if backup.deployment is None:
            continue
        deployment = backup.deployment.id
        verified = stored.verified.get(deployment)
        if verified is None:
            words = f"taken before deployment {deployment}, which is not verified"
            keeping.backup(backup.id, Reason("deployment", words))
            if now - backup.stopped_at > after:
                yield (
                    f"backup {backup.id} stays until somebody says that deployment {deployment} "
                    "is verified"
                )
        elif now - verified.verified_at <= after:
            words = (
                f"taken before deployment {deployment}, verified on "
                f"{verified.verified_at:%Y-%m-%d}, {format_duration(after)} are not over"
            )
            keeping.backup(backup.id, Reason("deployment", words))


def _keep_orphans(stored: Stored, keeping: Keeping) -> Iterator[str]:
    """What builds on a backup that has lost its record is good again when that is put back."""
    for backup_id, trace in stored.lost.items():
        reason = Reason("lost record", f"it builds on {backup_id}, which has lost its record")
        for orphan in descendants(backup_id, stored.snapshot.backups):
            keeping.backup(orphan, reason)
        yield (
            f"backup {backup_id} has lost its record, but {trace}: put the record back, or remove "
            "what is left of the backup"
        )


def _keep_chains(stored: Stored, keeping: Keeping) -> None:
    """What stays, and what is being recorded, keeps everything that it builds on."""
    known = by_id(stored.snapshot.backups)
    for streamed in stored.unrecorded:
        parent = known.get(streamed.parent_id or "")
        if parent is not None:
            words = f"{streamed.id} builds on it, which is not recorded yet"
            keeping.backup(parent.id, Reason("chain", words))
    for backup_id in list(keeping.backups):
        child = known[backup_id]
        while child.parent_id in known:
            parent = known[child.parent_id]
            seen = parent.id in keeping.backups
            keeping.backup(parent.id, Reason("chain", "an incremental that stays builds on it"))
            if seen:
                break  # its own ancestors are walked from it, or were
            child = parent


_BROKEN = Reason("broken chain", "what it builds on is gone, so it cannot be restored")
_NOT_NEEDED = Reason("not needed", "nothing that stays needs it to recover what is promised")
_UNREACHABLE = Reason("unreachable", "no backup and WAL that stay lead to it")
_UNUSED = Reason("unused", "nothing of the timeline or of its descendants stays")


def _decide(
    stored: Stored, retention: DatabaseRetention, whole: set[str], wal: WalRules, keeping: Keeping
) -> Iterator[Decision]:
    snapshot, expired = stored.snapshot, _expired(retention)
    for backup in snapshot.backups:
        kind: Kind = "full backup" if backup.parent_id is None else "incremental backup"
        why = expired if backup.id in whole else _BROKEN
        keep = tuple(keeping.backups.get(backup.id, ()))
        yield _decision(kind, backup, backup.stopped_at, backup.stored_bytes, keep, why)
    for stretch in snapshot.stretches:
        keep = tuple(keeping.stretches.get(stretch.id, ()))
        at, size = stretch.covered_until, stretch.stored_bytes
        yield _decision("wal", stretch, at, size, keep, _NOT_NEEDED)
    for one in snapshot.fingerprints:
        keep = tuple(keeping.fingerprints.get(one.id, ()))
        yield _decision("fingerprint", one, one.created_at, 0, keep, _UNREACHABLE)
    used = wal.timelines_in_use()
    in_use = Reason("in use", "something of the timeline or of a descendant stays")
    for timeline in sorted(stored.switches):
        keep = (in_use,) if timeline in used else ()
        name = f"{timeline:08X}.history"
        yield Decision("history", name, timeline, None, 0, keep, None if keep else _UNUSED)


def _decision(
    kind: Kind,
    point: BaseBackup | WalStretch | Fingerprint,
    at: datetime,
    stored_bytes: int,
    keep: tuple[Reason, ...],
    otherwise: Reason,
) -> Decision:
    remove = None if keep else otherwise
    return Decision(kind, point.id, point.timeline, at, stored_bytes, keep, remove)


def _expired(retention: DatabaseRetention) -> Reason:
    """The one sentence for all backups that the policy's times keep no longer."""
    spans = [span for span in (retention.recent, retention.wal) if span is not None]
    age = f"older than {format_duration(max(spans))}; " if spans else ""
    words = [kind.word for kind in CLASSES if getattr(retention, kind.name) is not None]
    periods = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    return Reason("expired", f"{age}stands for no {periods} that is kept")
