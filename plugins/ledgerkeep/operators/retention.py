"""Operators of retention: show what would go, then let it go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.database.postgres.retention import Applied


class PlanRetentionOperator(LedgerkeepOperator):
    """Decide what stays and what goes, and log all of it; nothing is touched.

    Returns the moment the plan is for, and how many recovery points it keeps and removes.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan."""
        from ledgerkeep.catalog.retention_words import describe_plan
        from ledgerkeep.database.postgres.retention import plan_clusters
        from ledgerkeep.model import utc_now

        now = utc_now()
        with self.ending_well(context):
            plans = plan_clusters(self.catalog, now=now)
        for plan in plans:
            for line in describe_plan(plan):
                self.log.info("%s", line)
        kept = sum(len(plan.kept) for plan in plans)
        removable = [one for plan in plans for one in plan.removed]
        self.contribute(
            context,
            measurements={
                "points_kept": kept,
                "points_to_remove": len(removable),
                "bytes_to_remove": sum(one.stored_bytes for one in removable),
            },
            findings=[
                {"what": notice, "severity": "info"} for plan in plans for notice in plan.notices
            ],
        )
        return {"now": now.isoformat(), "kept": kept, "to_remove": len(removable)}


class ApplyRetentionOperator(LedgerkeepOperator):
    """Remove what the plan for that moment removes, while no base backup can begin.

    Returns how many recovery points are gone, and how many wait under Object Lock.

    :param planned: what `PlanRetentionOperator` returned (templated)
    :param dry_run: `True` removes nothing (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "planned", "dry_run")

    def __init__(self, *, planned: Any, dry_run: str = "False", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned
        self.dry_run = dry_run

    def execute(self, context: Context) -> dict[str, int]:
        """Apply."""
        from datetime import datetime

        from ledgerkeep.database.postgres.retention import apply_retention

        if self.dry_run != "False":
            self.log.info("dry run: the %s stay as they are", self.planned["to_remove"])
            return {"removed": 0, "locked": 0}
        with self.ending_well(context):
            applied = apply_retention(
                self.address,
                self.catalog,
                run=run_name(context),
                now=datetime.fromisoformat(self.planned["now"]),
            )
        self._report(context, applied)
        return {
            "removed": sum(len(one.removal.removed) for one in applied),
            "locked": sum(len(one.removal.locked) for one in applied),
        }

    def _report(self, context: Context, applied: list[Applied]) -> None:
        from ledgerkeep.catalog.retention_words import describe_removal

        lines = [line for one in applied for line in describe_removal(one.removal)]
        for line in lines:
            self.log.info("%s", line)
        removed = [point for one in applied for point in one.removal.removed]
        self.contribute(
            context,
            measurements={
                "points_removed": len(removed),
                "bytes_removed": sum(point.stored_bytes for point in removed),
                "objects_removed": sum(one.removal.objects for one in applied),
                "points_locked": sum(len(one.removal.locked) for one in applied),
            },
            findings=[{"what": line, "severity": "info"} for line in lines],
        )
