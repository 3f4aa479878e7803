"""Operators of the restore tests of documents: draw, restore beside, compare, remove.

    scenario >> sample >> restore >> compare >> remove >> verdict

The copies lie in the backup bucket, below a prefix of their own, and are removed with all of their
versions whatever happened. No production key is written. With the replica as the source, the
primary is asked for nothing but, before the test begins, how far the replica is behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from ledgerkeep.operators.dags import dag_arguments
from ledgerkeep.operators.document_recovery import DocumentsOperator, PlannedDocumentsOperator
from ledgerkeep.operators.verdict import VerdictOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.documents.recovery.request import Source
    from ledgerkeep.documents.recovery.route import Route
    from ledgerkeep.policy.model import DocumentRestoreTest, Policy
    from ledgerkeep.storage.bucket import Bucket

MEBIBYTE = 1024 * 1024


class StateDocumentScenarioOperator(DocumentsOperator):
    """State scenario and objectives, and measure how much would be lost if it happened now.

    Of deletions nothing is lost, since every version is kept. With the replica it is what the
    primary has written since the newest that has arrived there; where the primary does not answer,
    everything since then.

    :param scenario: what is tried, in one or two sentences
    :param objective: which of the policy's objectives the run is measured against
    :param taken_from: primary or replica
    """

    def __init__(self, *, scenario: str, objective: str, taken_from: Source, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.objective = objective
        self.taken_from: Source = taken_from

    def execute(self, context: Context) -> None:
        """State, and measure."""
        wanted = getattr(self.policy.objectives, self.objective)
        self.log.info("scenario: %s", self.scenario)
        self.log.info("objectives (%s): RTO %s, RPO %s", self.objective, wanted.rto, wanted.rpo)
        with self.ending_well(context):
            lost = 0.0 if self.taken_from == "primary" else self._behind()
        self.contribute(
            context,
            scenario=self.scenario,
            objective=self.objective,
            measurements={"rpo_seconds": lost},
        )

    def _behind(self) -> float:
        from ledgerkeep.documents.recovery.sample import seconds_behind
        from ledgerkeep.hooks.connections import (
            documents_of,
            open_policy_documents,
            open_policy_replica,
        )

        return seconds_behind(
            open_policy_documents(self.policy),
            open_policy_replica(self.policy),
            prefix=documents_of(self.policy).prefix,
        )


class SampleOperator(PlannedDocumentsOperator):
    """A step of a restore test, with its section of the policy.

    :param test: name of the section of `restore_tests`
    """

    def __init__(self, *, test: str, plan: Any = None, **kwargs: Any) -> None:
        super().__init__(plan=plan, **kwargs)
        self.test = test

    @property
    def wanted(self) -> DocumentRestoreTest:
        """The section.

        :raises PolicyError: it is gone from the policy.
        """
        from ledgerkeep.errors import PolicyError

        found: DocumentRestoreTest | None = getattr(self.policy.restore_tests, self.test)
        if found is None:
            raise PolicyError(
                f"the policy of {self.policy.environment} has no restore_tests.{self.test}",
                hint="add the section again, or remove the run",
            )
        return found

    def sample_route(self) -> Route:
        """From where the sample is drawn to where it is restored."""
        from ledgerkeep.catalog import keys
        from ledgerkeep.documents.recovery.route import Route

        plan = self.document_plan()
        into = keys.restored_copy(self.policy.environment, plan.id)
        source, shares = self.drawn_from(plan.taken_from)
        return Route(source, self.backups(), into, shares)

    def drawn_from(self, taken_from: Source) -> tuple[Bucket, bool]:
        """The bucket, and whether who writes the copies may read it."""
        route = self.route(taken_from)
        return route.source, route.shares_identity

    def backups(self) -> Bucket:
        """Where the copies go."""
        from ledgerkeep.hooks.connections import open_policy_bucket

        return open_policy_bucket(self.policy, self.storage_conn_id)


class DrawSampleOperator(SampleOperator):
    """Draw documents and plan their restore into a place of their own. Returns the plan in short.

    :param taken_from: primary or replica
    """

    def __init__(self, *, taken_from: Source, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.taken_from: Source = taken_from

    def execute(self, context: Context) -> dict[str, Any]:
        """Draw."""
        import random

        from ledgerkeep.documents.recovery.sample import plan_sample
        from ledgerkeep.hooks.connections import documents_of

        with self.ending_well(context):
            source, shares = self.drawn_from(self.taken_from)
            plan, sample = plan_sample(
                self.catalog,
                source,
                self.backups(),
                prefix=documents_of(self.policy).prefix,
                count=self.wanted.sample,
                largest=self.wanted.largest_mib * MEBIBYTE,
                taken_from=self.taken_from,
                shares_identity=shares,
                dice=random.SystemRandom(),
            )
        self.log.info(
            "%d of %d documents drawn, into %s",
            len(sample.versions),
            sample.documents,
            plan.destination,
        )
        self.contribute(
            context,
            measurements={
                "documents": sample.documents,
                "documents_drawn": len(sample.versions),
                "planned_bytes": plan.bytes_to_copy,
            },
            facts={"source": plan.source, "plan": plan.lines.key, "copies": plan.destination},
        )
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned


class RestoreSampleOperator(SampleOperator):
    """Restore the sample as every recovery does, and prove the copies. Returns the report's key."""

    def execute(self, context: Context) -> str:
        """Copy and prove."""
        from ledgerkeep.documents.recovery.belongings import needs_head
        from ledgerkeep.documents.recovery.carry_out import carry_out
        from ledgerkeep.documents.recovery.copying import Copier
        from ledgerkeep.documents.recovery.findings import findings_of
        from ledgerkeep.documents.recovery.report import refuse_unfinished, write_report

        plan = self.document_plan()
        with self.ending_well(context):
            route, at_once = self.sample_route(), self.section.concurrency
            # Locked copies could not be removed again.
            copier = Copier(route, needs_head(route.source, route.destination), locks=False)
            done = carry_out(
                self.catalog, plan, route, concurrency=at_once, tell=self.log.info, copier=copier
            )
            report = write_report(self.catalog, plan, route, concurrency=at_once)
            self.contribute(
                context,
                measurements={"copied_bytes": done.bytes_copied, "copy_seconds": done.seconds},
                facts={"report": report.lines.key, "report_sha256": report.lines.sha256},
                findings=findings_of(report),
            )
            refuse_unfinished(report)
        return report.lines.key


class CompareSampleOperator(SampleOperator):
    """Read every copy as the application reads it, and hold it against its version."""

    def execute(self, context: Context) -> None:
        """Compare."""
        from ledgerkeep.documents.recovery.findings import criteria_of_sample, refuse_difference
        from ledgerkeep.documents.recovery.sample import compare

        plan = self.document_plan()
        with self.ending_well(context):
            found = compare(
                self.catalog, plan, self.sample_route(), concurrency=self.section.concurrency
            )
            took: float = (found.read_at - plan.made_at).total_seconds()
            criteria = criteria_of_sample(found, self.wanted.slowest_ratio)
            for criterion in criteria:
                self.log.info("%s: %s", criterion["name"], criterion["words"])
            self.contribute(
                context,
                measurements={
                    "rto_seconds": took,
                    "documents_compared": found.documents,
                    "compared_bytes": found.size,
                    "read_ratio": found.ratio,
                },
                criteria=criteria,
            )
            refuse_difference(found, self.wanted.slowest_ratio)


class RemoveSampleOperator(SampleOperator):
    """Remove the copies with all of their versions; the teardown of the test."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trigger_rule=TriggerRule.ALL_DONE, **kwargs)

    def execute(self, context: Context) -> int:
        """Remove; returns how many versions."""
        if not self.plan:
            return 0
        with self.ending_well(context):
            removed = self.catalog.store.delete_prefix(self.sample_route().into)
        self.log.info("%d versions removed", removed)
        return removed


def document_test_arguments(
    policy: Policy, name: str, test: DocumentRestoreTest, doc: str | None
) -> dict[str, Any]:
    """Arguments of the DAG of a restore test of documents."""
    return dag_arguments(
        policy,
        f"test_{name}",
        component="documents",
        kind="restore-test",
        schedule=test.schedule,
        doc=doc,
    )


def carry_out_test(
    policy: Policy, name: str, *, scenario: str, objective: str, taken_from: Source
) -> None:
    """Add the tasks of a restore test of documents, up to the verdict."""
    environment = {"environment": policy.environment}
    stated = StateDocumentScenarioOperator(
        task_id="scenario",
        scenario=scenario,
        objective=objective,
        taken_from=taken_from,
        **environment,
    )
    sample = DrawSampleOperator(task_id="sample", test=name, taken_from=taken_from, **environment)
    planned = {**environment, "test": name, "plan": sample.output}
    restore = RestoreSampleOperator(task_id="restore", **planned)
    compare = CompareSampleOperator(task_id="compare", **planned)
    remove = RemoveSampleOperator(task_id="remove", **planned).as_teardown(setups=sample)
    verdict = VerdictOperator(task_id="verdict", kind="restore-test", **environment)
    stated >> sample >> restore >> compare >> remove >> verdict
