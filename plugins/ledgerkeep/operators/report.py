"""The compliance report as a task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.evidence.history import AirflowRun
    from ledgerkeep.evidence.report.model import Period


class ComplianceReportOperator(LedgerkeepOperator):
    """Make the report on a month from the evidence, held against Airflow's own history.

    Returns the keys of the HTML and the JSON. Where Airflow's history cannot be had, the report
    is made all the same and says so.

    :param month: such as ``2026-11``; empty: the month before for a scheduled run, else this one
        (templated)
    :param airflow_conn_id: Airflow connection to its own API, with a viewer's login; the policy's
        by default
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "month")

    def __init__(
        self, *, month: str = "", airflow_conn_id: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.month = month
        self.airflow_conn_id = airflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, make, write."""
        from ledgerkeep.evidence.report.period import report_period
        from ledgerkeep.evidence.report.write import make_report, write_report
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            period = report_period(
                self.month,
                scheduled=context["dag_run"].run_type == "scheduled",
                now=utc_now(),
            )
            history, problem = self._history(period)
            report = make_report(
                self.catalog.store,
                self.policy,
                since=period.since,
                until=period.until,
                history=history,
                history_problem=problem,
            )
            written = write_report(self.catalog.store, self.catalog, report)
        self.log.info("%s/%s", self.catalog.store.location, written.page)
        self.contribute(context, measurements={"runs": sum(row.runs for row in report.dags)})
        return written.model_dump(mode="json")

    def _history(self, period: Period) -> tuple[list[AirflowRun] | None, str]:
        """Airflow's rows, or None and why; from an hour before, when a run may have been due."""
        from ledgerkeep.hooks.airflow_history import HistoryUnavailable, airflow_runs

        try:
            return airflow_runs(
                self.airflow_conn_id or self.policy.reports.airflow_connection_id,
                environment=self.environment,
                since=period.since - timedelta(hours=1),
                until=period.until,
            ), ""
        except HistoryUnavailable as problem:
            self.log.warning("%s", problem)
            return None, str(problem)
