"""Operators of a recovery into a clean room: plan, restore, prove, validate, remove.

They run one after the other on the same worker, because the copy lies on its disk. Each starts the
copy's server as its own child and stops it at its end: a task that dies takes its server with it.
The plan travels between them as plain JSON; the room by its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.progress import EstimatedProgress

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.recovery.plan import RecoveryPlan
    from ledgerkeep.recovery.room import Purpose, Room
    from ledgerkeep.recovery.target import RecoveryTarget
    from ledgerkeep.worker import WorkerSettings


class PlanRecoveryOperator(LedgerkeepOperator):
    """Choose the recovery points that lead to a target, and show the plan; nothing is touched.

    Retention leaves what is planned until the run's verdict. A target that cannot be reached is
    refused with the nearest that can. Returns the plan.

    :param fingerprint_id: plan for the moment of this fingerprint, when there is one (templated)
    :param target_kind: otherwise time, lsn, xid, name or latest (templated)
    :param target_value: the target in words: ``2026-11-22T08:45:00+00:00``, ``16/B374D848``
        (templated)
    """

    template_fields: Sequence[str] = (
        *LedgerkeepOperator.template_fields,
        "fingerprint_id",
        "target_kind",
        "target_value",
    )

    def __init__(
        self,
        *,
        fingerprint_id: str | None = None,
        target_kind: str = "latest",
        target_value: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fingerprint_id = fingerprint_id
        self.target_kind = target_kind
        self.target_value = target_value

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, and show the plan."""
        from ledgerkeep.recovery.hold import hold_what_is_read

        with self.ending_well(context):
            plan = self._plan()
            hold_what_is_read(self.catalog, plan, run=run_name(context))
        for line in plan.describe():
            self.log.info("%s", line)
        self.contribute(
            context,
            recovery_point_ids=[plan.backup_id],
            measurements={
                "planned_bytes": plan.bytes_to_fetch,
                "planned_segments": plan.segment_count,
                "planned_backups": len(plan.chain),
                "expected_seconds": plan.expected_seconds,
            },
            findings=self._findings(plan),
        )
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def _plan(self) -> RecoveryPlan:
        from ledgerkeep.recovery.plan import plan_from_catalog

        return plan_from_catalog(self.catalog, self.protected_cluster(), self._target())

    def _findings(self, plan: RecoveryPlan) -> list[dict[str, str]]:
        """A restore that had to take a longer way, or could not have gone further, is told."""
        return [{"what": words, "severity": "warning"} for words in plan.missing]

    def _target(self) -> RecoveryTarget:
        from ledgerkeep.recovery.proof import first_target
        from ledgerkeep.recovery.target import parse_target

        if self.fingerprint_id:
            return first_target(self.catalog.find_fingerprint(self.fingerprint_id))
        return parse_target(self.target_kind, self.target_value)


class PlanChainOperator(PlanRecoveryOperator):
    """Plan the restore of the newest chain, up to the fingerprint or to the chain's own end."""

    def _plan(self) -> RecoveryPlan:
        from ledgerkeep.recovery.newest_chain import plan_newest_chain

        target = self._target() if self.fingerprint_id else None
        return plan_newest_chain(self.catalog, self.protected_cluster(), target)

    def _findings(self, plan: RecoveryPlan) -> list[dict[str, str]]:
        found = super()._findings(plan)
        if len(plan.chain) == 1 and self.policy.database.incremental_backup is not None:
            words = "no incremental backup leads to the target: a full backup alone is restored"
            found.append({"what": words, "severity": "warning"})
        return found


class RoomOperator(LedgerkeepOperator):
    """Base of what works in the room of a planned copy.

    :param plan: what `PlanRecoveryOperator` returned (templated)
    :param destination: the room's directory; empty: one below the worker's rooms, named after the
        run (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "plan", "destination")

    def __init__(self, *, plan: Any, destination: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.destination = destination

    @property
    def settings(self) -> WorkerSettings:
        """The worker's settings."""
        from ledgerkeep.worker import worker_settings

        return worker_settings()

    def recovery_plan(self) -> RecoveryPlan:
        """The plan as a record again."""
        from ledgerkeep.recovery.plan import RecoveryPlan

        return RecoveryPlan.model_validate(self.plan)

    def room_directory(self, context: Context) -> Path:
        """Where this run's copy lies: the same for each of its tasks, on this worker."""
        if self.destination:
            return Path(self.destination)
        tag = hashlib.sha256(run_name(context).encode()).hexdigest()[:12]
        return self.settings.rooms / f"{self.environment}-{tag}"

    def room(self, context: Context) -> Room:
        """The run's room, made by `RestoreClusterOperator`."""
        from ledgerkeep.recovery.room import Room

        return Room.open(self.room_directory(context))


class PrepareRoomOperator(RoomOperator):
    """Check everything that would make the restore fail later: space, programs, objects, WAL.

    It is the setup that `RemoveRoomOperator` tears down. Returns the room's directory.
    """

    def execute(self, context: Context) -> str:
        """Check."""
        from ledgerkeep.recovery.preflight import preflight
        from ledgerkeep.recovery.restore import remove_own_room

        directory, plan = self.room_directory(context), self.recovery_plan()
        with self.ending_well(context):
            remove_own_room(directory, run_name(context))
            preflight(self.catalog, plan, directory, self.settings)
        self.log.info("the copy will be made in %s", directory)
        return str(directory)


class RestoreClusterOperator(RoomOperator):
    """Carry out the plan: extract, replay to the target, leave the copy stopped there.

    :param purpose: ``test``: the copy is disposable; ``recovery``: it survives a power cut
    """

    def __init__(self, *, purpose: Purpose = "test", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.purpose = purpose

    def execute(self, context: Context) -> dict[str, Any]:
        """Restore."""
        from ledgerkeep.recovery.hold import hold_what_is_read
        from ledgerkeep.recovery.restore import restore_cluster

        with self.ending_well(context):
            # Again: the plan may be hours old, or this a task that was cleared after the verdict.
            hold_what_is_read(self.catalog, self.recovery_plan(), run=run_name(context))
            result = restore_cluster(
                self.catalog,
                self.recovery_plan(),
                self.room_directory(context),
                settings=self.settings,
                run=run_name(context),
                purpose=self.purpose,
                progress=self._estimated_progress(),
            )
        self.log.info("restored to %s in %.1f s", result.target, result.recovery_seconds)
        self.contribute(
            context,
            measurements={
                # A recovery's time ends when the copy is handed over, not here.
                "rto_seconds" if self.purpose == "test" else "restore_seconds": (
                    result.recovery_seconds
                ),
                "restored_bytes": result.bytes_written,
                "replayed_segments": result.segments_replayed,
                **{f"{phase}_seconds": seconds for phase, seconds in result.seconds.items()},
            },
        )
        restored: dict[str, Any] = result.model_dump(mode="json")
        return restored

    def _estimated_progress(self) -> EstimatedProgress:
        plan = self.recovery_plan()
        return EstimatedProgress(
            self.log.info, total=plan.bytes_to_write, seconds=plan.expected_seconds
        )


class RemoveRoomOperator(RoomOperator):
    """Stop and remove the copy, whatever became of it; the teardown of a restore test."""

    def execute(self, context: Context) -> None:
        """Remove."""
        from ledgerkeep.recovery.restore import remove_own_room

        with self.ending_well(context):
            remove_own_room(self.room_directory(context), run_name(context))


class RestoreJanitorOperator(LedgerkeepOperator):
    """Remove test copies that outlived the time the policy keeps them.

    Those of databases lie on this worker, those of documents in the backup bucket.
    """

    def execute(self, context: Context) -> list[str]:
        """Sweep."""
        from ledgerkeep.catalog import keys
        from ledgerkeep.model import utc_now
        from ledgerkeep.recovery.janitor import remove_old_rooms
        from ledgerkeep.worker import worker_settings

        keep, now = self.policy.restore_tests.keep_copies, utc_now()
        with self.ending_well(context):
            removed = remove_old_rooms(worker_settings().rooms, keep=keep, now=now)
            documents = self.catalog.store.delete_prefix(
                keys.restored_copies(self.environment), older_than=now - keep
            )
        for room in removed:
            self.log.info("removed %s of %s", room.directory, room.run)
        left = [
            f"a restored copy of {room.run} was left behind and has been removed"
            for room in removed
        ]
        if documents:
            left.append(f"{documents} restored documents were left behind and have been removed")
        self.contribute(
            context,
            measurements={"removed_copies": len(removed), "removed_documents": documents},
            findings=[{"what": what, "severity": "warning"} for what in left],
        )
        return [room.directory for room in removed]
