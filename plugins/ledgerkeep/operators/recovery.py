"""Operators of a recovery on demand: from a filled-in form to a copy in a person's hands.

Between them stand the operators of every restore (`operators.restore`, `operators.proof`); what is
different here is at both ends. At the beginning the form is read without guessing, and the plan is
shown before anything is touched. At the end nothing is thrown away: the copy is handed over with a
runbook, or kept where it is and said to be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from ledgerkeep.operators.approval import PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.operators.restore import (
    PrepareRoomOperator,
    RestoreClusterOperator,
    RoomOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.recovery.handover import Handover
    from ledgerkeep.recovery.plan import RecoveryPlan
    from ledgerkeep.recovery.request import RecoveryRequest

READABLE = "readable"
"""XCom key of the plan in Markdown, for whoever approves it."""
REQUEST = "request"
"""XCom key of the form as it was understood."""


class PlanOnDemandOperator(LedgerkeepOperator):
    """Read the run's form, plan, and show the plan; nothing is touched. Returns the plan."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, plan, show."""
        from ledgerkeep.recovery.hold import hold_what_is_read
        from ledgerkeep.recovery.plan import plan_from_catalog
        from ledgerkeep.recovery.summary import doubts_about, summarise

        with self.ending_well(context):
            cluster = self.protected_cluster()
            request = self.read_form(dict(context["params"]), cluster)
            plan = plan_from_catalog(
                self.catalog, cluster, request.target, backup_id=request.backup_id
            )
            hold_what_is_read(self.catalog, plan, run=run_name(context))
        for line in plan.describe():
            self.log.info("%s", line)
        asked_by = context["dag_run"].triggering_user_name or "unknown"
        objective = getattr(self.policy.objectives, request.scenario)
        doubts = doubts_about(plan, objective)
        for doubt in doubts:
            self.log.warning("%s", doubt)
        task = context["ti"]
        task.xcom_push(key=READABLE, value=summarise(plan, request, asked_by, objective))
        task.xcom_push(key=PLAN_DIGEST, value=plan.digest())
        task.xcom_push(key=REQUEST, value=request.model_dump(mode="json"))
        self._contribute_plan(context, request, plan, asked_by, doubts)
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def read_form(self, form: dict[str, Any], cluster: str) -> RecoveryRequest:
        """The form as a request.

        :raises RecoveryError: a field is wrong.
        """
        raise NotImplementedError

    def _contribute_plan(
        self,
        context: Context,
        request: RecoveryRequest,
        plan: RecoveryPlan,
        asked_by: str,
        doubts: Sequence[str],
    ) -> None:
        self.contribute(
            context,
            recovery_point_ids=[plan.backup_id],
            scenario=f"{request.reason} ({request.scenario.replace('_', ' ')})",
            objective=request.scenario,
            measurements={
                "planned_bytes": plan.bytes_to_fetch,
                "planned_segments": plan.segment_count,
                "expected_seconds": plan.expected_seconds,
            },
            facts={
                "requested_by": asked_by,
                "reason": request.reason,
                "target": str(plan.target),
                "afterwards": request.afterwards,
            },
            findings=[{"what": doubt, "severity": "warning"} for doubt in doubts],
        )


class PlanPointInTimeOperator(PlanOnDemandOperator):
    """Plan what the form of a point-in-time recovery asks for."""

    def read_form(self, form: dict[str, Any], cluster: str) -> RecoveryRequest:
        """The form as a request."""
        from ledgerkeep.recovery.request import read_point_in_time

        return read_point_in_time(form)


class PlanFullRestoreOperator(PlanOnDemandOperator):
    """Plan what the form of a full restore asks for."""

    def read_form(self, form: dict[str, Any], cluster: str) -> RecoveryRequest:
        """The form as a request; the latest proven recovery point is looked up."""
        from ledgerkeep.recovery.request import read_full_restore

        return read_full_restore(form, self.catalog.snapshot(cluster))


class PrepareRecoveryRoomOperator(PrepareRoomOperator):
    """Check everything that would make the recovery fail, the place of the copy included."""

    def execute(self, context: Context) -> str:
        """Check."""
        from ledgerkeep.recovery.summary import check_place

        with self.ending_well(context):
            check_place(self.room_directory(context), self.settings.rooms)
        directory: str = super().execute(context)
        self.contribute(context, facts={"destination": directory})
        return directory


class RestoreApprovedOperator(ApprovedOperator, RestoreClusterOperator):
    """Restore for good, and only the plan that was approved."""

    template_fields: Sequence[str] = (*RestoreClusterOperator.template_fields, "approval")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(purpose="recovery", **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the approval once more, then restore."""
        with self.ending_well(context):
            self.refuse_unapproved(self.recovery_plan().digest())
        restored: dict[str, Any] = super().execute(context)
        return restored


class HandOverOperator(RoomOperator):
    """Leave the copy promoted and stopped (or running), with its connection parameters beside it.

    Returns how to use it.

    :param restored: what `RestoreClusterOperator` returned (templated)
    :param afterwards: ``stopped``, or ``running`` on its own Unix socket (templated)
    """

    template_fields: Sequence[str] = (*RoomOperator.template_fields, "restored", "afterwards")

    def __init__(self, *, restored: Any, afterwards: str = "stopped", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.restored = restored
        self.afterwards = afterwards

    def execute(self, context: Context) -> dict[str, Any]:
        """Hand over, and start it if that was asked for."""
        from ledgerkeep.recovery.handover import hand_over, stands_at, start_copy
        from ledgerkeep.recovery.restore import RestoreResult

        plan, result = self.recovery_plan(), RestoreResult.model_validate(self.restored)
        with self.ending_well(context, plan.backup_id):
            handover = hand_over(self.catalog, self.room(context), settings=self.settings)
            if self.afterwards == "running":
                start_copy(handover, settings=self.settings)
        for line in handover.describe():
            self.log.info("%s", line)
        began, reached = context["dag_run"].start_date, stands_at(plan, result.recovered_to)
        self.contribute(
            context,
            measurements={
                "rto_seconds": max(0.0, (handover.at - began).total_seconds()),
                "rpo_seconds": max(0.0, (began - reached).total_seconds()),
            },
            facts={"stands_at": reached.isoformat(), "handed_over_at": handover.at.isoformat()},
        )
        used: dict[str, Any] = handover.model_dump(mode="json")
        return used


class WriteRunbookOperator(RoomOperator):
    """Write the cut-over of this one recovery, step by step, into its room and into the bucket.

    Returns the key in the bucket.

    :param request: the form as it was understood (templated)
    :param handover: what `HandOverOperator` returned (templated)
    :param approval: what `ApproveOperator` returned; None: none was needed (templated)
    """

    template_fields: Sequence[str] = (
        *RoomOperator.template_fields,
        "request",
        "handover",
        "approval",
    )

    def __init__(self, *, request: Any, handover: Any, approval: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.request = request
        self.handover = handover
        self.approval = approval

    def execute(self, context: Context) -> str:
        """Render and store."""
        from ledgerkeep.recovery.runbook import render_runbook, store_runbook

        directory, run = self.room_directory(context), context["dag_run"]
        handover = self._handover()
        with self.ending_well(context):
            text = render_runbook(
                plan=self.recovery_plan(),
                request=self._request(),
                handover=handover,
                policy=self.policy,
                source=self.address,
                run=run_name(context),
                requested_by=run.triggering_user_name or "unknown",
                approval=self.approval,
                directory=directory,
                wal_level=self.catalog.find_backup(self.recovery_plan().backup_id).wal_level,
                settings=self.settings,
            )
            key = store_runbook(
                self.catalog,
                text,
                run=run_name(context),
                directory=directory,
                handover=handover,
                settings=self.settings,
            )
        for line in text.splitlines():
            self.log.info("%s", line)
        self.log.info("%s/%s", self.catalog.store.location, key)
        self.contribute(context, facts={"runbook": key})
        return key

    def _handover(self) -> Handover:
        from ledgerkeep.recovery.handover import Handover

        return Handover.model_validate(self.handover)

    def _request(self) -> RecoveryRequest:
        from ledgerkeep.recovery.request import RecoveryRequest

        return RecoveryRequest.model_validate(self.request)


class SettleRoomOperator(RoomOperator):
    """Whatever happened: remove what is no copy, keep what is one, and say where it lies."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(plan=None, trigger_rule=TriggerRule.ALL_DONE, **kwargs)

    def execute(self, context: Context) -> str:
        """Look, and leave what is worth something."""
        from ledgerkeep.recovery.handover import settle_room

        directory = self.room_directory(context)
        with self.ending_well(context):
            left = settle_room(Path(directory), run_name(context))
        self.log.info("%s", left.words)
        self.contribute(
            context,
            findings=[{"what": left.words, "severity": "warning"}] if left.needs_attention else [],
        )
        return left.words
