"""The application's own checks and key queries on a restored copy, as a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.restore import RoomOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.recovery.checks import QueryTime
    from ledgerkeep.recovery.validation_report import ValidationReport


class CheckApplicationOperator(RoomOperator):
    """Ask the validated copy what the application would: is it right, is it fast enough.

    Returns what was found, in words.

    :param slow_fails: whether a query that is too slow fails the task (a restore test), or is only
        told (a recovery: a slow database is better than none)
    """

    def __init__(self, *, slow_fails: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slow_fails = slow_fails

    def execute(self, context: Context) -> list[str]:
        """Check, and time."""
        from ledgerkeep.recovery.checks import refuse_slow
        from ledgerkeep.recovery.validation_report import refuse_broken

        with self.ending_well(context, self.recovery_plan().backup_id):
            reports = self._checked(context)
            refuse_broken(reports)
            times = self._timed(context)
            if self.slow_fails:
                refuse_slow(times)
        return [
            *(outcome.describe() for report in reports for outcome in report.outcomes),
            *(one.describe() for one in times),
        ]

    def _checked(self, context: Context) -> list[ValidationReport]:
        from ledgerkeep.recovery.checks import run_checks
        from ledgerkeep.recovery.replay import open_copy

        checks = self.policy.database.validation.checks
        reports: list[ValidationReport] = []
        if checks:
            with open_copy(self.catalog, self.room(context), settings=self.settings) as copy:
                reports = run_checks(copy.address, checks, directory=self.settings.sql)
        for report in reports:
            for outcome in report.outcomes:
                self.log.info("%s", outcome.describe())
        self.contribute(
            context,
            measurements={"application_checks": len(checks)},
            criteria=[_application(reports)],
        )
        return reports

    def _timed(self, context: Context) -> list[QueryTime]:
        from ledgerkeep.recovery.checks import time_queries
        from ledgerkeep.recovery.replay import open_copy

        queries = self.policy.database.validation.key_queries
        times: list[QueryTime] = []
        if queries:
            with open_copy(self.catalog, self.room(context), settings=self.settings) as copy:
                times = time_queries(
                    copy.address, self.address, queries, directory=self.settings.sql
                )
        for one in times:
            self.log.info("%s", one.describe())
        slow = [one for one in times if one.within is False]
        self.contribute(
            context,
            measurements=_figures(times),
            criteria=[_performance(times)],
            findings=[
                {"what": f"slow: {one.describe()}", "severity": "warning"}
                for one in slow
                if not self.slow_fails
            ],
        )
        return times


def _application(reports: Sequence[ValidationReport]) -> dict[str, Any]:
    from ledgerkeep.evidence.criteria import APPLICATION, Criterion

    outcomes = [outcome for report in reports for outcome in report.outcomes]
    broken = [outcome for outcome in outcomes if not outcome.success]
    met: bool | None = not broken
    words = f"checks that found nothing wrong: {_names(outcomes)}"
    if broken:
        words = f"checks that did not hold: {_names(broken)}"
    if not outcomes:
        met, words = None, "the policy names no checks of the application"
    return Criterion(name=APPLICATION, met=met, words=words).model_dump()


def _performance(times: Sequence[QueryTime]) -> dict[str, Any]:
    from ledgerkeep.evidence.criteria import PERFORMANCE, Criterion

    words = "; ".join(one.describe() for one in times) or "the policy names no key queries"
    known = [one.within for one in times if one.within is not None]
    met = all(known) if known else None
    return Criterion(name=PERFORMANCE, met=met, words=words).model_dump()


def _figures(times: Sequence[QueryTime]) -> dict[str, float]:
    figures = {f"query_{one.name}_copy_seconds": one.copy_seconds for one in times}
    for one in times:
        if one.source_seconds is not None:
            figures[f"query_{one.name}_source_seconds"] = one.source_seconds
    return figures


def _names(outcomes: Sequence[Any]) -> str:
    return ", ".join(outcome.table for outcome in outcomes)
