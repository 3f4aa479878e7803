"""Years of backups, WAL, failures and failovers, with retention applied every day.

Time goes in ticks of equal length, and during each one segment of WAL is written: so moments,
positions and segments agree, and what should be recoverable can be told without the code under
test. `ever` is everything that was ever stored; `stored` is what retention has left of it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ledgerkeep.catalog.catalog import CatalogSnapshot
from ledgerkeep.catalog.models import (
    BaseBackup,
    DatabaseFingerprint,
    Deployment,
    DeploymentVerified,
    Fingerprint,
    Hold,
    Proof,
    WalStretch,
)
from ledgerkeep.catalog.retention import RetentionPlan, Stored, plan_retention
from ledgerkeep.database.postgres.timeline_history import TimelineHistory
from ledgerkeep.policy.model import DatabaseRetention, PreDeployment
from ledgerkeep.recovery.wal_index import WalIndex
from tests.recovery.samples import MIB, NOON, SEGMENT, SYSTEM, backup, name, stretch

PRE_DEPLOYMENT = PreDeployment(keep_after_verified=timedelta(days=7))


def retention(**lengths: str | int | None) -> DatabaseRetention:
    """A policy's section; lengths as people write them."""
    return DatabaseRetention.model_validate({"schedule": None, **lengths})


PRODUCTION = retention(
    recent="7d", daily="30d", weekly="92d", monthly="1y", yearly="7y", wal="7d",
    minimum_recovery_points=7,
)  # fmt: skip


@dataclass
class Points:
    """Recovery points by kind."""

    backups: list[BaseBackup] = field(default_factory=list)
    stretches: list[WalStretch] = field(default_factory=list)
    fingerprints: list[Fingerprint] = field(default_factory=list)

    def snapshot(self, proofs: dict[str, list[Proof]]) -> CatalogSnapshot:
        """As the catalog gives them."""
        return CatalogSnapshot(
            "production", SYSTEM, self.backups, self.stretches, self.fingerprints, proofs
        )


@dataclass
class Simulation:
    """One cluster's life."""

    policy: DatabaseRetention
    tick: timedelta = timedelta(hours=6)
    number: int = 0
    timeline: int = 1
    ever: Points = field(default_factory=Points)
    stored: Points = field(default_factory=Points)
    proofs: dict[str, list[Proof]] = field(default_factory=dict)
    holds: list[Hold] = field(default_factory=list)
    verified: dict[str, DeploymentVerified] = field(default_factory=dict)
    switches: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The beginning of the present tick."""
        return self.at(self.number)

    def at(self, number: float) -> datetime:
        """A moment by its tick."""
        return NOON + number * self.tick

    def minutes(self, number: float) -> float:
        """The same, as the samples want it."""
        return number * self.tick / timedelta(minutes=1)

    # -- what happens

    def take(self, *, full: bool = True, deployment: str = "", damaged: bool = False) -> BaseBackup:
        """A backup in the middle of the present tick; a full one where nothing can be built on."""
        parent = next((one for one in reversed(self.stored.backups)), None)
        builds = not full and parent is not None and parent.timeline == self.timeline
        made = backup(
            f"b{len(self.ever.backups):06d}",
            stop=self.number,
            at=self.minutes(self.number + 0.5),
            next_xid=1005 + self.number * 10,
            timeline=self.timeline,
        ).model_copy(
            update={
                "method": "incremental" if builds else "full",
                "parent_id": parent.id if builds and parent else None,
                "deployment": Deployment(id=deployment) if deployment else None,
                "page_checksum_failures": ["damaged"] if damaged else [],
            }
        )
        self.ever.backups.append(made)
        self.stored.backups.append(made)
        return made

    def ship(self) -> WalStretch:
        """The WAL of the present tick."""
        made = stretch(
            self.number,
            self.number,
            until=self.minutes(self.number + 1),
            next_xid=1000 + (self.number + 1) * 10,
            timeline=self.timeline,
        )
        self.ever.stretches.append(made)
        self.stored.stretches.append(made)
        return made

    def fingerprint(self) -> Fingerprint:
        """The content a little after the middle of the present tick."""
        lsn = self.number * SEGMENT + SEGMENT // 2
        made = Fingerprint(
            id=f"f{len(self.ever.fingerprints)}",
            environment="production",
            cluster="loans",
            system_identifier=SYSTEM,
            created_at=self.at(self.number + 0.6),
            made_by="ledgerkeep test",
            timeline=self.timeline,
            databases=[
                DatabaseFingerprint(
                    database="loans",
                    lsn=lsn,
                    taken_at=self.at(self.number + 0.6),
                    method="1",
                    tables=[],
                    structure_hash="0",
                )
            ],
            next_xid=1006 + self.number * 10,
        )
        self.ever.fingerprints.append(made)
        self.stored.fingerprints.append(made)
        return made

    def prove(self, one: BaseBackup, fingerprint: Fingerprint | None = None) -> Proof:
        """A proof of a backup, at the end of the present tick."""
        proof = Proof(
            recovery_point_id=one.id,
            level="proven" if fingerprint else "validated",
            shown_at=self.at(self.number + 0.9),
            run="test",
            target_lsn=fingerprint.databases[0].lsn if fingerprint else None,
            fingerprint_id=fingerprint.id if fingerprint else None,
        )
        self.proofs.setdefault(one.id, []).append(proof)
        return proof

    def hold(self, point_id: str) -> Hold:
        """A legal hold."""
        hold = Hold(
            id=f"h{len(self.holds)}",
            recovery_point_id=point_id,
            reason="audit",
            placed_by="dana",
            placed_at=self.now,
        )
        self.holds.append(hold)
        return hold

    def verify(self, deployment: str) -> None:
        """A deployment works."""
        self.verified[deployment] = DeploymentVerified(
            deployment_id=deployment, verified_by="dana", verified_at=self.now
        )

    def promote(self) -> None:
        """A failover in the middle of the present tick: a new timeline."""
        left = self.number * SEGMENT + SEGMENT // 4
        line = self.switches.get(self.timeline, ())
        self.switches[self.timeline + 1] = (*line, (self.timeline, left))
        self.timeline += 1

    # -- retention

    def plan(self) -> RetentionPlan:
        """What retention decides now."""
        stored = Stored(
            self.stored.snapshot(self.proofs),
            holds=self.holds,
            verified=self.verified,
            switches=self.switches,
        )
        return plan_retention(stored, self.policy, PRE_DEPLOYMENT, now=self.now)

    def retain(self) -> RetentionPlan:
        """Apply it."""
        plan = self.plan()
        gone = {(one.kind, one.id) for one in plan.removed}
        kinds = {kind for kind, _ in gone}
        points = self.stored
        if "wal" in kinds:
            points.stretches = [one for one in points.stretches if ("wal", one.id) not in gone]
        points.fingerprints = [
            one for one in points.fingerprints if ("fingerprint", one.id) not in gone
        ]
        points.backups = [
            one for one in points.backups if (f"{one.method} backup", one.id) not in gone
        ]
        return plan

    # -- for the planner of recoveries

    def listed(self, points: Points) -> WalIndex:
        """The listing of the WAL that goes with the stretches."""
        segments = {
            name(number, one.timeline): MIB
            for one in points.stretches
            for number in range(one.start_lsn // SEGMENT, one.end_lsn // SEGMENT)
        }
        histories = {
            timeline: TimelineHistory(timeline, left) for timeline, left in self.switches.items()
        }
        return WalIndex(segments, histories)
