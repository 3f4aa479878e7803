"""Operators of a recovery of document rows: out of a restored copy, into production.

    plan_copy >> prepare_room >> restore >> plan >> [approve] >> apply >> try_documents
              >> remove_room >> verdict

Where the form names a copy that an earlier recovery handed over, the tasks that would restore one
pass at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import PLAN_DIGEST
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator
from ledgerkeep.operators.restore import (
    PrepareRoomOperator,
    RestoreClusterOperator,
    RoomOperator,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.database.postgres.address import ServerAddress
    from ledgerkeep.documents.metadata.apply import RowPlan, Tried
    from ledgerkeep.recovery.plan import RecoveryPlan
    from ledgerkeep.recovery.row_request import RowRequest

READABLE = "readable"
REQUEST = "request"
COPY = (
    f"{{{{ (ti.xcom_pull(task_ids='plan_copy', key='{REQUEST}') or {{}}).get('copy_directory') }}}}"
)
"""Template of the directory of the copy that the form names; empty: this run's own."""


class PlanSideCopyOperator(LedgerkeepOperator):
    """Read the form, and plan the copy that the rows come from; nothing is touched.

    Returns the plan of the copy, also of one that was restored before.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, plan."""
        from ledgerkeep.recovery.row_request import read_row_recovery

        with self.ending_well(context):
            request = read_row_recovery(dict(context["params"]))
            plan = self._plan(request)
        for line in plan.describe():
            self.log.info("%s", line)
        context["ti"].xcom_push(key=REQUEST, value=request.model_dump(mode="json"))
        self.contribute(
            context,
            recovery_point_ids=[plan.backup_id],
            scenario=f"{request.reason} ({request.scenario.replace('_', ' ')})",
            objective=request.scenario,
            facts={
                "requested_by": context["dag_run"].triggering_user_name or "unknown",
                "reason": request.reason,
                "target": str(plan.target),
                "documents": str(request.selection),
            },
        )
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def _plan(self, request: RowRequest) -> RecoveryPlan:
        from ledgerkeep.recovery.plan import plan_from_catalog
        from ledgerkeep.recovery.side_copy import find_handed_over

        cluster = self.protected_cluster()
        if request.target is None:
            return find_handed_over(Path(request.copy_directory), cluster).record.plan
        return plan_from_catalog(self.catalog, cluster, request.target)


class _SideCopyOperator(RoomOperator):
    """Base of what may find a copy that was handed over.

    :param copy: its directory; empty: the run restores one for itself (templated)
    """

    template_fields: Sequence[str] = (*RoomOperator.template_fields, "copy")

    def __init__(self, *, copy: str = COPY, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.copy = copy

    @property
    def is_given(self) -> bool:
        """Whether the form names a copy."""
        return bool(self.copy) and self.copy != "None"


class PrepareSideCopyOperator(_SideCopyOperator, PrepareRoomOperator):
    """Check everything that would make the restore of the copy fail later, if one is restored."""

    def execute(self, context: Context) -> str:
        """Check, or pass."""
        return self.copy if self.is_given else super().execute(context)


class RestoreSideCopyOperator(_SideCopyOperator, RestoreClusterOperator):
    """Restore the copy, if one is restored; it is disposable."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Restore, or pass."""
        return {} if self.is_given else super().execute(context)


class _RowsOperator(_SideCopyOperator):
    """Base of what compares the copy with production.

    :param restored: what `RestoreSideCopyOperator` returned (templated)
    :param request: the form as it was understood (templated)
    """

    template_fields: Sequence[str] = (*_SideCopyOperator.template_fields, "restored", "request")

    def __init__(self, *, restored: Any, request: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.restored = restored
        self.request = request

    def row_request(self) -> RowRequest:
        """The form as a record again."""
        from ledgerkeep.recovery.row_request import RowRequest

        return RowRequest.model_validate(self.request)

    @contextmanager
    def side_copy(self, context: Context) -> Iterator[ServerAddress]:
        """The copy's address, for a block."""
        from ledgerkeep.recovery.side_copy import open_side_copy

        directory = Path(self.copy) if self.is_given else self.room_directory(context)
        with open_side_copy(self.catalog, directory, settings=self.settings) as address:
            yield address

    def stands_at(self) -> Any:
        """The moment whose data the copy holds."""
        from datetime import datetime

        from ledgerkeep.recovery.handover import stands_at

        told = (self.restored or {}).get("recovered_to")
        reached = datetime.fromisoformat(told) if told else None
        return stands_at(self.recovery_plan(), reached)


class PlanRowsOperator(_RowsOperator):
    """Hold the copy's document rows against production's, and show the difference.

    Returns the plan.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Compare, show."""
        from ledgerkeep.documents.metadata.apply import plan_rows

        request = self.row_request()
        with self.ending_well(context), self.side_copy(context) as copy:
            plan = plan_rows(
                self.address,
                copy,
                self.catalog,
                copy_at=self.stands_at().isoformat(),
                selection=request.selection,
                apply=request.apply,
            )
        for line in plan.describe().splitlines():
            self.log.info("%s", line)
        task = context["ti"]
        task.xcom_push(key=READABLE, value=f"{request.reason}\n\n{plan.describe()}")
        task.xcom_push(key=PLAN_DIGEST, value=plan.digest())
        self._say(context, plan)
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def _say(self, context: Context, plan: RowPlan) -> None:
        conflicts = sum(kinds.get("conflict", 0) for kinds in plan.counts.values())
        findings = []
        if conflicts:
            what = f"{conflicts} missing rows whose key another row has by now are left alone"
            findings.append({"what": what, "severity": "warning"})
        self.contribute(
            context,
            measurements={"rows_to_apply": plan.to_apply, "rows_in_conflict": conflicts},
            facts={
                "stands_at": plan.copy_at,
                "row_difference": f"{plan.rows.key} sha256 {plan.rows.sha256}",
                "applied": plan.apply,
            },
            findings=findings,
        )


class ApplyRowsOperator(ApprovedOperator, _RowsOperator):
    """Apply the rows that were approved, all or none; what is applied already stays.

    Returns table → rows written.

    :param planned: what `PlanRowsOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*_RowsOperator.template_fields, "planned", "approval")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, int]:
        """Apply."""
        from ledgerkeep.documents.metadata.apply import RowPlan, apply_rows

        plan = RowPlan.model_validate(self.planned)
        with self.ending_well(context):
            self.refuse_unapproved(plan.digest())
            with self.side_copy(context) as copy:
                written = apply_rows(self.address, copy, self.catalog, plan)
        for table, count in written.items():
            self.log.info("%s: %d rows", table, count)
        self.contribute(context, measurements={"rows_written": sum(written.values())})
        return written


class TryDocumentsOperator(_RowsOperator):
    """Look for the object of every document whose row was applied, and compare its content.

    Documents that cannot be retrieved fail the task; the rows stay.

    :param planned: what `PlanRowsOperator` returned (templated)
    """

    template_fields: Sequence[str] = (*_RowsOperator.template_fields, "planned")

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, Any]:
        """Try."""
        from ledgerkeep.documents.metadata.apply import RowPlan, try_documents
        from ledgerkeep.hooks.connections import open_policy_documents

        plan = RowPlan.model_validate(self.planned)
        with self.ending_well(context):
            bucket = open_policy_documents(self.policy)
            tried = try_documents(self.address, bucket, self.catalog, plan)
        self._say(context, tried)
        if tried.unusable_count:
            raise AirflowFailException(
                f"{tried.unusable_count} of {tried.documents} documents whose rows were recovered "
                f"cannot be retrieved: {'; '.join(tried.unusable[:3])}\n"
                "Hint: their rows are in place; bring their objects back with document_recovery"
            )
        found: dict[str, Any] = tried.model_dump(mode="json")
        return found

    def _say(self, context: Context, tried: Tried) -> None:
        from ledgerkeep.evidence.criteria import APPLICATION, INTEGRITY, PERFORMANCE, Criterion
        from ledgerkeep.model import utc_now

        began, now, reached = context["dag_run"].start_date, utc_now(), self.stands_at()
        good = tried.documents - tried.unusable_count
        words = f"{good} of {tried.documents} recovered documents have their row's SHA-256"
        none = "rows went into the running database"
        criteria = [
            Criterion(name=INTEGRITY, met=not tried.unusable_count, words=words),
            Criterion(name=APPLICATION, met=None, words=none),
            Criterion(name=PERFORMANCE, met=None, words=none),
        ]
        for line in tried.unusable:
            self.log.error("%s", line)
        self.contribute(
            context,
            measurements={
                "tried_documents": tried.documents,
                "rto_seconds": max(0.0, (now - began).total_seconds()),
                "rpo_seconds": max(0.0, (began - reached).total_seconds()),
            },
            criteria=[one.model_dump() for one in criteria],
            findings=[{"what": line, "severity": "critical"} for line in tried.unusable],
        )
