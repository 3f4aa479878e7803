"""Failover and failback of the documents, as tasks.

The direction is the operator's argument; everything else is the same both ways. A rehearsal does
everything up to the switch: it plans, tests the access and says what it would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from ledgerkeep.operators.approval import PLAN_DIGEST, ApproveOperator
from ledgerkeep.operators.approved import ApprovedOperator
from ledgerkeep.operators.base import LedgerkeepOperator, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ledgerkeep.documents.failover.application import Application
    from ledgerkeep.documents.failover.plan import Behind, Direction, FailoverPlan
    from ledgerkeep.policy.documents import DocumentFailover, Documents, Replica
    from ledgerkeep.storage.bucket import Bucket

READABLE = "readable_plan"
"""XCom key of the plan in Markdown."""
AUTOMATIC = "asset_triggered"
"""Airflow's type of a run that the health watch started."""
_BY_POLICY = "the policy, after failed health checks"


class FailoverOperator(LedgerkeepOperator):
    """What the steps share: the direction, the two buckets and the application.

    :param direction: failover (to the replica) or failback (to the primary)
    """

    def __init__(self, *, direction: Direction, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.direction: Direction = direction

    @cached_property
    def application(self) -> Application:
        """The application's parameter and services."""
        from ledgerkeep.documents.failover.application import Application
        from ledgerkeep.hooks.connections import open_client

        failover = self.section
        return Application(
            parameter=failover.parameter,
            cluster=failover.cluster,
            services=failover.services,
            ssm=open_client("ssm", failover.connection_id, failover.region),
            ecs=open_client("ecs", failover.connection_id, failover.region),
        )

    @cached_property
    def section(self) -> DocumentFailover:
        """The policy's section.

        :raises PolicyError: it has none.
        """
        from ledgerkeep.errors import PolicyError
        from ledgerkeep.hooks.connections import documents_of

        failover = documents_of(self.policy).failover
        if failover is None:
            raise PolicyError(
                f"the policy of {self.policy.environment} has no failover of the documents",
                hint="add documents.failover to the policy",
            )
        return failover

    @cached_property
    def sides(self) -> tuple[Bucket, Bucket]:
        """The bucket in use before the switch, and the one in use after it."""
        from ledgerkeep.hooks.connections import open_policy_documents, open_policy_replica

        primary, replica = open_policy_documents(self.policy), open_policy_replica(self.policy)
        return (primary, replica) if self.direction == "failover" else (replica, primary)

    @property
    def sections(self) -> tuple[Documents | Replica, Documents | Replica]:
        """The policy's sections of the two buckets, in the order of `sides`."""
        from ledgerkeep.hooks.connections import documents_of, replica_of

        documents, replica = documents_of(self.policy), replica_of(self.policy)
        return (documents, replica) if self.direction == "failover" else (replica, documents)

    @property
    def prefix(self) -> str:
        """Of the documents' keys."""
        from ledgerkeep.hooks.connections import documents_of

        return documents_of(self.policy).prefix


class PlanFailoverOperator(FailoverOperator):
    """Look at both buckets and at the application, and say what would be done. Returns the plan."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Look, compare, decide."""
        from ledgerkeep.documents.failover.plan import refuse_to_lose

        with self.ending_well(context):
            plan = self._plan(context)
            for line in plan.describe():
                self.log.info("%s", line)
            refuse_to_lose(plan)
        for doubt in plan.doubts():
            self.log.warning("%s", doubt)
        reason, asked_by = self._asked(context)
        task = context["ti"]
        task.xcom_push(key=PLAN_DIGEST, value=plan.digest())
        task.xcom_push(key=READABLE, value=plan.readable(reason, asked_by))
        self._contribute_plan(context, plan, reason, asked_by)
        planned: dict[str, Any] = plan.model_dump(mode="json")
        return planned

    def _plan(self, context: Context) -> FailoverPlan:
        from ledgerkeep.documents.failover.access import try_access
        from ledgerkeep.documents.failover.plan import FailoverPlan, refuse_strangers

        _, there = self.sides
        now = self.application.bucket()
        refuse_strangers(now, [one.name for one in self.sides], self.section.parameter)
        self.application.states()
        access = try_access(
            there, prefix=self.prefix, sample=self.section.sample, run=run_name(context)
        )
        return FailoverPlan(
            direction=self.direction,
            parameter=self.section.parameter,
            now=now,
            to=there.name,
            services=self.section.services,
            access=access,
            behind=self._behind(),
            replicates_back=self.section.replication_role_arn is not None,
        )

    def _behind(self) -> Behind | None:
        """What the other bucket lacks; None when the one in use does not answer."""
        from ledgerkeep.documents.failover.gate import what_is_lacking
        from ledgerkeep.errors import StorageError
        from ledgerkeep.model import utc_now
        from ledgerkeep.storage.bucket import IMPATIENT
        from ledgerkeep.storage.versions import list_versions

        here, there = self.sides
        try:
            here.ask(
                "list",
                lambda: here.client.list_objects_v2(Bucket=here.name, MaxKeys=1),
                patience=IMPATIENT,
            )
        except StorageError as problem:
            self.log.warning("%s", problem)
            return None
        kms = any(section.encryption.mode == "aws:kms" for section in self.sections)
        return what_is_lacking(
            list_versions(here, self.prefix),
            list_versions(there, self.prefix),
            plain_etags=not kms,
            now=utc_now(),
            prefix=self.prefix,
        )

    def _asked(self, context: Context) -> tuple[str, str]:
        run = context["dag_run"]
        if run.run_type == AUTOMATIC:
            return "the health checks of the documents failed", _BY_POLICY
        return context["params"].get("reason") or "", run.triggering_user_name or "unknown"

    def _contribute_plan(
        self, context: Context, plan: FailoverPlan, reason: str, asked_by: str
    ) -> None:
        self.contribute(
            context,
            scenario=reason,
            objective="region_failure",
            measurements=plan.behind.measurements() if plan.behind else {},
            facts={
                "requested_by": asked_by,
                "reason": reason,
                "bucket_before": plan.now,
                "bucket_after": plan.to,
                "rehearsal": "yes" if context["params"].get("rehearse") else "no",
            },
            findings=[{"what": doubt, "severity": "warning"} for doubt in plan.doubts()],
        )


class ApproveFailoverOperator(ApproveOperator):
    """Ask a second person; the policy's own approval counts for a run of the health watch."""

    def execute(self, context: Context) -> Any:
        """Ask, unless the policy has answered."""
        from ledgerkeep.recovery.approval import APPROVED_PLAN

        if context["dag_run"].run_type != AUTOMATIC:
            return super().execute(context)
        facts = {
            "answer": "Approve",
            "answered_by": _BY_POLICY,
            APPROVED_PLAN: self.plan_digest,
        }
        self.log.info("approved by %s", _BY_POLICY)
        self.contribute(context, facts=facts)
        return facts


class SwitchBucketOperator(ApprovedOperator, FailoverOperator):
    """Let the parameter name the other bucket, and tell the services to restart.

    :param plan: what the plan's task returned (templated)
    """

    template_fields: Sequence[str] = (*ApprovedOperator.template_fields, "plan")

    def __init__(self, *, plan: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan

    def execute(self, context: Context) -> bool:
        """Switch; returns whether anything was switched (not in a rehearsal)."""
        from ledgerkeep.documents.failover.plan import FailoverPlan

        plan = FailoverPlan.model_validate(self.plan)
        if context["params"].get("rehearse"):
            self.log.info("a rehearsal: %s stays at %s", plan.parameter, plan.now)
            return False
        with self.ending_well(context):
            self.refuse_unapproved(plan.digest(), self.direction)
            changed = self.application.point_at(plan.to)
            words = "was changed to" if changed else "named already"
            self.log.info("%s %s %s", plan.parameter, words, plan.to)
            self.application.restart()
        self.log.info("told to restart: %s", ", ".join(plan.services) or "nothing")
        return True


class WaitForServicesSensor(FailoverOperator, BaseSensorOperator):
    """Wait until every service runs its newest deployment; holds no worker meanwhile.

    :param switched: what the switching task returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "switched")

    def __init__(self, *, switched: Any, timeout: timedelta, **kwargs: Any) -> None:
        super().__init__(
            mode="reschedule", poke_interval=5, timeout=timeout.total_seconds(), **kwargs
        )
        self.switched = switched

    def poke(self, context: Context) -> bool:
        """Look at the services once."""
        if not self.switched:
            return True
        with self.ending_well(context):
            states = self.application.states()
        for state in states:
            self.log.info("%s", state.describe())
        if failed := [state.describe() for state in states if state.failed]:
            back = "document_failback" if self.direction == "failover" else "document_failover"
            message = f"{'; '.join(failed)}"
            self.contribute(context, findings=[{"what": message, "severity": "critical"}])
            raise AirflowFailException(
                f"{message}\nHint: the parameter names the new bucket already; put the service "
                f"right and clear this task, or go back with {back}"
            )
        return all(state.is_stable for state in states)


class TestAccessOperator(FailoverOperator):
    """Do with the bucket what the application does all day, and ask the application itself."""

    __test__ = False  # for pytest, which collects by name

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, write, delete, ask."""
        from ledgerkeep.documents.failover.access import try_access
        from ledgerkeep.documents.failover.health import ask_application

        _, there = self.sides
        with self.ending_well(context):
            access = try_access(
                there,
                prefix=self.prefix,
                sample=self.section.sample,
                run=f"{run_name(context)} after",
            )
            if self.section.health_url and not context["params"].get("rehearse"):
                self.log.info("%s", ask_application(self.section.health_url))
        self.log.info("%s", access.describe())
        took = (self._now() - context["dag_run"].start_date).total_seconds()
        self.contribute(
            context,
            measurements={
                "rto_seconds": took,
                "access_test_seconds": access.seconds,
                "access_test_documents": access.read,
            },
            criteria=[
                {"name": "data integrity", "met": True, "words": access.describe()},
            ],
        )
        tested: dict[str, Any] = access.model_dump(mode="json")
        return tested

    def _now(self) -> Any:
        from ledgerkeep.model import utc_now

        return utc_now()


class ReverseReplicationOperator(FailoverOperator):
    """Let the bucket that is in use now replicate to the other one.

    :param switched: what the switching task returned (templated)
    """

    template_fields: Sequence[str] = (*LedgerkeepOperator.template_fields, "switched")

    def __init__(self, *, switched: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.switched = switched

    def execute(self, context: Context) -> bool:
        """Set it, where the store has such rules and the policy names a role."""
        from ledgerkeep.documents.failover.reverse import replicate, rule_to

        role = self.section.replication_role_arn
        if not self.switched or role is None:
            self.log.info("replication is left as it is")
            return False
        there, here = self.sections
        _, bucket = self.sides
        rule = rule_to(
            there.bucket,
            encryption=there.encryption,
            account_id=getattr(there, "account_id", None),
            prefix=self.prefix,
        )
        with self.ending_well(context):
            done = replicate(bucket, rule, role)
        what = (
            f"{here.bucket} replicates to {there.bucket}"
            if done
            else f"the store of {here.bucket} has no replication rules: turn its own around"
        )
        self.log.info("%s", what)
        self.contribute(context, facts={"replication": what})
        return done
