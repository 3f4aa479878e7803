"""The verdict: the last task of every DAG, which writes the evidence and decides the run's state.

Airflow takes a run's state from its leaf tasks alone, so a run whose restore failed would be green
if its last task only reported. This one runs whatever happened before it, writes the evidence
record first, and then fails if anything else did not succeed. A run has passed exactly when its
verdict task succeeded. What was skipped did not succeed, unless a task said as evidence that there
was rightly nothing to take, or which tasks this run passes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.base import CONTRIBUTION, LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.evidence.records import EvidenceRecord, Outcome, RunKind


class VerdictOperator(LedgerkeepOperator):
    """Write the run's evidence; succeed only if every other task did.

    :param kind: what the run was: backup, check, recovery, restore-test or report
    """

    ui_color = "#f3e6c8"

    def __init__(self, *, kind: RunKind, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.kind = kind

    def execute(self, context: Context) -> dict[str, Any]:
        """Collect, append, judge."""
        from ledgerkeep.catalog.holds import end_recovery_holds
        from ledgerkeep.evidence.chain import EvidenceLog

        states = self._states(context)
        contributions = self._contributions(context, states)
        good = {"success"}
        if any(one.get("not_taken") for one in contributions):
            good.add("skipped")
        over = {task for one in contributions for task in one.get("passed_over", ())}
        bad = {
            task: state
            for task, state in states.items()
            if state not in good and not (state == "skipped" and task in over)
        }
        record = self._record(context, states, contributions, "failed" if bad else "success")
        with self.ending_well(context):
            link = EvidenceLog(self.catalog.store, self.policy).append(record)
            if self.kind in ("recovery", "restore-test"):
                # Nothing reads the backups and the WAL of its plan any more.
                end_recovery_holds(self.catalog, run_name(context))
        self.log.info("evidence %d: %s", link.sequence, link.record_key)
        self._publish(record)
        if bad:
            listed = ", ".join(f"{task} {state}" for task, state in sorted(bad.items()))
            raise AirflowFailException(
                f"the run did not pass: {listed}\n"
                f"Hint: the log of the first task that failed says what happened and what to do"
            )
        said: dict[str, Any] = {
            "evidence": link.record_key,
            "recovery_point_ids": record.recovery_point_ids,
            "measurements": record.measurements,
        }
        return {**said, "not_taken": record.not_taken.words} if record.not_taken else said

    def _publish(self, record: EvidenceRecord) -> None:
        from ledgerkeep.hooks.metrics import MetricsNotPublished, publish_metrics

        try:
            publish_metrics(self.policy, record)
        except MetricsNotPublished as problem:
            self.log.warning("%s", problem)

    def _states(self, context: Context) -> dict[str, str]:
        run, task = context["dag_run"], context["ti"]
        found = task.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id])[run.run_id]
        return {name: state or "none" for name, state in found.items() if name != self.task_id}

    def _record(
        self,
        context: Context,
        states: dict[str, str],
        contributions: list[dict[str, Any]],
        outcome: Outcome,
    ) -> EvidenceRecord:
        from ledgerkeep.evidence.collect import collect_record

        run = context["dag_run"]
        return collect_record(
            policy=self.policy,
            dag_id=run.dag_id,
            run_id=run.run_id,
            kind=self.kind,
            outcome=outcome,
            started_at=run.start_date,
            triggered_by=run.triggering_user_name or str(run.run_type),
            tasks=states,
            contributions=contributions,
        )

    def _contributions(
        self, context: Context, tasks: Sequence[str] | dict[str, str]
    ) -> list[dict[str, Any]]:
        task = context["ti"]
        found = (task.xcom_pull(task_ids=name, key=CONTRIBUTION) for name in tasks)
        return [contribution for contribution in found if contribution]
