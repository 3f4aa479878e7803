"""Operators of the restore tests of configuration: each source beside itself, compared, removed.

    scenario >> restore_{source} >> clear_{source} >> verdict
                restore_{source} >> judge >> verdict

The sources go side by side, and none waits for another. What is restored lies in an isolated place
of each service and is removed whatever happened; no production name is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from ledgerkeep.operators.base import LedgerkeepOperator, run_name
from ledgerkeep.operators.configuration_backup import ConfigurationOperator
from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.verdict import VerdictOperator
from ledgerkeep.policy.configuration_families import sources_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.configuration.recovery.beside import RestoredBeside
    from ledgerkeep.configuration.source import Source
    from ledgerkeep.policy.configuration_sources import Family
    from ledgerkeep.policy.model import Policy, RestoreTest

_OBJECTIVE = "accidental_deletion"


class StateConfigurationScenarioOperator(LedgerkeepOperator):
    """State what the test sets out to show, before anything is done.

    :param scenario: what is tried, in one or two sentences
    :param objective: which of the policy's objectives the run is measured against
    """

    def __init__(self, *, scenario: str, objective: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.objective = objective

    def execute(self, context: Context) -> None:
        """State."""
        wanted = getattr(self.policy.objectives, self.objective)
        self.log.info("scenario: %s", self.scenario)
        self.log.info("objectives (%s): RTO %s, RPO %s", self.objective, wanted.rto, wanted.rpo)
        self.contribute(context, scenario=self.scenario, objective=self.objective)


class PlaceOperator(ConfigurationOperator):
    """A step that works in the isolated place of one source.

    :param source: its name in the policy
    """

    def __init__(self, *, source: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def open(self) -> Source:
        """The source itself."""
        from ledgerkeep.configuration.registry import open_source

        return open_source(self.source, self.access, self.policy)

    def label(self, context: Context) -> str:
        """Of the place; the same for each attempt."""
        from ledgerkeep.configuration.recovery.places import label_of

        return label_of(run_name(context), self.source)


class RestoreBesideOperator(PlaceOperator):
    """Restore the newest version of a source beside it, and compare. Returns what was shown."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Restore, compare, tell."""
        from ledgerkeep.configuration.recovery.beside import refuse_difference, restore_beside

        with self.ending_well(context):
            found = restore_beside(
                self.open(),
                self.versions,
                self.marker,
                label=self.label(context),
                run=run_name(context),
                tell=self.log.info,
            )
            self._tell(context, found)
            refuse_difference(found)
        said: dict[str, Any] = found.model_dump(mode="json")
        return said

    def _tell(self, context: Context, found: RestoredBeside) -> None:
        from ledgerkeep.configuration.recovery.beside_evidence import findings_beside

        findings = findings_beside(found)
        self.log.info("%s", found.words)
        for finding in findings:
            self.log.warning("%s", finding["what"])
        self.contribute(
            context,
            recovery_point_ids=[f"{found.source}/{found.version_id}"],
            measurements={
                f"{found.source}_items": found.items,
                f"{found.source}_drift": found.drift_count,
                f"{found.source}_restore_seconds": found.seconds,
            },
            facts={found.source: found.words},
            findings=findings,
        )


class ClearPlaceOperator(PlaceOperator):
    """Remove the isolated place with everything in it; the teardown. Returns if there was one."""

    def execute(self, context: Context) -> bool:
        """Remove."""
        from ledgerkeep.configuration.recovery.places import clear_place

        with self.ending_well(context):
            cleared = clear_place(self.open(), self.versions, self.label(context))
        self.log.info("%s", "removed" if cleared else "there is no such place")
        return cleared


class JudgeConfigurationTestOperator(LedgerkeepOperator):
    """State the criteria over all sources, also over those that failed.

    :param results: source → what its restore returned; None: it failed (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "results")

    def __init__(self, *, results: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)
        self.results = results

    def execute(self, context: Context) -> None:
        """Judge."""
        from ledgerkeep.configuration.recovery.beside import RestoredBeside
        from ledgerkeep.configuration.recovery.beside_evidence import (
            criteria_of_test,
            measurements_of,
        )

        found = {
            name: RestoredBeside.model_validate(one) if one else None
            for name, one in self.results.items()
        }
        criteria = criteria_of_test(found)
        for criterion in criteria:
            self.log.info("%s: %s", criterion["name"], criterion["words"])
        self.contribute(context, measurements=measurements_of(found), criteria=criteria)


class ConfigurationJanitorOperator(ConfigurationOperator):
    """Remove isolated places that outlived the time the policy keeps copies. Returns how many."""

    def execute(self, context: Context) -> int:
        """Sweep."""
        from ledgerkeep.configuration.recovery.places import clear_old_places, refuse_left
        from ledgerkeep.configuration.registry import open_source
        from ledgerkeep.model import utc_now

        with self.ending_well(context):
            cleared, left = clear_old_places(
                self.versions,
                lambda name: open_source(name, self.access, self.policy),
                keep=self.policy.restore_tests.keep_copies,
                now=utc_now(),
            )
            self.contribute(
                context,
                measurements={"removed_places": len(cleared)},
                findings=[
                    {
                        "what": f"an isolated place of {one.source} of {one.run} was left behind "
                        "and has been removed",
                        "severity": "warning",
                    }
                    for one in cleared
                ],
            )
            refuse_left(left)
        return len(cleared)


def configuration_test_arguments(
    policy: Policy, family: Family, test: RestoreTest, doc: str | None
) -> dict[str, Any]:
    """Arguments of the DAG of a restore test of configuration."""
    return dag_arguments(
        policy,
        f"test_{family}_recovery",
        component="configuration",
        kind="restore-test",
        schedule=test.schedule,
        doc=doc,
    )


def carry_out_test(policy: Policy, family: Family, *, scenario: str) -> None:
    """Add the tasks of a restore test of a family of sources, up to the verdict."""
    environment = {"environment": policy.environment}
    stated = StateConfigurationScenarioOperator(
        task_id="scenario", scenario=scenario, objective=_OBJECTIVE, **environment
    )
    results: dict[str, Any] = {}
    verdict = VerdictOperator(task_id="verdict", kind="restore-test", **environment)
    for name in sources_of(family, policy):
        restore = RestoreBesideOperator(task_id=f"restore_{name}", source=name, **environment)
        clear = ClearPlaceOperator(task_id=f"clear_{name}", source=name, **environment)
        # The scenario is the setup, so that a restore that failed is cleared up, too.
        stated >> restore >> clear.as_teardown(setups=stated) >> verdict
        results[name] = restore.output
    judge = JudgeConfigurationTestOperator(task_id="judge", results=results, **environment)
    judge >> verdict
