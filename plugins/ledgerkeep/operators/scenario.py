"""The opening of a restore test: what it sets out to show, written down before anything is done.

It also notes, at that moment, how much would be lost if the source were gone now: the recovery
point that the test reports is this one, not one that the test itself made fresher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkeep.operators.base import LedgerkeepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class StateScenarioOperator(LedgerkeepOperator):
    """State a restore test's scenario and objectives, and measure the recovery point objective.

    :param scenario: what is tried, in one or two sentences
    :param objective: which of the policy's objectives the run is measured against
    """

    def __init__(self, *, scenario: str, objective: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.objective = objective

    def execute(self, context: Context) -> None:
        """State, and measure."""
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            system_identifier = self.protected_cluster()
            stretch = self.catalog.last_stretch(system_identifier)
            ends = [backup.stopped_at for backup in self.catalog.backups(system_identifier)]
        if stretch is not None:
            ends.append(stretch.covered_until)
        measurements = {}
        if ends:
            measurements["rpo_seconds"] = max(0.0, (utc_now() - max(ends)).total_seconds())
        wanted = getattr(self.policy.objectives, self.objective)
        self.log.info("scenario: %s", self.scenario)
        self.log.info("objectives (%s): RTO %s, RPO %s", self.objective, wanted.rto, wanted.rpo)
        self.contribute(
            context,
            scenario=self.scenario,
            objective=self.objective,
            measurements=measurements,
        )
